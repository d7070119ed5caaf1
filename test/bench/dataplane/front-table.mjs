/** The table of sections `http`, `tcp` and `kernel`: each load and place, its fronts, beside each other. Pure. */
import { number, table } from '../report.mjs';
import { spread } from '../stats.mjs';
import { DIRECT, OURS } from './names.mjs';
import { rangeOf } from './targets.mjs';

export const PLACES = { remote: 'another machine', loopback: '127.0.0.1' };
const MOST_FOREIGN = 0.1;
const RATE = '5000 requests/s';

/** With their ratios to direct and to `other`. */
export function frontsTable(result, other) {
  const { rounds, seconds, pinned, runs, fixed } = result;
  const places = unique(runs.map(({ place }) => place));
  const groups = places.flatMap((place) =>
    unique(runs.map(({ load }) => load)).map((load) =>
      runs.filter((r) => r.place === place && r.load === load),
    ),
  );
  const showPlace = places.length > 1;
  const rows = [
    ...groups.flatMap((group) => frontRows(group, other, showPlace)),
    ...fixed.flatMap((one) => fixedRows(one, other, showPlace)),
  ];
  const placed = pinned
    ? 'Load and container on core 0, the proxy alone on core 1; where no process is between: the container on core 1.'
    : 'Nothing pinned.';
  return [
    `${rounds} rounds of ${seconds} s for each, in runs of 2 s (bodies: ${number(seconds * 0.75, 0)} s in runs of 1 s; WebSockets: half), interleaved. ${placed} Median (min-max); ratios are paired. ${disturbedOf(runs)} ${coresWords(runs)}\n`,
    ...fixed.filter(({ failure }) => failure === undefined).map((one) => fixedWords(one, showPlace)),
    table(headOf(other), rows),
    '',
  ].join('\n');
}

export function disturbedOf(runs) {
  const done = runs.filter(({ foreign }) => foreign !== undefined);
  const disturbed = done.filter(({ foreign }) => foreign > MOST_FOREIGN).length;
  return `${disturbed} of ${done.length} runs were disturbed: others used more than a tenth of a core.`;
}

function headOf(other) {
  const others = other === DIRECT ? [] : [`/ ${other}`];
  const times = ['CPU µs each', 'p50 ms', 'p99 ms', 'added p99 ms'];
  return ['load', 'path', 'per second', '/ direct', ...others, ...times];
}

function frontRows(group, other, showPlace) {
  const [{ load, place }] = group;
  const where = whereOf(load, place, showPlace);
  return unique(group.map(({ front }) => front)).map((front) => {
    const runs = runsOf(group, { load, front, place });
    const failure = group.find((run) => run.front === front && run.failure !== undefined)?.failure;
    const against = (theirs) =>
      front === theirs ? '' : ratioCell(ratio(group, { load, ours: front, theirs, place }));
    const each = (field, scale = 1) => runs.map((run) => run[field] / scale);
    const cpu = runs.some(({ cpuUs }) => cpuUs !== undefined) ? range(each('cpuUs'), 1) : '';
    const rate = runs.length > 0 ? range(each('perSecond'), 0) : `failed: ${failure}`;
    return [
      ...[where, named(front), rate, against(DIRECT)],
      ...(other === DIRECT ? [] : [against(other)]),
      ...[cpu, range(each('p50us', 1_000), 2), range(each('p99us', 1_000), 2), ''],
    ];
  });
}

function fixedRows({ place, fronts, failure }, other, showPlace) {
  const where = whereOf(RATE, place, showPlace);
  const between = other === DIRECT ? [''] : ['', ''];
  if (failure !== undefined) return [[where, '', `failed: ${failure}`, ...between, '', '', '', '']];
  return fronts.map((one) => {
    const ms = (told) => (told === undefined ? '' : rangeOf(inMs(told), 2));
    const rate = one.failure === undefined ? number(one.perSecond, 0) : `failed: ${one.failure}`;
    return [where, named(one.front), rate, ...between, '', ms(one.p50us), ms(one.p99us), ms(one.addedUs)];
  });
}

function fixedWords({ place, cycles, fronts }, showPlace) {
  const some = fronts.filter(({ failure }) => failure === undefined);
  const each = (value) => some.map((one) => `${one.front} ${value(one)}`).join(', ');
  const few = some.filter(({ enough }) => !enough).map(({ front }) => front);
  return [
    `${whereOf(RATE, place, showPlace)}: ${cycles} times around, of which count: ${each(({ kept }) => kept)}.`,
    `In those the client was woken at most ${number(Math.max(...some.map(({ lateMs }) => lateMs)), 1)} ms late;`,
    `it was late by more than 4 ms in so many slices: ${each(({ late }) => late)}.`,
    few.length === 0 ? '\n' : `Too disturbed by others to say what is added: ${few.join(', ')}.\n`,
  ].join(' ');
}

/** Of all its slices as one distribution; undefined when too few of them were undisturbed. */
export function addedMs({ fixed }, front, place) {
  const one = fixed.find((some) => some.place === place)?.fronts?.find((some) => some.front === front);
  const told = one?.enough ? one.addedUs : undefined;
  return told === undefined ? undefined : inMs(told);
}

/** undefined: there is no round in which both were measured. */
export function ratio(runs, { load, ours, theirs, place, field = 'perSecond' }) {
  const [mine, other] = [ours, theirs].map((front) => runsOf(runs, { load, front, place }));
  return paired(mine, other, (run) => run[field]);
}

/** Of runs in which the machine's cores were alike, as long as there are any. */
export function paired(mine, other, value) {
  const pairs = mine.flatMap((run) => {
    const partner = other.find(({ round }) => round === run.round);
    if (partner === undefined) return [];
    const areAlike = run.cores === partner.cores && run.cores !== 'moved';
    return [{ ratio: value(run) / value(partner), areAlike }];
  });
  const alike = pairs.filter(({ areAlike }) => areAlike);
  const counted = (alike.length > 0 ? alike : pairs).map(({ ratio }) => ratio);
  return counted.length === 0 ? undefined : spread(counted);
}

/** Where a virtual machine's cores were, which its host moves about; nothing when they stayed near each other. */
export function coresWords(runs) {
  const count = (cores) => runs.filter((run) => run.cores === cores).length;
  const [near, far, moved] = ['near', 'far', 'moved'].map(count);
  if (far + moved === 0) return '';
  return `In ${near} runs the two cores shared a cache, in ${far} they did not, in ${moved} they were moved meanwhile: ratios are of pairs alike in this, where there are any.`;
}

function runsOf(runs, { load, front, place }) {
  return runs.filter(
    (run) =>
      run.load === load &&
      run.front === front &&
      (place === undefined || run.place === place) &&
      run.failure === undefined,
  );
}

function whereOf(load, place, showPlace) {
  return showPlace ? `${load}, from ${PLACES[place]}` : load;
}

function inMs({ median, min, max }) {
  return { median: median / 1_000, min: min / 1_000, max: max / 1_000 };
}

export function ratioCell(measured) {
  return measured === undefined ? '' : rangeOf(measured, 2);
}

export function range(values, digits) {
  return values.length === 0 ? '' : rangeOf(spread(values), digits);
}

export function named(front) {
  return Object.values(OURS).includes(front) ? `**${front}**` : front;
}

export function unique(values) {
  return [...new Set(values)];
}
