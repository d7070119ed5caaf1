/** The tables of part `dataplane` as Markdown, with each target. Pure. */

import { loadWords, number, table, target } from '../report.mjs';
import { median, quantile, spread } from '../stats.mjs';
import { AGENT, CADDY, DIRECT, HAPROXY_TCP, OURS } from './names.mjs';

const MOST_FOREIGN = 0.1;
const KEPT = 'keep-alive';
const NEW = 'new connections';
const FIXED = '5000 requests/s';
const PLACES = { remote: 'another machine', loopback: '127.0.0.1' };
const AT_MOST = { addedP99Ms: 0.2, switchMs: 2, deathMs: 50 };
const AT_LEAST = { remote: 0.95, loopback: 0.88, routes: 0.95 };

export function reportDataplane(results) {
  return ['## Data plane\n', ...Object.values(dataplaneSections(results))].join('\n');
}

/** By the name of the section: its text, which ends with a line break. */
export function dataplaneSections(results) {
  const written = { http, tcp, kernel, crowd, switches, deaths, routes };
  const names = Object.keys(written).filter((name) => results[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, sectionOf(results[name], written[name])]));
}

function sectionOf(result, write) {
  if (result.failure !== undefined) return `Not measured: ${result.failure}\n`;
  const notes = result.notes.map((note) => `Note: ${note.trim()}.\n`);
  return [`${loadWords(result)}\n`, ...notes, write(result)].join('\n');
}

function http(result) {
  const ours = OURS.http;
  const against = (other, load, least) =>
    atLeast(`${ours}, ${load}, against ${other}`, ratio(result.runs, { load, ours, theirs: other }), least);
  return [
    frontsTable(result, CADDY),
    against(CADDY, KEPT, 1.4),
    against(CADDY, NEW, 0.6),
    ...[KEPT, NEW, '1 MiB bodies', 'WebSocket echo'].map((load) => against(AGENT, load, 2)),
  ].join('\n');
}

function tcp(result) {
  const against = (ours, load, least) =>
    atLeast(
      `${ours}, ${load}, against ${HAPROXY_TCP}`,
      ratio(result.runs, { load, ours, theirs: HAPROXY_TCP }),
      least,
    );
  return [
    frontsTable(result, HAPROXY_TCP),
    against(OURS.kernel, KEPT, 1.8),
    against(OURS.kernel, NEW, 1),
    against(OURS.tcp, KEPT, 1),
  ].join('\n');
}

function kernel(result) {
  const [ours, theirs] = [OURS.kernel, DIRECT];
  const lines = Object.entries(PLACES).flatMap(([place, words]) => [
    ...[KEPT, NEW].map((load) =>
      atLeast(
        `clients on ${words}, ${load}, against direct`,
        ratio(result.runs, { load, ours, theirs, place }),
        AT_LEAST[place],
      ),
    ),
    atMost(`clients on ${words}, added p99`, addedMs(result.runs, ours, place), AT_MOST.addedP99Ms, 'ms'),
  ]);
  return [frontsTable(result, DIRECT), ...lines].join('\n');
}

function crowd({ connections, fronts }) {
  const rows = fronts.map(({ front, before, during, left, failure }) =>
    failure === undefined
      ? [
          named(front),
          number(before.rssMb, 1),
          number(during.rssMb, 1),
          number(during.pssMb, 1),
          number(((during.rssMb - before.rssMb) * 1_000) / connections, 1),
          number(left, 0),
        ]
      : [named(front), failure, '', '', '', ''],
  );
  return `${table(['path', 'RSS before, MB', `with ${number(connections, 0)} connections`, 'PSS then, MB', 'RSS kB each', 'connections left'], rows)}\n`;
}

