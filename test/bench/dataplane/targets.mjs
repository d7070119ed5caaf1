/** What is to be reached, beside what was: as a line below a section's table, and all of them in one table. Pure. */
import { number, table, target } from '../report.mjs';

/** `measured`: median, min and max of ratios; undefined: there were none. */
export function atLeast(path, against, measured, least) {
  return aim(path, against, `at least ${number(least, 2)}`, measured, {
    isMet: (value) => value >= least,
    words: (told) => rangeOf(told, 2),
  });
}

export function under(path, against, measured, most, unit) {
  return aim(path, against, `under ${number(most, 1)} ${unit}`, measured, {
    isMet: (value) => value < most,
    words: (told) => `${rangeOf(told, 2)} ${unit}`,
  });
}

/** One whose words are its own. */
export function told(path, against, wanted, met, measured) {
  return { path, against, wanted, met, measured };
}

export function targetLines(targets) {
  return targets.map(({ path, against, wanted, met, measured }) =>
    target(`${path}${against === '' ? '' : `, against ${against}`}: ${wanted}`, met, measured),
  );
}

export function targetsTable(targets) {
  const met = targets.filter((one) => one.met).length;
  const rows = targets.map((one) => [
    ...[one.path, one.against, one.wanted, one.measured],
    one.met ? 'met' : '**missed**',
  ]);
  return `${table(['path', 'against', 'target', 'measured', ''], rows)}\n\n${met} of ${targets.length} are met.\n`;
}

export function rangeOf({ median: middle, min, max }, digits) {
  const text = number(middle, digits);
  return min === undefined || min === max ? text : `${text} (${number(min, digits)}-${number(max, digits)})`;
}

function aim(path, against, wanted, measured, { isMet, words }) {
  if (measured === undefined) return told(path, against, wanted, false, 'not measured');
  return told(path, against, wanted, isMet(measured.median), words(measured));
}
