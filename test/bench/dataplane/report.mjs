/** The tables of part `dataplane` as Markdown, with each target. Pure. */
import { loadWords, number, table } from '../report.mjs';
import { median, quantile } from '../stats.mjs';
import {
  addedMs,
  coresWords,
  disturbedOf,
  frontsTable,
  named,
  PLACES,
  paired,
  range,
  ratio,
  ratioCell,
  unique,
} from './front-table.mjs';
import { AGENT, CADDY, DIRECT, HAPROXY_TCP, OURS } from './names.mjs';
import { atLeast, rangeOf, targetLines, targetsTable, told, under } from './targets.mjs';

const KEPT = 'keep-alive';
const NEW = 'new connections';
const BIG = '1 MiB bodies';
const ECHO = 'WebSocket echo';
const AT_MOST = { addedP99Ms: 0.2, switchMs: 2, deathMs: 50 };
const AT_LEAST = { remote: 0.95, loopback: 0.88, routes: 0.95 };
/** Of each section: the text before its targets, and these. */
const SECTIONS = { http, tcp, kernel, workers, crowd, switches, deaths, routes };

export function reportDataplane(results) {
  return ['## Data plane\n', ...Object.values(dataplaneSections(results))].join('\n');
}

/** By the name of the section: its text, which ends with a line break. When all were measured, `targets` has theirs. */
export function dataplaneSections(results) {
  const names = Object.keys(SECTIONS).filter((name) => results[name] !== undefined);
  const written = Object.fromEntries(names.map((name) => [name, sectionOf(results[name], SECTIONS[name])]));
  const isWhole = names.length === Object.keys(SECTIONS).length;
  const texts = Object.entries(written).map(([name, { text, targets }]) => [
    name,
    isWhole ? text : [text, ...targetLines(targets)].join('\n'),
  ]);
  const all = Object.values(written).flatMap(({ targets }) => targets);
  return { ...(isWhole ? { targets: targetsTable(all) } : {}), ...Object.fromEntries(texts) };
}

function sectionOf(result, write) {
  if (result.failure !== undefined) return { text: `Not measured: ${result.failure}\n`, targets: [] };
  const notes = result.notes.map((note) => `Note: ${note.trim()}.\n`);
  const { text, targets = [] } = write(result);
  return { text: [`${loadWords(result)}\n`, ...notes, text].join('\n'), targets };
}

function http(result) {
  const { runs } = result;
  const ours = OURS.http;
  const against = (other, load, least) =>
    atLeast(`${ours}, ${load}`, other, ratio(runs, { load, ours, theirs: other }), least);
  const cpu = ratio(runs, { load: BIG, ours, theirs: AGENT, field: 'cpuUs' });
  const cpuWords =
    cpu === undefined
      ? ''
      : `CPU for a MiB, ${ours} against ${AGENT}: ${rangeOf(cpu, 2)} (less is better).\n`;
  return {
    text: [frontsTable(result, CADDY), cpuWords].join('\n'),
    targets: [
      against(CADDY, KEPT, 1.4),
      against(CADDY, NEW, 0.6),
      ...[KEPT, NEW, BIG, ECHO].map((load) => against(AGENT, load, 2)),
    ],
  };
}

function tcp(result) {
  const against = (ours, load, least) =>
    atLeast(`${ours}, ${load}`, HAPROXY_TCP, ratio(result.runs, { load, ours, theirs: HAPROXY_TCP }), least);
  return {
    text: frontsTable(result, HAPROXY_TCP),
    targets: [against(OURS.kernel, KEPT, 1.8), against(OURS.kernel, NEW, 1), against(OURS.tcp, KEPT, 1)],
  };
}

function kernel(result) {
  const [ours, theirs] = [OURS.kernel, DIRECT];
  const targets = Object.entries(PLACES).flatMap(([place, words]) => [
    ...[KEPT, NEW].map((load) =>
      atLeast(
        `${ours}, ${load}, clients on ${words}`,
        theirs,
        ratio(result.runs, { load, ours, theirs, place }),
        AT_LEAST[place],
      ),
    ),
    under(
      `${ours}, added p99, clients on ${words}`,
      theirs,
      addedMs(result, ours, place),
      AT_MOST.addedP99Ms,
      'ms',
    ),
  ]);
  return { text: frontsTable(result, DIRECT), targets };
}