function switches({ wanted, proxy, driver, ahead }) {
  const row = (name, { times, connections, tracked, failed, asked, stale }) => [
    ...[name, number(times.length, 0)],
    ...[quantile(times, 0.5), quantile(times, 0.99), Math.max(...times)].map((ms) => number(ms, 2)),
    ...[connections, tracked, failed, asked, stale].map((count) => number(count, 0)),
  ];
  const met = proxy.times.length >= wanted.switches && proxy.connections >= wanted.connections;
  const failed = proxy.failed + driver.failed + ahead.failed;
  const stale = proxy.stale + driver.stale + ahead.stale;
  return [
    table(
      [
        ...['switched by', 'switches', 'p50 ms', 'p99 ms', 'max ms'],
        ...[
          'new connections meanwhile',
          'tracked at the end',
          'failed',
          'asked right after a switch',
          'led to the old one',
        ],
      ],
      [
        row('PUT to the proxy, which keeps its table on disk', proxy),
        row('the driver alone', driver),
        row('the driver alone, asked by who does not wait for a core', ahead),
      ],
    ),
    '',
    target(
      `${number(wanted.switches, 0)} switches and ${number(wanted.connections, 0)} new connections, none failed`,
      met && failed === 0 && stale === 0,
      `${proxy.times.length} switches, ${number(proxy.connections, 0)} connections, ${failed} failed`,
    ),
    atMost(
      'a switch of the map, for who does not wait for a core, p99',
      { median: quantile(ahead.times, 0.99) },
      AT_MOST.switchMs,
      'ms',
    ),
  ].join('\n');
}

function deaths({ results, lookMs }) {
  const row = (name, some) => {
    const times = some.map(({ untilMs }) => untilMs);
    return [
      ...[name, number(some.length, 0)],
      ...[median(times), Math.max(...times)].map((ms) => number(ms, 1)),
      ...['hung', 'moved', 'refused'].map((field) =>
        number(
          some.reduce((sum, one) => sum + one[field], 0),
          0,
        ),
      ),
    ];
  };
  const of = (beside) => results.filter((one) => one.beside === beside);
  const rows = [
    ['the only container', of(false)],
    ['one of two', of(true)],
  ].filter(([, some]) => some.length > 0);
  const most = Math.max(...results.map(({ untilMs }) => untilMs));
  const settled = results.filter(({ beside, moved, refused }) => (beside ? moved > 0 : refused > 0)).length;
  return [
    table(
      ['killed', 'times', 'new ones hang for, median ms', 'max ms', 'hung', 'moved then', 'refused then'],
      rows.map(([name, some]) => row(name, some)),
    ),
    '',
    target(
      `new connections refused or moved within ${AT_MOST.deathMs} ms`,
      most <= AT_MOST.deathMs && settled === results.length,
      `at most ${number(most, 1)} ms; ${settled} of ${results.length} were followed by answers or refusals in the ${number(lookMs, 0)} ms that were looked at`,
    ),
  ].join('\n');
}

function routes(result) {
  const one = { routes: 1, backends: 1 };
  const shapes = unique(result.runs.map(({ routes, backends }) => JSON.stringify({ routes, backends })));
  const of = (path, load, shape) =>
    result.runs.filter(
      (run) =>
        run.front === path &&
        run.load === load &&
        run.failure === undefined &&
        run.routes === shape.routes &&
        run.backends === shape.backends,
    );
  const against = (path, load, shape) =>
    paired(of(path, load, shape), of(path, load, one), ({ perSecond }) => perSecond);
  const rows = Object.values(OURS).flatMap((path) =>
    shapes.map(JSON.parse).map((shape) => {
      const cells = [KEPT, NEW].flatMap((load) => {
        const runs = of(path, load, shape);
        return [
          range(
            runs.map(({ perSecond }) => perSecond),
            0,
          ),
          ratioCell(against(path, load, shape)),
        ];
      });
      const puts = of(path, KEPT, shape).map(({ putMs }) => putMs);
      return [path, number(shape.routes, 0), number(shape.backends, 0), ...cells, range(puts, 0)];
    }),
  );
  const many = { routes: 1_000, backends: 1 };
  return [
    table(
      [
        ...['path', 'routes', 'backends', 'keep-alive, requests/s', '/ 1 route'],
        ...['new connections/s', '/ 1 route', 'table put, ms'],
      ],
      rows,
    ),
    '',
    ...Object.values(OURS).flatMap((path) =>
      [KEPT, NEW].map((load) =>
        atLeast(`${path}, ${load}, 1,000 routes against 1`, against(path, load, many), AT_LEAST.routes),
      ),
    ),
  ].join('\n');
}

