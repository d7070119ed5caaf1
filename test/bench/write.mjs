/**
 * Puts the tables of the benchmark into a document: what stands between `<!-- bench:PART:NAME -->`
 * and `<!-- /bench:PART:NAME -->` is replaced, and everything else stays as it is.
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** `sections`: texts by name. Throws, and writes nothing, when a pair of comments is missing. */
export function writeSections(path, part, sections) {
  const text = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    Object.entries(sections).reduce(
      (all, [name, section]) => replaced(all, `${part}:${name}`, section),
      text,
    ),
  );
}

function replaced(text, name, section) {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`there is no ${begin} with ${end} after it`);
  return `${text.slice(0, from)}${begin}\n\n${section.trimEnd()}\n\n${text.slice(to)}`;
}
