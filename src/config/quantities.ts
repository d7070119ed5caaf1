/** Lengths of time and amounts of memory as people write them: `90s`, `1h30m`, `512m`. Pure. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const DURATION = /^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d|w))+$/;
const PART = /([0-9.]+)(ms|s|m|h|d|w)/g;
const NUMBER = /^[0-9]+(?:\.[0-9]+)?$/;

/** Milliseconds of `250ms`, `60s`, `1h30m` or `7d`; a number without unit counts in `bareMs`. undefined: it is none. */
export function parseDuration(text: string, bareMs = 1): number | undefined {
  const clean = text.trim().toLowerCase();
  if (NUMBER.test(clean)) return whole(Number(clean) * bareMs);
  if (!DURATION.test(clean)) return undefined;
  const parts = [...clean.matchAll(PART)].map(
    ([, amount, unit]) => Number(amount) * (UNIT_MS[unit ?? ''] ?? 0),
  );
  return whole(parts.reduce((sum, part) => sum + part, 0));
}

/** Bytes of a number or of `64m` (b, k, m, g). undefined: it is none. */
export function parseBytes(memory: number | string): number | undefined {
  const match = /^([1-9][0-9]*)([bkmg]?)$/i.exec(String(memory));
  if (match === null) return undefined;
  return whole(Number(match[1]) * (UNIT_BYTES[match[2]?.toLowerCase() || 'b'] ?? 1));
}

function whole(value: number): number | undefined {
  const rounded = Math.round(value);
  return Number.isSafeInteger(rounded) ? rounded : undefined;
}
