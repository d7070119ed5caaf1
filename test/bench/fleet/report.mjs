/** The tables of the part `fleet` as Markdown. Pure. */
import { number, table, verdict } from '../report.mjs';
import { median, quantile } from '../stats.mjs';

/** What is to be reached on a machine that does nothing else. */
const REACTION_TARGET_MS = 50;
const FAN_OUT_TARGET_MS = 250;
const WRITES_TARGET = 1;
const MIB = 2 ** 20;
const SHOWN_ORIGINS = 6;

export function reportFleet({ latency, rollout, scale }) {
  return [
    '## Fleet\n',
    ...(latency === undefined ? [] : reportLatency(latency)),
    ...(rollout === undefined ? [] : reportRollouts(rollout)),
    ...(scale === undefined ? [] : reportScale(scale)),
  ].join('\n');
}

function reportLatency({ runs, ...load }) {
  const groups = groupBy(runs, ({ members }) => members).flatMap(([members, own]) =>
    ['update', 'stop'].map((kind) => ({ members, kind, own: own.map((run) => ofKind(run, kind)) })),
  );
  const rows = groups.map(({ members, kind, own }) => {
    const since = (from, to) => threeOf(own.map((intents) => intents.map((i) => i[to] - (i[from] ?? 0))));
    return [
      members,
      kind,
      since('sent', 'answered'),
      since('answered', 'watched'),
      since('answered', 'acted'),
      since('answered', 'visible'),
      since('sent', 'visible'),
    ];
  });
  const worst = Math.max(
    ...groups.map(({ own }) =>
      median(
        own.map((all) =>
          quantile(
            all.map((i) => i.visible - i.answered),
            0.99,
          ),
        ),
      ),
    ),
  );
  const count = runs.reduce((sum, { intents }) => sum + intents.length, 0);
  return [
    `### From an intent to the reaction\n`,
    `${count} intents in ${runs.length} runs, by one agent; p50 / p99 / max in ms, medians over the runs. ${loadWords(load)}`,
    '',
    table(
      [
        'etcd members',
        'intent',
        'write sent to answered',
        'answered to another client that watches',
        'answered to the first step in the agent',
        'answered to visible in etcd',
        'sent to visible in etcd',
      ],
      rows,
    ),
    '',
    `Target, answered to visible at most ${REACTION_TARGET_MS} ms (p99): ${verdict(worst, REACTION_TARGET_MS)} (${number(worst, 1)} ms).`,
    '',
  ];
}

function ofKind({ intents }, kind) {
  return intents.filter((intent) => intent.kind === kind);
}

/** p50, p99 and max, each the median over the runs. */
function threeOf(runs) {
  const of = (measure) => number(median(runs.map(measure)), 1);
  return [of(median), of((v) => quantile(v, 0.99)), of((v) => Math.max(...v))].join(' / ');
}

function reportRollouts({ rollouts, ...load }) {
  const groups = groupBy(rollouts, ({ maxParallel }) => maxParallel);
  const rows = groups.map(([maxParallel, own]) => {
    const starts = own.map(({ hosts }) => sum(hosts.map((h) => h.toStarted + h.toReady)));
    const of = (measure) => number(median(own.map(measure)), 0);
    const each = (step) => number(median(own.flatMap(({ hosts }) => hosts.map((h) => h[step]))), 0);
    return [
      maxParallel,
      of((r) => r.wallMs),
      number(median(starts), 0),
      number(median(own.map((r, i) => r.wallMs / starts[i])), 2),
      of((r) => r.preparedMs),
      ...['toCreated', 'toStarted', 'toReady', 'toSwitched', 'toSettled'].map(each),
      maxParallel === 1 ? of(handOver) : '',
      of((r) => r.wallMs - r.preparedMs - r.turnsMs),
    ];
  });
  return [
    '### A rollout through three hosts\n',
    `${rollouts.length} rollouts of the example application, three real engines, \`monitor\` 0; medians in ms. ${loadWords(load)}`,
    '',
    table(
      [
        'maxParallel',
        'rollout',
        'sum of container starts',
        'ratio',
        'all prepared',
        'turn to created',
        'created to started',
        'started to ready',
        'ready to switched',
        'switched to settled',
        'settled to the next turn',
        'last settled to done',
      ],
      rows,
    ),
    '',
  ];
}

/** What of the turns is nobody's: between one host that settles and the next that begins. */
function handOver({ turnsMs, hosts }) {
  const own = sum(hosts.map((h) => h.toCreated + h.toStarted + h.toReady + h.toSwitched + h.toSettled));
  return (turnsMs - own) / (hosts.length - 1);
}

