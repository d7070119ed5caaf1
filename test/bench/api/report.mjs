/** The tables of the part `api` as Markdown. Pure. */
import { cells, loadWords, number, table, target } from '../report.mjs';
import { pairedRatio, quantile } from '../stats.mjs';

/** What is to be reached on a machine that does nothing else. */
const GET_P99_MS = 10;
const PER_SECOND = 500;
const COMPONENTS = 20;
const FOLLOWERS = 200;
const FOLLOWERS_MB = 30;
const INSTANCES = 20;
const SCALE_RATIO = 1.3;
const MIB_IN_MB = 2 ** 20 / 1e6;

const SECTIONS = { get: reportGet, followers: reportFollowers, scale: reportScale };

export function reportApi(results) {
  const sections = Object.entries(results).flatMap(([name, { failure, ...result }]) =>
    failure === undefined ? SECTIONS[name](result) : [`### ${name}\n`, `**Failed**: ${failure}\n`],
  );
  return ['## API\n', ...sections].join('\n');
}

function reportGet({ components, perSecond, first, then, before, during, ...load }) {
  const wholeSize = components >= COMPONENTS && perSecond >= PER_SECOND;
  const failed = count(first.others) + count(then.others);
  const p99 = quantile(then.answeredMs, 0.99);
  return [
    '### GET of a component\n',
    `An agent that runs ${components} components is asked for one after the other, ${perSecond} times a second whether or not it answers; milliseconds from the instant a request was due. ${loadWords(load)}`,
    '',
    table(
      ['', 'requests', 'p50 ms', 'p99 ms', 'max ms', 'sent late, p99 ms'],
      [steadyRow('the first seconds', first), steadyRow('then', then)],
    ),
    '',
    table(
      ['the agent', 'lag of its event loop, p99 ms (20: not late)', 'CPU, of one core'],
      [agentRow('before', before), agentRow('asked', during)],
    ),
    '',
    ...othersOf(first, then),
    target(
      `p99 under ${GET_P99_MS} ms at ${PER_SECOND} a second beside ${COMPONENTS} components`,
      wholeSize && failed === 0 && p99 < GET_P99_MS,
      `${number(p99, 1)} ms, ${failed} not answered with 200`,
    ),
    '',
  ];
}

function steadyRow(name, { sentMs, answeredMs }) {
  const ms = [0.5, 0.99, 1].map((share) => number(quantile(answeredMs, share), 2));
  return [name, number(sentMs.length, 0), ...ms, number(quantile(sentMs, 0.99), 2)];
}

function agentRow(name, { lagP99Ms, cpuShare }) {
  return [name, number(lagP99Ms, 1), number(cpuShare, 2)];
}

function othersOf(...all) {
  return all.flatMap(({ others }) =>
    Object.entries(others).map(([what, times]) => `- ${what}: ${times} times\n`),
  );
}

function count(others) {
  return Object.values(others).reduce((sum, times) => sum + times, 0);
}

function reportFollowers({ followers, openedMs, events, seen, footprints, ...load }) {
  const [alone, followed] = footprints;
  const more = (followed.rss - alone.rss) * MIB_IN_MB;
  return [
    '### Followers of events\n',
    `${followers} followers of \`/v1/events\`, opened at once by another process (all heard after ${number(openedMs, 0)} ms), and ${events} events while they follow; the last one had an event ${number(seen.spreadMs, 0)} ms after the first at most. The agent's memory, each time after the same was done to it. ${loadWords(load)}`,
    '',
    table(
      ['', 'RSS, MB', 'most RSS, MB', 'peak since its start, MB', 'PSS, MB'],
      footprints.map(({ name, rss, mostRss, peak, pss }) => [
        name,
        ...[rss, mostRss, peak, pss].map((mib) => number(mib * MIB_IN_MB, 1)),
      ]),
    ),
    '',
    target(
      `${FOLLOWERS} followers for less than ${FOLLOWERS_MB} MB more`,
      followers >= FOLLOWERS && more < FOLLOWERS_MB,
      `${number(more, 1)} MB more`,
    ),
    target(
      'each has every event once',
      events > 0 && seen.complete === followers && seen.lost === 0,
      `${seen.complete} of ${followers}; ${seen.missing} missing, ${seen.twice} twice, ${seen.lost} connections lost`,
    ),
    '',
  ];
}

function reportScale({ instances, runs, ...load }) {
  const gantry = runs.map((run) => run.gantry);
  const docker = runs.map((run) => run.docker);
  const ratio = pairedRatio(gantry, docker);
  return [
    '### Scaling\n',
    `\`gantryd scale PROJECT web=${instances} --wait\` from one, of a component without ports and checks, as a whole command until it says that all serve; and ${instances - 1} \`docker run -d\` of the same image started together by a shell, until the last has ended. In turns, ${runs.length} times each. ${loadWords(load)}`,
    '',
    table(
      ['', 'p50 ms', 'min ms', 'max ms'],
      [
        ['gantryd scale', ...cells(gantry)],
        [`${instances - 1} docker run -d`, ...cells(docker)],
      ],
    ),
    '',
    target(
      `1 to ${INSTANCES} in no more than ${SCALE_RATIO} times`,
      instances >= INSTANCES && ratio.median <= SCALE_RATIO,
      `${number(ratio.median, 2)} times, median of pairs`,
    ),
    '',
  ];
}
