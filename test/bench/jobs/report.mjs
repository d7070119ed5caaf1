/** The tables of the part `jobs` as Markdown. Pure. */

import { cells, loadWords, number, table, target } from '../report.mjs';
import { pairedRatio } from '../stats.mjs';
import { reportTicks } from './ticks-report.mjs';

/** What is to be reached on a machine that does nothing else. */
const ONE_SHOT_RATIO = 1.3;
const PIPELINE_SPEED = 0.5;
const PIPELINE_MIB = 1024;
const PIPELINE_MEMORY_MB = 150;
const BURST = 200;
const MIB_IN_MB = 2 ** 20 / 1e6;

const SECTIONS = {
  oneshot: reportOneShots,
  pipeline: reportPipelines,
  burst: reportBurst,
  ticks: reportTicks,
};

export function reportJobs(results) {
  const sections = Object.entries(results).flatMap(([name, { failure, ...result }]) =>
    failure === undefined ? SECTIONS[name](result) : [`### ${name}\n`, `**Failed**: ${failure}\n`],
  );
  return ['## Jobs\n', ...sections].join('\n');
}

function reportOneShots({ runs, ...load }) {
  const gantry = runs.map((run) => run.gantry);
  const docker = runs.map((run) => run.docker);
  const ratio = pairedRatio(gantry, docker);
  return [
    '### A one-shot `true`\n',
    `\`gantry job run --image IMAGE --command true\` and \`docker run --rm IMAGE true\` as whole processes, in turns, ${runs.length} times each. ${loadWords(load)}`,
    '',
    table(
      ['', 'p50 ms', 'min ms', 'max ms'],
      [
        ['gantry job run', ...cells(gantry)],
        ['docker run --rm', ...cells(docker)],
      ],
    ),
    '',
    target(
      `no more than ${ONE_SHOT_RATIO} times docker run`,
      ratio.median <= ONE_SHOT_RATIO,
      `${number(ratio.median, 2)} times, median of pairs`,
    ),
    '',
  ];
}

function reportPipelines({ mebibytes, runs, ...load }) {
  const speed = pairedRatio(
    runs.map((run) => run.docker),
    runs.map((run) => run.gantry),
  );
  const unlogged = pairedRatio(
    runs.map((run) => run.unlogged),
    runs.map((run) => run.gantry),
  );
  const memory = Math.max(...runs.map((run) => run.peakMiB)) * MIB_IN_MB;
  return [
    '### A pipeline of three steps\n',
    `${number(mebibytes, 0)} MiB of lines of 1 KiB, made by the first step, passed on by the second, counted by the third; \`gantry job submit --follow\` beside \`docker run … | docker run -i … | docker run -i …\`, as whole commands, in turns, ${runs.length} times. ${loadWords(load)}`,
    '',
    table(
      ['', 'p50 s', 'min s', 'max s'],
      [
        [
          'gantry',
          ...cells(
            runs.map((run) => run.gantry / 1000),
            1,
          ),
        ],
        [
          'docker run, with its usual log',
          ...cells(
            runs.map((run) => run.docker / 1000),
            1,
          ),
        ],
        [
          'docker run --log-driver none',
          ...cells(
            runs.map((run) => run.unlogged / 1000),
            1,
          ),
        ],
      ],
    ),
    '',
    `Against \`docker run\` without any log, which keeps nothing: ${number(unlogged.median, 2)} of its speed.`,
    '',
    target(
      `${number(PIPELINE_MIB, 0)} MiB at ${PIPELINE_SPEED} of the shell's speed or more`,
      mebibytes >= PIPELINE_MIB && speed.median >= PIPELINE_SPEED,
      `${number(speed.median, 2)}, median of pairs`,
    ),
    target(
      `memory of the process that runs it under ${PIPELINE_MEMORY_MB} MB`,
      memory > 0 && memory < PIPELINE_MEMORY_MB,
      `${number(memory, 0)} MB at most`,
    ),
    '',
  ];
}

function reportBurst({ jobs, submittedMs, wallMs, perHost, complete, others, ran, duplicates, ...load }) {
  const hosts = Object.entries(perHost).map(([host, count]) => `${count} on ${host}`);
  return [
    '### Many at once\n',
    `${jobs} jobs submitted together (in ${number(submittedMs / 1000, 1)} s) to three hosts with engines of their own; the last one was over after ${number(wallMs / 1000, 1)} s: ${hosts.join(', ')}. ${loadWords(load)}`,
    '',
    ...[...others, ...duplicates].map((line) => `- ${line}`),
    target(
      `${BURST} jobs all finish, none twice`,
      jobs >= BURST && complete === jobs && ran === jobs && duplicates.length === 0,
      `${complete} complete, ${ran} ran, ${duplicates.length} twice`,
    ),
    '',
  ];
}
