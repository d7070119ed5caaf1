/** "Did you mean": the known word closest to a mistyped one. Pure. */

/** Longer words are not compared: nobody mistypes them by a letter, and the cost is quadratic. */
const MAX_WORD = 64;

/** The closest of the candidates, or undefined when none is close. */
export function suggest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length === 0 || word.length > MAX_WORD) return undefined;
  const same = candidates.find((c) => c !== word && c.toLowerCase() === word.toLowerCase());
  if (same !== undefined) return same;
  const bound = Math.max(1, Math.floor(word.length / 3));
  const ranked = candidates
    .filter((c) => c !== word && Math.abs(c.length - word.length) <= bound)
    .map((c) => ({ c, distance: distance(word.toLowerCase(), c.toLowerCase()) }))
    .filter((entry) => entry.distance <= bound && entry.distance < entry.c.length)
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.c;
}

/** `; did you mean "x"?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const found = suggest(word, candidates);
  return found === undefined ? '' : `; did you mean "${found}"?`;
}

/** Damerau-Levenshtein (optimal string alignment): edits and swaps of neighbours between two words. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          at(last, j) + 1,
          at(row, j - 1) + 1,
          at(last, j - 1) + cost,
          swapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    before = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
