/** The tables of the part `agent` as Markdown. Pure. */
import { loadWords, number, table, target } from '../report.mjs';

/** What is to be reached on a machine that does nothing else. */
const COMPONENTS = 100;
const IDLE_SHARE = 0.01;

const SECTIONS = { plans: reportPlans, idle: reportIdle };

export function reportAgent(results) {
  const sections = Object.entries(results).flatMap(([name, { failure, ...result }]) =>
    failure === undefined ? SECTIONS[name](result) : [`### ${name}\n`, `**Failed**: ${failure}\n`],
  );
  return ['## Agent\n', ...sections].join('\n');
}

function reportPlans({ plans }) {
  return [
    '### Planning\n',
    'The plan of components that are as wanted, two containers each; for all of them together.',
    '',
    table(
      ['components', 'ms', 'KiB allocated'],
      plans.map(({ components, ms, kib }) => [
        number(components, 0),
        number(ms, 3),
        kib === null ? '-' : number(kib, 1),
      ]),
    ),
    '',
  ];
}

function reportIdle({ ms, idle, ...load }) {
  const most = idle.at(-1);
  return [
    '### At rest\n',
    `An agent with its API whose components each have one health check with the defaults, watched for ${number(ms / 1_000, 0)} s in which nothing happens. ${loadWords(load)}`,
    '',
    table(
      ['components', 'CPU, % of one core', 'Docker calls a minute', 'etcd calls', 'checks', 'rounds'],
      idle.map((it) => [
        number(it.components, 0),
        number(it.cpuShare * 100, 2),
        ...[it.dockerCalls, it.etcdCalls, it.checks, it.rounds].map((value) => number(value, 0)),
      ]),
    ),
    '',
    target(
      `under ${IDLE_SHARE * 100} % of one core with ${COMPONENTS} components`,
      most.components >= COMPONENTS && most.cpuShare < IDLE_SHARE,
      `${number(most.cpuShare * 100, 2)} %`,
    ),
    '',
  ];
}
