/**
 * A run's life: made, claimed, tried again or over. Each function answers the record as it is after something
 * happened; whoever calls writes it, in a transaction that compares the revision of the one before. Pure.
 */
import type {
  ExecutorValue,
  RunEnd,
  RunInput,
  RunState,
  RunValue,
  StepStatus,
} from '../cluster/job-values.ts';
import type { ProjectKeys } from '../cluster/keys.ts';
import type { Write } from '../cluster/store.ts';
import type { Constraint, Job } from '../config/job.ts';

/** Attempts that a record tells of, the newest ones. */
export const MAX_PAST = 20;
/** Last lines of an attempt that was followed by another. */
export const MAX_PAST_LINES = 5;
const FIRST_PAUSE_MS = 1000;
/** Before another attempt. */
export const MAX_PAUSE_MS = 60_000;
/** What a shell says of a command that Ctrl-C ended. */
export const CANCELLED_EXIT_CODE = 130;

export interface NewRun {
  readonly id: string;
  readonly job: Job;
  readonly input: RunInput;
  readonly by: string;
  /** Epoch milliseconds, as all times that come in here. */
  readonly at: number;
  readonly schedule?: RunValue['schedule'];
  readonly after?: readonly string[];
}

export function newRun({ id, job, input, by, at, schedule, after }: NewRun): RunValue {
  return {
    format: 1,
    id,
    job,
    input,
    ...(schedule === undefined ? {} : { schedule }),
    ...(after === undefined || after.length === 0 ? {} : { after }),
    by,
    at: iso(at),
    state: 'pending',
    attempt: 0,
    past: [],
    steps: waiting(job),
  };
}

export interface Claimant {
  readonly host: string;
  readonly hostId: string;
  readonly at: number;
}

/** The next attempt begins, on this host. A cancel that was asked for stays: the host ends the run by it. */
export function claimed(run: RunValue, { host, hostId, at }: Claimant): RunValue {
  const rest = without(run, 'notBefore', 'end', 'endedAt');
  const attempt = run.attempt + 1;
  return { ...rest, state: 'running', attempt, host, hostId, startedAt: iso(at), steps: waiting(run.job) };
}

export function withSteps(run: RunValue, steps: readonly StepStatus[]): RunValue {
  return { ...run, steps };
}

/** `again`: pending once more, for another attempt. `over`: its last state. */
export type Ended = { readonly kind: 'again' | 'over'; readonly run: RunValue };

/** What an attempt's end makes of the run, or the end of one that nobody had claimed. */
export function ended(run: RunValue, end: RunEnd, at: number): Ended {
  return mayTryAgain(run, end)
    ? { kind: 'again', run: again(run, end, at) }
    : { kind: 'over', run: over(run, end, at) };
}

/** The writes that end a run: its active key and its claim go, and it is kept as ended unless nothing of it is. */
export function endWrites(keys: ProjectKeys, run: RunValue, options: EndOptions = {}): Write[] {
  const forgotten = run.job.remove || options.forget === true;
  return [
    { kind: 'delete', key: keys.jobs.run(run.id) },
    { kind: 'delete', key: keys.jobs.claim(run.id) },
    ...(forgotten ? [] : [{ kind: 'put', key: keys.ended(run.id), value: JSON.stringify(run) } as const]),
  ];
}

export interface EndOptions {
  /** Keeps nothing of it, whatever the job says. */
  readonly forget?: boolean;
}

/** Nobody runs it: over at once. Under way: its host is asked. Asked for already, or over: as it is. */
export function cancelWanted(run: RunValue, by: string, at: number, why?: string): RunValue {
  if (isOver(run) || (run.state === 'running' && run.cancel !== undefined)) return run;
  const cancel = { by, at: iso(at), ...(why === undefined ? {} : { why }) };
  const wanted = { ...run, cancel };
  return run.state === 'pending' ? over(wanted, cancelledEnd(wanted), at) : wanted;
}

/** How a run ends that was cancelled in this step. */
export function cancelledEnd(run: RunValue, step = 0): RunEnd {
  const { by, why } = run.cancel ?? {};
  const who = by === undefined ? 'cancelled' : `cancelled by ${by}`;
  const whole = why === undefined ? who : `${who}: ${why}`;
  return { kind: 'cancelled', exitCode: CANCELLED_EXIT_CODE, step, why: whole, lines: [] };
}

export function isOver({ state }: Pick<RunValue, 'state'>): boolean {
  return state !== 'pending' && state !== 'running';
}

/** Why this host may not run it: the first constraint that does not hold; undefined: it may. */
export function canRunOn(
  run: Pick<RunValue, 'job'>,
  executor: Pick<ExecutorValue, 'host' | 'labels'>,
): string | undefined {
  const broken = run.job.constraints.find((constraint) => !holds(constraint, executor));
  return broken === undefined ? undefined : `${constraintText(broken)} does not hold for ${executor.host}`;
}

/** As it is written on a command line. */
export function constraintText({ on, key, equals, value }: Constraint): string {
  return `${on === 'host' ? 'host' : `label.${key}`}${equals ? '==' : '!='}${value}`;
}

function mayTryAgain(run: RunValue, end: RunEnd): boolean {
  if (run.attempt === 0 || run.attempt > run.job.retries || run.cancel !== undefined) return false;
  return end.kind !== 'cancelled' && end.kind !== 'skipped' && !succeeded(end);
}

function again(run: RunValue, end: RunEnd, at: number): RunValue {
  const { host = '', startedAt = run.at } = run;
  const lines = end.lines.slice(-MAX_PAST_LINES);
  const attempt = { host, startedAt, endedAt: iso(at), end: { ...end, lines } };
  return {
    ...without(run, 'host', 'hostId', 'startedAt', 'endedAt', 'end'),
    state: 'pending',
    notBefore: at + pauseAfter(run.attempt),
    past: [...run.past, attempt].slice(-MAX_PAST),
    steps: waiting(run.job),
  };
}

function over(run: RunValue, end: RunEnd, at: number): RunValue {
  const steps = run.steps.map((step) => settled(step, end, at));
  return { ...without(run, 'notBefore'), state: stateAfter(end), endedAt: iso(at), steps, end };
}

/** 1, 2, 4 … 60 s. */
function pauseAfter(attempt: number): number {
  return Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
}

function stateAfter(end: RunEnd): RunState {
  if (end.kind === 'lost' || end.kind === 'cancelled' || end.kind === 'skipped') return end.kind;
  return succeeded(end) ? 'complete' : 'failed';
}

/** A step that nobody saw the end of did not go on after its run. */
function settled(step: StepStatus, end: RunEnd, at: number): StepStatus {
  if (step.state !== 'preparing' && step.state !== 'running') return step;
  return { ...step, state: end.kind === 'cancelled' ? 'cancelled' : 'failed', endedAt: iso(at) };
}

function succeeded(end: RunEnd): boolean {
  return end.kind === 'exit' && end.exitCode === 0;
}

function waiting(job: Job): readonly StepStatus[] {
  return job.steps.map(() => ({ state: 'waiting' }));
}

function holds(
  { on, key, equals, value }: Constraint,
  executor: Pick<ExecutorValue, 'host' | 'labels'>,
): boolean {
  const found = on === 'host' ? executor.host : ownLabel(executor.labels, key);
  return (found === value) === equals;
}

function ownLabel(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function without<K extends keyof RunValue>(run: RunValue, ...fields: readonly K[]): Omit<RunValue, K> {
  const rest: Partial<RunValue> = { ...run };
  for (const field of fields) delete rest[field];
  return rest as Omit<RunValue, K>;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
