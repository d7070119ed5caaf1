/** The tables of the part `agent` as Markdown. Pure. */
import { loadWords, number, table, target } from '../report.mjs';

/** What is to be reached on a machine that does nothing else. */
const COMPONENTS = 100;
const IDLE_SHARE = 0.01;

const SECTIONS = { plans, idle };
const HEADINGS = { plans: '### Planning', idle: '### At rest' };

export function reportAgent(results) {
  const sections = Object.entries(agentSections(results)).map(
    ([name, text]) => `${HEADINGS[name]}\n\n${text}`,
  );
  return ['## Agent\n', ...sections].join('\n');
}

/** By the name of the section: its text, which ends with a line break. */
export function agentSections(results) {
  return Object.fromEntries(
    Object.entries(results).map(([name, { failure, ...result }]) => [
      name,
      failure === undefined ? SECTIONS[name](result) : `Not measured: ${failure}\n`,
    ]),
  );
}

function plans({ plans: measured }) {
  const rows = measured.map(({ components, ms, kib }) => [
    ...[number(components, 0), number(ms, 3)],
    kib === null ? '-' : number(kib, 1),
  ]);
  return `${table(['components', 'the plan of all, ms', 'KiB allocated'], rows)}\n`;
}

function idle({ ms, idle: measured, ...load }) {
  const most = measured.at(-1);
  const rows = measured.map((it) => [
    ...[number(it.components, 0), number(it.cpuShare * 100, 2)],
    it.peerShare === undefined ? '-' : number(it.peerShare * 100, 2),
    ...[it.dockerCalls, it.etcdCalls, it.checks, it.rounds].map((value) => number(value, 0)),
  ]);
  const head = [
    'components',
    'CPU, % of one core',
    'HAProxy, with the same checks',
    'Docker calls a minute',
    'etcd calls',
    'checks',
    'rounds',
  ];
  const lines = [
    `Watched for ${number(ms / 1_000, 0)} s in which nothing happens. ${loadWords(load)}\n`,
    table(head, rows),
    '',
  ];
  if (most.components < COMPONENTS) return lines.join('\n');
  return [
    ...lines,
    target(
      `under ${IDLE_SHARE * 100} % of one core with ${COMPONENTS} components`,
      most.cpuShare < IDLE_SHARE,
      `${number(most.cpuShare * 100, 2)} %`,
    ),
  ].join('\n');
}