function reportScale({ sizes, components, maxParallel, cores, ...load }) {
  const met = sizes.filter(({ changes }) => fanOut(changes, 0.99) < FAN_OUT_TARGET_MS);
  const largest = Math.max(0, ...met.map(({ agents }) => agents));
  return [
    '### Many agents\n',
    `${components} components each, three members of etcd; all on this machine. ${loadWords(load)}`,
    '',
    'At rest, over a minute:',
    '',
    table(
      [
        'agents',
        'requests/s to etcd',
        'per agent',
        'renewals/s',
        'reads/s',
        `writes per agent and 5 s (at most ${WRITES_TARGET})`,
        'etcd CPU, % of a core',
        'etcd memory, MiB, 3 members',
        'agents CPU, % of a core',
        'memory per agent, MiB (heap)',
        'time to start',
      ],
      sizes.map(restRow),
    ),
    '',
    'One change that concerns all, from before it is written to the first step in each agent, and an update of one component:',
    '',
    table(
      [
        'agents',
        'p50 ms',
        'p99 ms',
        'max ms',
        `target p99 ${FAN_OUT_TARGET_MS} ms`,
        `update through all, s (maxParallel ${maxParallel})`,
        'all prepared, s',
        'first turn, s',
        'a turn, p50 / p99 s',
        'CPU s: agents',
        'flock',
        'etcd',
        'share of all cores',
        'events to agents',
        'writes',
      ],
      sizes.map((size) => waveRow(size, cores)),
    ),
    '',
    `The largest number here that meets the target for a change: ${largest}.`,
    ...sizes.map(({ agents, troubles }) => troubleWords(agents, troubles)),
    '',
    "Where the agents spend their CPU time, by V8's sampling profiler in one of the processes:",
    '',
    table(['agents', 'during', 'origins, %', 'functions, %'], sizes.flatMap(profileRows)),
    '',
  ];
}

function restRow({ agents, rest, rssPerAgent, heapPerAgent, etcdRss, startedMs }) {
  const perSecond = (count) => (count * 1000) / rest.ms;
  const all = perSecond(sum(Object.values(rest.requests)));
  return [
    agents,
    number(all, 1),
    number(all / agents, 2),
    number(perSecond(rest.requests.LeaseKeepAlive ?? 0), 1),
    number(perSecond(rest.requests.Range ?? 0), 1),
    number((rest.puts / agents / rest.ms) * 5000, 3),
    number((rest.etcdCpuMs / rest.ms) * 100, 1),
    number(etcdRss / MIB, 0),
    number((rest.agentsCpuMs / rest.ms) * 100, 1),
    `${number(rssPerAgent / MIB, 2)} (${number(heapPerAgent / MIB, 2)})`,
    `${number(startedMs / 1000, 1)} s`,
  ];
}

function waveRow({ agents, changes, wave }, cores) {
  const p99 = fanOut(changes, 0.99);
  const change = [
    agents,
    number(fanOut(changes, 0.5), 1),
    number(p99, 1),
    number(fanOut(changes, 1), 1),
    verdict(p99, FAN_OUT_TARGET_MS),
  ];
  if (typeof wave === 'string') return [...change, `not to its end: ${wave}`, ...Array(9).fill('')];
  const { window } = wave;
  const seconds = (ms) => number(ms / 1000, 1);
  const cpuMs = window.agentsCpuMs + window.childrenCpuMs + window.etcdCpuMs;
  return [
    ...change,
    seconds(wave.totalMs),
    seconds(wave.preparedMs),
    seconds(wave.openedMs),
    `${seconds(quantile(wave.turnMs, 0.5))} / ${seconds(quantile(wave.turnMs, 0.99))}`,
    seconds(window.agentsCpuMs),
    seconds(window.childrenCpuMs),
    seconds(window.etcdCpuMs),
    `${number((cpuMs / window.ms / cores) * 100, 0)} %`,
    number(window.events, 0),
    number(window.puts + window.deletes, 0),
  ];
}

function fanOut(changes, share) {
  return median(changes.map((times) => quantile(times, share)));
}

function profileRows({ agents, rest, wave }) {
  const row = (during, { profile }) => [agents, during, shares(profile.origins), shares(profile.top)];
  return typeof wave === 'string' ? [row('rest', rest)] : [row('rest', rest), row('update', wave.window)];
}

function shares(named) {
  const shown = named.slice(0, SHOWN_ORIGINS);
  return shown.map(({ name, share }) => `${name} ${number(share * 100, 0)}`).join('; ');
}

function troubleWords(agents, troubles) {
  if (troubles.length === 0) return '';
  return `\nWith ${agents} agents ${troubles.length} troubles were told, the first: ${troubles[0]}`;
}

function loadWords({ load: [before, after], lateMs }) {
  return `Load average ${number(before, 1)} before, ${number(after, 1)} after; an idle process was woken up to ${number(lateMs, 1)} ms late (p99).`;
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups];
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
