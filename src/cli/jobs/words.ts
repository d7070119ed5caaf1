/** Runs of jobs in words for people, and as documents. Pure. */
import type { RunEnd, RunValue, StepStatus } from '../../cluster/job-values.ts';
import { printable, table } from '../render.ts';

/** Longest text in a table. */
const SHOWN = 60;
/** Least width of a column: there are many. */
export const COLUMN = 5;
/** What a program may end with. */
const MAX_EXIT_CODE = 255;

/** What `job run` ends with: what the run did, and never 0 for one that did not go well. */
export function exitCodeOf({ state, end }: RunValue): number {
  const code = Math.min(MAX_EXIT_CODE, Math.max(0, end?.exitCode ?? 1));
  return state === 'complete' ? code : code || 1;
}

/** Why it did not go well, where its own output does not say so; undefined: nothing to add. */
export function toldAtTheEnd({ id, job, state, end }: RunValue): string | undefined {
  if (state === 'complete' || end === undefined) return undefined;
  // As with a command in a shell: its exit code is the answer.
  if (end.kind === 'exit' && job.steps.length === 1 && end.oomKilled !== true) return undefined;
  const oom = end.oomKilled === true ? ' It ran out of memory.' : '';
  const hint = end.hint === undefined ? '' : `\n${end.hint}`;
  return lines(`Error: ${id}: ${sentence(end.why)}${oom}${hint}`);
}

export function renderRuns(runs: readonly RunValue[], now: number, all: boolean): string {
  if (runs.length === 0)
    return all ? 'There are no runs' : 'No run is under way; --all shows those that are over';
  const rows = runs.map((run) => [
    run.id,
    stateOf(run),
    run.host ?? '-',
    stepOf(run),
    at(run.startedAt),
    took(run.startedAt, run.endedAt, now),
    run.end === undefined ? '-' : String(run.end.exitCode),
  ]);
  return table(['RUN', 'STATE', 'HOST', 'STEP', 'STARTED', 'TOOK', 'EXIT'], rows, COLUMN);
}

/** One that is asked to end is not running as others are. */
function stateOf({ state, cancel }: RunValue): string {
  return state === 'running' && cancel !== undefined ? 'cancelling' : state;
}

/** `2/3`: the step it is in, or ended with. */
function stepOf({ steps, end }: RunValue): string {
  const under = steps.findIndex(({ state }) => state === 'preparing' || state === 'running');
  const done = steps.filter(({ state }) => state === 'complete').length;
  const index = under >= 0 ? under : (end?.step ?? Math.max(0, done - 1));
  return `${index + 1}/${steps.length}`;
}

export function renderRun(run: RunValue, now: number, pending?: string): string {
  const { id, job, schedule, end, past, by } = run;
  const facts: readonly (readonly [string, string])[] = [
    ['Run', id],
    ...(job.name === '' ? [] : [['Job', job.name] as const]),
    ['State', `${stateOf(run)}${run.state === 'pending' && pending ? `: ${pending}` : ''}`],
    ...(run.host === undefined ? [] : [['Host', run.host] as const]),
    ...(schedule === undefined ? [] : [['Schedule', scheduled(schedule)] as const]),
    ['Made', `${at(run.at)} by ${by}`],
    ...(run.startedAt === undefined ? [] : [['Started', at(run.startedAt)] as const]),
    ...(run.endedAt === undefined
      ? []
      : [['Ended', `${at(run.endedAt)}${inTime(run.startedAt, run.endedAt, now)}`] as const]),
    ...(run.attempt > 1 ? [['Attempt', `${run.attempt} of ${job.retries + 1}`] as const] : []),
    ...(run.cancel === undefined
      ? []
      : [['Cancelled', `by ${run.cancel.by}, ${at(run.cancel.at)}`] as const]),
  ];
  const parts = [
    ...facts.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}`),
    ...why(end),
    ...past.map((attempt, index) => `Attempt ${index + 1} on ${attempt.host}: ${sentence(attempt.end.why)}`),
    '',
    renderSteps(run, now),
    ...lastLines(end),
  ];
  return lines(parts.join('\n'));
}

function why(end: RunEnd | undefined): string[] {
  if (end === undefined || end.why === '') return [];
  return [`Why:       ${sentence(end.why)}`, ...(end.hint === undefined ? [] : [`           ${end.hint}`])];
}

function lastLines(end: RunEnd | undefined): string[] {
  if (end === undefined || end.lines.length === 0) return [];
  return ['', 'The last lines it printed:', ...end.lines.map((line) => `  ${line}`)];
}

function scheduled({ name, instant, missed }: NonNullable<RunValue['schedule']>): string {
  if (instant === undefined) return `${name}, by hand`;
  return `${name}, ${at(instant)}${missed === undefined || missed === 0 ? '' : `, after ${missed} that were missed`}`;
}

function renderSteps({ job, steps }: RunValue, now: number): string {
  const rows = job.steps.map((step, index) => {
    const status: StepStatus = steps[index] ?? { state: 'waiting' };
    return [
      String(index + 1),
      step.name === '' ? '-' : step.name.slice(0, SHOWN),
      step.image.slice(0, SHOWN),
      status.state,
      status.exitCode === undefined ? '-' : String(status.exitCode),
      at(status.startedAt),
      took(status.startedAt, status.endedAt, now),
      bytes(status.inputBytes),
      bytes(status.outputBytes),
    ];
  });
  return table(['STEP', 'NAME', 'IMAGE', 'STATE', 'EXIT', 'STARTED', 'TOOK', 'IN', 'OUT'], rows, COLUMN);
}

/** `2026-11-21T14:30:22Z`; the parts of a second tell nobody anything. */
export function at(iso: string | undefined): string {
  return iso === undefined ? '-' : iso.replace(/\.\d+Z$/, 'Z');
}

export function took(from: string | undefined, to: string | undefined, now: number): string {
  if (from === undefined) return '-';
  const ms = Math.max(0, (to === undefined ? now : Date.parse(to)) - Date.parse(from));
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`;
}

function inTime(from: string | undefined, to: string, now: number): string {
  return from === undefined ? '' : `, after ${took(from, to, now)}`;
}

function bytes(count: number | undefined): string {
  if (count === undefined) return '-';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  const scaled = count / 1000 ** power;
  return `${power === 0 ? count : scaled.toFixed(scaled < 10 ? 1 : 0)} ${units[power]}`;
}

/** Without what would steer a terminal. */
export function lines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** With a capital letter and a full stop. */
export function sentence(text: string): string {
  const whole = text.trim().replace(/^[a-z]/, (letter) => letter.toUpperCase());
  return /[.!?:]$/.test(whole) || whole === '' ? whole : `${whole}.`;
}