function workers({ rounds, seconds, runs }) {
  const of = (load, front) =>
    runs.filter((run) => run.load === load && run.front === front && run.failure === undefined);
  const loads = unique(runs.map(({ load }) => load));
  const rows = loads.flatMap((load) =>
    unique(runs.map(({ front }) => front)).map((front) => {
      const mine = of(load, front);
      const against = paired(mine, of(load, '1'), ({ perSecond }) => perSecond);
      const each = (field, digits, scale = 1) =>
        range(
          mine.map((run) => run[field] / scale),
          digits,
        );
      return [
        ...[load, front, each('perSecond', 0), front === '1' ? '' : ratioCell(against)],
        ...[each('cpuUs', 1), each('p50us', 2, 1_000), each('p99us', 2, 1_000)],
      ];
    }),
  );
  return {
    text: [
      `${rounds} rounds of ${seconds} s a run, interleaved. Nothing pinned; clients on this host. Median (min-max). ${disturbedOf(runs)}\n`,
      table(
        ['load', 'workers', 'per second', '/ 1 worker', 'CPU µs each, all workers', 'p50 ms', 'p99 ms'],
        rows,
      ),
      '',
    ].join('\n'),
  };
}

function crowd({ fronts }) {
  const rows = fronts.map(({ front, connections, before, during, left, failure }) =>
    failure === undefined
      ? [
          named(front),
          number(connections, 0),
          ...[before.rssMb, during.rssMb, during.pssMb].map((mb) => number(mb, 1)),
          number(((during.rssMb - before.rssMb) * 1_000) / connections, 1),
          number(left, 0),
        ]
      : [named(front), number(connections, 0), failure, '', '', '', ''],
  );
  const head = ['path', 'connections', 'RSS before, MB', 'RSS with them', 'PSS then', 'RSS kB each', 'left'];
  return { text: `${table(head, rows)}\n` };
}

function switches({ wanted, proxy, driver, ahead, byHand }) {
  const row = (name, { times, connections, tracked, failed, asked, stale }) => [
    ...[name, number(times.length, 0)],
    ...[quantile(times, 0.5), quantile(times, 0.99), Math.max(...times)].map((ms) => number(ms, 2)),
    ...[connections, tracked, failed, asked, stale].map((count) => number(count, 0)),
  ];
  const met = proxy.times.length >= wanted.switches && proxy.connections >= wanted.connections;
  const failed = proxy.failed + driver.failed + ahead.failed;
  const stale = proxy.stale + driver.stale + ahead.stale;
  const text = `${table(
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
      row('a kept nft by hand, asked by the same', byHand),
    ],
  )}\n`;
  return {
    text,
    targets: [
      told(
        `${OURS.kernel}, switches under load`,
        '',
        `${number(wanted.switches, 0)} and ${number(wanted.connections, 0)} new connections, none failed`,
        met && failed === 0 && stale === 0,
        `${proxy.times.length} switches, ${number(proxy.connections, 0)} connections, ${failed} failed`,
      ),
      under(
        `${OURS.kernel}, a switch of the map, for who does not wait for a core, p99`,
        '',
        { median: quantile(ahead.times, 0.99) },
        AT_MOST.switchMs,
        'ms',
      ),
    ],
  };
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
  const text = `${table(
    ['killed', 'times', 'new ones hang for, median ms', 'max ms', 'hung', 'moved then', 'refused then'],
    rows.map(([name, some]) => row(name, some)),
  )}\n`;
  return {
    text,
    targets: [
      told(
        `${OURS.kernel}, a container killed`,
        '',
        `new connections refused or moved within ${AT_MOST.deathMs} ms`,
        most <= AT_MOST.deathMs && settled === results.length,
        `at most ${number(most, 1)} ms; ${settled} of ${results.length} were followed by answers or refusals in the ${number(lookMs, 0)} ms that were looked at`,
      ),
    ],
  };
}

function routes(result) {
  const one = { routes: 1, backends: 1 };
  const shapes = unique(result.runs.map(({ routes, backends }) => JSON.stringify({ routes, backends })))
    .map((text) => JSON.parse(text))
    .sort((a, b) => a.backends - b.backends || a.routes - b.routes);
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
    shapes.map((shape) => {
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
  const cores = coresWords(result.runs);
  const many = { routes: 1_000, backends: 1 };
  const text = `${cores === '' ? '' : `${cores}\n\n`}${table(
    [
      ...['path', 'routes', 'backends', 'keep-alive, requests/s', '/ 1 route'],
      ...['new connections/s', '/ 1 route', 'table put, ms'],
    ],
    rows,
  )}\n`;
  const targets = Object.values(OURS).flatMap((path) =>
    [KEPT, NEW].map((load) =>
      atLeast(`${path}, ${load}, 1,000 routes`, '1 route', against(path, load, many), AT_LEAST.routes),
    ),
  );
  return { text, targets };
}
