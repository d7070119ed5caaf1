/** The tables of the part `continuity` as Markdown. Pure. */
import { cells, loadWords, number, table, target } from '../report.mjs';
import { median, spread } from '../stats.mjs';

/** What is to be reached on a machine that does nothing else. */
const DEPLOYS_TARGET = 100;
const REQUESTS_TARGET = 1_000_000;
const CONNECTIONS_TARGET = 5_000;
const STARTED_TARGET_MS = 1_000;
const HEALED_TARGET_MS = 20_000;
const PROXY_BACK_TARGET_MS = 1_000;
const ROLLBACK_TARGET_MS = 1_000;
const COMPONENTS_TARGET = 50;
const MEMORY_TARGET_MB = 120;
const MIB_IN_MB = 2 ** 20 / 1e6;

const SOURCES = {
  wrk: 'requests on 16 kept connections, as fast as they are answered (wrk)',
  'keep-alive': 'requests on kept connections',
  'new connection': 'requests, each on a new connection',
  post: 'POST, the body comes back',
  upload: 'chunked uploads of 128 KiB over 0.2 s',
  slow: 'requests that take 1.5 s',
  events: 'server-sent events',
  websocket: 'WebSocket echoes',
  tcp: 'raw TCP echoes',
};
/** What long connections say is no request. */
const STREAMS = ['events', 'websocket', 'tcp'];

const SECTIONS = {
  deploys: reportDeploys,
  connections: reportConnections,
  healing: reportHealing,
  rollback: reportRollbacks,
  memory: reportMemory,
};

export function reportContinuity(results) {
  const sections = Object.entries(results).flatMap(([name, { failure, ...result }]) =>
    failure === undefined ? SECTIONS[name](result) : [`### ${name}\n`, `**Failed**: ${failure}\n`],
  );
  return ['## Continuity\n', ...sections].join('\n');
}

function reportDeploys({
  deployMs,
  wallMs,
  sources,
  wrk,
  errors,
  streams,
  cut,
  crossed,
  mostContainers,
  ...load
}) {
  const requests = sum(sources.filter(({ name }) => !STREAMS.includes(name)).map(({ sent }) => sent));
  const failed = sum(sources.map((source) => source.failed));
  const enough = deployMs.length >= DEPLOYS_TARGET && requests >= REQUESTS_TARGET;
  return [
    '### Deploys under load\n',
    `${deployMs.length} times \`gantry CONFIG update web --detach\` one right after the other, in ${seconds(wallMs)} s on one host: ${range(deployMs, 0)} ms each, at most ${mostContainers} containers at a time. wrk waited ${number(median(wrk.map((w) => w.p50Ms)), 1)} ms (p50) and ${number(median(wrk.map((w) => w.p99Ms)), 1)} ms (p99) for an answer, medians of ${wrk.length} slices; ${number(Math.max(...wrk.map((w) => w.maxMs)), 0)} ms at most. ${loadWords(load)}`,
    '',
    table(
      ['load', 'sent', 'failed'],
      sources.map(({ name, sent, failed: lost }) => [SOURCES[name], number(sent, 0), number(lost, 0)]),
    ),
    '',
    `${number(streams, 0)} streams (a third each) were each held over the ${crossed} deploys after they were opened: ${cut} cut.`,
    ...errors.map((error) => `- ${error}`),
    '',
    target(
      `${DEPLOYS_TARGET} deploys and ${number(REQUESTS_TARGET, 0)} requests, none failed`,
      enough && failed === 0 && cut === 0,
      `${deployMs.length} deploys, ${number(requests, 0)} requests, ${failed} failed`,
    ),
    '',
  ];
}

function reportConnections({ connections, led, openedMs, holders, steps, reasons, ...load }) {
  const rows = steps.map(({ name, tookMs, alive, cut, cutLed, slowestMs, skipped }) => [
    name,
    skipped ?? seconds(tookMs),
    number(alive, 0),
    cut,
    cutLed,
    number(slowestMs, 0),
  ]);
  // The last step kills the proxy, and cuts what goes through it.
  const { cut } = steps.at(-2);
  const { cutLed } = steps.at(-1);
  const whole = connections >= CONNECTIONS_TARGET && steps.every(({ skipped }) => skipped === undefined);
  return [
    '### Connections that stay\n',
    `${number(connections, 0)} connections, half WebSockets, half raw TCP (${number(led, 0)} of these led by the kernel), opened in ${seconds(openedMs)} s to the ${holders} containers of the first release and never again. Each says something every 5 s, which must come back unchanged within 30 s; after each step all had to prove so. ${loadWords(load)}`,
    '',
    table(['across', 'took, s', 'alive', 'cut', 'of those, led by the kernel', 'slowest echo, ms'], rows),
    '',
    ...reasons.map((reason) => `- ${reason}`),
    target(
      `${number(CONNECTIONS_TARGET, 0)} connections, none cut while no proxy is killed`,
      whole && cut === 0,
      `${cut} of ${number(connections, 0)}${whole ? '' : ', not all steps or fewer connections'}`,
    ),
    target(
      'the kernel leads some of them, none cut when the proxy is killed',
      led > 0 && cutLed === 0,
      `${cutLed} of ${number(led, 0)}`,
    ),
    '',
  ];
}