/** Of each load and place, its fronts, with their ratios to direct and to `other`. */
function frontsTable({ rounds, seconds, pinned, runs }, other) {
  const places = unique(runs.map(({ place }) => place));
  const groups = places.flatMap((place) =>
    unique(runs.map(({ load }) => load)).map((load) =>
      runs.filter((r) => r.place === place && r.load === load),
    ),
  );
  const rows = groups.flatMap((group) => frontRows(group, other, places.length > 1));
  const others = other === DIRECT ? [] : [`/ ${other}`];
  const head = [
    'load',
    'path',
    'per second',
    '/ direct',
    ...others,
    'CPU µs each',
    'p50 ms',
    'p99 ms',
    'added p99 ms',
  ];
  const done = runs.filter(({ foreign }) => foreign !== undefined);
  const disturbed = done.filter(({ foreign }) => foreign > MOST_FOREIGN).length;
  const placed = pinned
    ? 'Load and container on core 0, the proxy alone on core 1; direct and kernel: the container on core 1.'
    : 'Nothing pinned.';
  return [
    `${rounds} rounds of ${seconds} s a run (bodies and WebSockets half of that), interleaved. ${placed} Median (min-max); ratios are paired within a round. ${disturbed} of ${done.length} runs were disturbed: others used more than a tenth of a core.\n`,
    table(head, rows),
    '',
  ].join('\n');
}

function frontRows(group, other, showPlace) {
  const [{ load, place }] = group;
  const where = showPlace ? `${load}, from ${PLACES[place]}` : load;
  return unique(group.map(({ front }) => front)).map((front) => {
    const runs = of(group, { load, front, place });
    const failure = group.find((run) => run.front === front && run.failure !== undefined)?.failure;
    const against = (theirs) =>
      front === theirs || load === FIXED ? '' : ratioCell(ratio(group, { load, ours: front, theirs, place }));
    const each = (field, scale = 1) => runs.map((run) => run[field] / scale);
    const isAdded = load === FIXED && front !== DIRECT;
    const added = isAdded ? ratioCell(addedMs(group, front, place)) : '';
    const cpu = runs.some(({ cpuUs }) => cpuUs !== undefined) ? range(each('cpuUs'), 1) : '';
    const rate = runs.length > 0 ? range(each('perSecond'), 0) : `failed: ${failure}`;
    return [
      ...[where, named(front), rate, against(DIRECT)],
      ...(other === DIRECT ? [] : [against(other)]),
      ...[cpu, range(each('p50us', 1_000), 2), range(each('p99us', 1_000), 2), added],
    ];
  });
}

function of(runs, { load, front, place }) {
  return runs.filter(
    (run) =>
      run.load === load &&
      run.front === front &&
      (place === undefined || run.place === place) &&
      run.failure === undefined,
  );
}

/** undefined: there is no round in which both were measured. */
function ratio(runs, { load, ours, theirs, place }) {
  const [mine, other] = [ours, theirs].map((front) => of(runs, { load, front, place }));
  return paired(mine, other, ({ perSecond }) => perSecond);
}

function paired(mine, other, value, combine = (a, b) => a / b) {
  const pairs = mine.flatMap((run) => {
    const partner = other.find(({ round }) => round === run.round);
    return partner === undefined ? [] : [combine(value(run), value(partner))];
  });
  return pairs.length === 0 ? undefined : spread(pairs);
}

function addedMs(runs, front, place) {
  const [mine, other] = [front, DIRECT].map((name) => of(runs, { load: FIXED, front: name, place }));
  return paired(
    mine,
    other,
    ({ p99us }) => p99us / 1_000,
    (a, b) => a - b,
  );
}

function atLeast(what, measured, least) {
  if (measured === undefined) return target(`${what}: at least ${number(least, 2)}`, false, 'not measured');
  return target(`${what}: at least ${number(least, 2)}`, measured.median >= least, rangeOf(measured, 2));
}

function atMost(what, measured, most, unit) {
  const words = `${what}: under ${number(most, 1)} ${unit}`;
  if (measured === undefined) return target(words, false, 'not measured');
  return target(words, measured.median < most, `${rangeOf(measured, 2)} ${unit}`);
}

function ratioCell(measured) {
  return measured === undefined ? '' : rangeOf(measured, 2);
}

function range(values, digits) {
  return values.length === 0 ? '' : rangeOf(spread(values), digits);
}

function rangeOf({ median: middle, min, max }, digits) {
  const text = number(middle, digits);
  return min === undefined || min === max ? text : `${text} (${number(min, digits)}-${number(max, digits)})`;
}

function named(front) {
  return Object.values(OURS).includes(front) ? `**${front}**` : front;
}

function unique(values) {
  return [...new Set(values)];
}
