/** The tables of the benchmark as Markdown. Pure. */
import { median, pairedRatio, spread } from './stats.mjs';

/** What the switch and the start of the command line are to reach. */
const SWITCH_TARGET_MS = 20;
const CLI_TARGETS = { 'gantry --help': 0.15 / 0.06, 'gantry CONFIG list web': 0.3 / 0.06 };
const MOST_FOREIGN = 0.1;
const OURS = 'gantryd';
const THEIRS = 'haproxy';

/** Each step of an update: what it is, and from which moment to which. */
const STEPS = [
  ['command line to release made', 'began', 'released'],
  ['release made to container created', 'released', 'created'],
  ['created to started', 'created', 'started'],
  ['started to ready (the application itself)', 'started', 'ready'],
  ['ready to switched, as gantry tells it', 'ready', 'switched'],
  ['**ready to first new answer**', 'ready', 'answered'],
  ['command line to first new answer', 'began', 'answered'],
  ['command line to its end, old container gone', 'began', 'ended'],
];

export function reportMachine({ cpu, cores, memoryGiB, kernel, node, load }) {
  return `Machine: ${cores} × ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}; load average before ${load.join(' ')}\n`;
}

export function reportProxy({ rounds, seconds, pinned, notes, runs }) {
  const workloads = [...new Set(runs.map((run) => run.workload))];
  const rows = workloads.flatMap((workload) => workloadRows(runs.filter((run) => run.workload === workload)));
  const disturbed = runs.filter((run) => run.foreign > MOST_FOREIGN).length;
  const placed = pinned ? 'load and backend on core 0, the proxy alone on core 1' : 'nothing pinned';
  return [
    '## Proxy\n',
    `${rounds} rounds of ${seconds} s a run, interleaved; ${placed}. Median (min-max); ratios are paired within a round.`,
    `${disturbed} of ${runs.length} runs were disturbed: others used more than ${percent(MOST_FOREIGN)} of a core (at most ${percent(Math.max(...runs.map((run) => run.foreign)))}).`,
    ...notes.map((note) => `Note: ${note}.`),
    '',
    table(
      [
        'load',
        'path',
        'requests/s',
        '/ haproxy',
        '/ direct',
        'proxy CPU µs/request',
        '/ haproxy',
        'p50 ms',
        'p99 ms',
        'MB/s',
      ],
      rows,
    ),
    '',
  ].join('\n');
}

function workloadRows(runs) {
  const fronts = [...new Set(runs.map((run) => run.front))];
  const of = (front, field) => runs.filter((run) => run.front === front).map((run) => run[field]);
  return fronts.map((front) => {
    const ratio = (to, field) => {
      const theirs = of(to, field);
      return to === front || theirs[0] === undefined ? '' : range(pairedRatio(of(front, field), theirs), 2);
    };
    const hasCpu = of(front, 'cpuUs')[0] !== undefined;
    return [
      runs[0].workload,
      front === OURS ? `**${front}**` : front,
      range(spread(of(front, 'perSecond')), 0),
      front === OURS ? ratio(THEIRS, 'perSecond') : '',
      ratio('direct', 'perSecond'),
      hasCpu ? range(spread(of(front, 'cpuUs')), 1) : '',
      front === OURS ? ratio(THEIRS, 'cpuUs') : '',
      number(median(of(front, 'p50us')) / 1000, 2),
      number(median(of(front, 'p99us')) / 1000, 2),
      runs[0].workload.includes('MiB') ? number(median(of(front, 'bytesPerSecond')) / 1e6, 0) : '',
    ];
  });
}

export function reportUpdate(result) {
  return `## Update\n\n${updateText(result)}`;
}

export function updateText({ updates }) {
  const times = ([, from, to]) => updates.map((moments) => moments[to] - moments[from]);
  const rows = STEPS.map((step) => {
    const ms = spread(times(step));
    return [step[0], number(ms.median, 1), number(ms.min, 1), number(ms.max, 1)];
  });
  const sum = (field) => updates.reduce((total, one) => total + one[field], 0);
  const busy = updates.filter((one) => !one.quiet).length;
  const ready = median(times(STEPS[5]));
  return [
    `${updates.length} updates of one component (the example application, one http ready check) on a real engine;`,
    `a client asks over a new connection about every millisecond: ${sum('asked')} requests, ${sum('failed')} failed.`,
    `${busy} began while others used more than ${percent(MOST_FOREIGN)} of a core.`,
    '',
    table(['step', 'p50 ms', 'min ms', 'max ms'], rows),
    '',
    `Target, ready to first new answer under ${SWITCH_TARGET_MS} ms: ${verdict(ready, SWITCH_TARGET_MS)} (${number(ready, 1)} ms).`,
    '',
  ].join('\n');
}

export function reportCli(result) {
  return `## Command line\n\n${cliText(result)}`;
}

export function cliText({ rounds, disturbed, times }) {
  const [[, base], ...others] = Object.entries(times);
  const row = (name, values) => {
    const ms = spread(values);
    return [`\`${name}\``, number(ms.median, 0), number(ms.min, 0), number(ms.max, 0)];
  };
  const rows = others.map(([name, values]) => {
    const ratio = pairedRatio(values, base).median;
    const target = CLI_TARGETS[name];
    const said = target === undefined ? '' : `${number(target, 1)}: ${verdict(ratio, target)}`;
    return [...row(name, values), number(ratio, 2), said];
  });
  return [
    `${rounds} runs of each, interleaved; ${disturbed} rounds began while others used more than ${percent(MOST_FOREIGN)} of a core.`,
    '',
    table(
      ['command', 'median ms', 'min ms', 'max ms', '/ `node -e 0`', 'target'],
      [[...row('node -e 0', base), '1', ''], ...rows],
    ),
    '',
  ].join('\n');
}

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function verdict(value, target) {
  return value < target ? 'met' : 'missed';
}

function range({ median: middle, min, max }, digits) {
  return `${number(middle, digits)} (${number(min, digits)}-${number(max, digits)})`;
}

export function number(value, digits) {
  const fixed = value.toFixed(digits);
  return digits === 0 ? fixed.replace(/\B(?=(\d{3})+$)/g, ',') : fixed;
}

/** Median, least and most, for the cells of a row. */
export function cells(values, digits = 0) {
  const { median: middle, min, max } = spread(values);
  return [middle, min, max].map((value) => number(value, digits));
}

export function target(what, met, measured) {
  return `Target, ${what}: **${met ? 'met' : 'missed'}** (${measured}).\n`;
}

export function loadWords({ load: [before, after], lateMs, tookMs }) {
  return `This part took ${number(tookMs / 1000, 0)} s; load average ${number(before, 1)} before, ${number(after, 1)} after; this process was woken up to ${number(lateMs, 1)} ms late (p99).`;
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