function reportHealing({ deaths, illnesses, proxies, ...load }) {
  const died = (of) => cells(deaths.map(of));
  const ill = (of) => cells(illnesses.map(of));
  const started = Math.max(...deaths.map(({ toStarted }) => toStarted));
  const without = Math.max(
    ...illnesses.map(({ toCreated, toReady, toSwitched }) => toSwitched - (toReady - toCreated)),
  );
  return [
    '### Healing\n',
    `One container of the example application on a real engine, \`gantryd run\`; ${deaths.length} deaths by SIGKILL and ${illnesses.length} times its health check began to fail (every 5 s, three in a row, as by default). Then ${proxies.length} times the proxy was killed with SIGKILL. ${loadWords(load)}`,
    '',
    table(
      ['step', 'p50 ms', 'min ms', 'max ms'],
      [
        ['death, by the engine, to replacement created', ...died((d) => d.toCreated)],
        ['created to started, by the engine', ...died((d) => d.toStarted - d.toCreated)],
        ['**death to replacement started**', ...died((d) => d.toStarted)],
        ['death to replacement in traffic', ...died((d) => d.toSwitched)],
        ['told to be unhealthy, to judged so', ...ill((i) => i.toJudged)],
        ['judged to replacement created', ...ill((i) => i.toCreated - i.toJudged)],
        ["created to ready (the container's own start)", ...ill((i) => i.toReady - i.toCreated)],
        ['ready to switched', ...ill((i) => i.toSwitched - i.toReady)],
        [
          "**told to switched, without the container's own start**",
          ...ill((i) => i.toSwitched - i.toReady + i.toCreated),
        ],
        ['**proxy killed, to the first answer through the next one**', ...cells(proxies)],
      ],
    ),
    '',
    target(
      `death to replacement started under ${number(STARTED_TARGET_MS, 0)} ms`,
      started < STARTED_TARGET_MS,
      `at most ${number(started, 0)} ms`,
    ),
    target(
      `unhealthy to replaced under ${number(HEALED_TARGET_MS, 0)} ms and the container's own start`,
      without < HEALED_TARGET_MS,
      `at most ${number(without, 0)} ms and the start`,
    ),
    target(
      `a killed proxy back under ${number(PROXY_BACK_TARGET_MS, 0)} ms`,
      Math.max(...proxies) < PROXY_BACK_TARGET_MS,
      `at most ${number(Math.max(...proxies), 0)} ms`,
    ),
    '',
  ];
}

function reportRollbacks({ rollbacks, ...load }) {
  const sizes = [...new Set(rollbacks.map(({ hosts }) => hosts))];
  const rows = sizes.map((hosts) => {
    const own = rollbacks.filter((rollback) => rollback.hosts === hosts);
    const of = (measure) => range(own.map(measure), 0);
    return [
      hosts,
      of((r) => r.toWritten),
      of((r) => r.toActed - r.toWritten),
      of((r) => r.toSwitched - r.toActed),
      `**${of((r) => r.toAnswered)}**`,
      of((r) => r.toEnded),
    ];
  });
  const asked = sum(rollbacks.map((rollback) => rollback.asked));
  const failed = sum(rollbacks.map((rollback) => rollback.failed));
  const worst = Math.max(...rollbacks.map(({ toAnswered }) => toAnswered));
  return [
    '### Warm rollback\n',
    `\`gantryd rollback\` to containers that are warm, ${rollbacks.length / sizes.length} times each; etcd on a machine of its own, writing to disk. A client of each host asks over new connections all the time: ${number(asked, 0)} requests, ${failed} failed. Median (min-max) in ms. ${loadWords(load)}`,
    '',
    table(
      [
        'hosts',
        'start of the command to written in etcd',
        'to the first step on the last host',
        'to switched on the last host',
        'start of the command to old answers only, on all hosts',
        "the command's end",
      ],
      rows,
    ),
    '',
    target(
      `command to all traffic on the old release under ${number(ROLLBACK_TARGET_MS, 0)} ms`,
      worst < ROLLBACK_TARGET_MS,
      `at most ${number(worst, 0)} ms`,
    ),
    '',
  ];
}

function reportMemory({ components, connections, agents, proxies, ...load }) {
  const row = (process) => (f) => [process, f.name, ...[f.rss, f.mostRss, f.peak, f.pss].map(megabytes)];
  const agent = agents.at(-1).mostRss * MIB_IN_MB;
  const [, mixed] = proxies;
  const proxy = mixed.mostRss * MIB_IN_MB;
  return [
    '### Memory\n',
    `Each line is a process that did nothing else before, looked at for 10 s, proxies 5 s and agents 20 s after the last thing was done to them. Each component has a port, a ready and a health check. ${loadWords(load)}`,
    '',
    table(
      ['process', 'with', 'RSS, MB', 'most RSS, MB', 'peak since its start, MB', 'PSS, MB'],
      [...agents.map(row('`gantryd run`')), ...proxies.map(row('proxy'))],
    ),
    '',
    target(
      `agent under ${MEMORY_TARGET_MB} MB with ${COMPONENTS_TARGET} components`,
      components >= COMPONENTS_TARGET && agent < MEMORY_TARGET_MB,
      `${number(agent, 0)} MB with ${components}`,
    ),
    target(
      `proxy under ${MEMORY_TARGET_MB} MB with ${number(CONNECTIONS_TARGET, 0)} idle connections, half TCP, half HTTP`,
      connections >= CONNECTIONS_TARGET && proxy < MEMORY_TARGET_MB,
      `${number(proxy, 0)} MB with ${number(connections, 0)}`,
    ),
    '',
  ];
}

function range(values, digits) {
  const { median: middle, min, max } = spread(values);
  return `${number(middle, digits)} (${number(min, digits)}-${number(max, digits)})`;
}

function megabytes(mib) {
  return number(mib * MIB_IN_MB, 0);
}

function seconds(ms) {
  return number(ms / 1000, 1);
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
