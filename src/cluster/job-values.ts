/**
 * What the keys of jobs hold. As values.ts: JSON, one shape each, with `format`; what no gantryd of this format wrote
 * is read as undefined. A run has one key while it is under way and another one once it has ended; it is written only
 * by transactions that compare its revision. Pure.
 */
import type { Job, Schedule } from '../config/job.ts';
import {
  count,
  each,
  fields,
  instant,
  oneOf,
  optional,
  reader,
  record,
  text,
  truth,
} from './value-reader.ts';

/**
 * `pending`: nobody runs it yet. `running`: its host does, or did when it was last heard of. The others are ends;
 * `lost`: its host went away with it, `skipped`: a tick that came while it must not run.
 */
export type RunState = 'pending' | 'running' | 'complete' | 'failed' | 'cancelled' | 'lost' | 'skipped';

export type StepState = 'waiting' | 'preparing' | 'running' | 'complete' | 'failed' | 'cancelled';

export interface StepStatus {
  readonly state: StepState;
  readonly exitCode?: number;
  /** ISO times. */
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** Bytes it took for input, and gave as output; told at its end. */
  readonly inputBytes?: number;
  readonly outputBytes?: number;
  readonly container?: string;
}

/**
 * Why a run ended as it did. `exit`: the exit code of a step. `timeout`. `start`: a container could not be made or
 * started, an image not be had. `input`: it could not be fed. `output`: its output could not be taken. `lost`,
 * `cancelled`. `skipped`.
 */
export type EndKind = 'exit' | 'timeout' | 'start' | 'input' | 'output' | 'lost' | 'cancelled' | 'skipped';

export interface RunEnd {
  readonly kind: EndKind;
  /** Of the step: the container's; 124 after a timeout, 125 when it could not be started or fed, 130 when cancelled. */
  readonly exitCode: number;
  /** 0-based index of the step it ended with. */
  readonly step: number;
  /** As a sentence, with the step's name; '' when all went well. */
  readonly why: string;
  readonly hint?: string;
  readonly oomKilled?: boolean;
  /** The last lines the step printed, 20 at most, when it did not go well. */
  readonly lines: readonly string[];
}

/** A try that is over and was followed by another. */
export interface PastAttempt {
  readonly host: string;
  /** ISO times. */
  readonly startedAt: string;
  readonly endedAt: string;
  readonly end: RunEnd;
}

/** Where the first step's input is. `upload`: whoever submitted the run gives it to the host that has claimed it. */
export type RunInput =
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly base64: string }
  | { readonly kind: 'upload' };

export interface RunValue {
  readonly format: 1;
  readonly id: string;
  readonly job: Job;
  readonly input: RunInput;
  /** What made it; absent: a person. `instant`: ISO time of the tick; absent: run by hand. */
  readonly schedule?: {
    readonly name: string;
    readonly instant?: string;
    /** Ticks before it that were passed by. */
    readonly missed?: number;
  };
  /** It waits until these runs of its schedule have ended (queue, replace). */
  readonly after?: readonly string[];
  readonly by: string;
  /** ISO time when it was made. */
  readonly at: string;
  readonly state: RunState;
  /** Asked for, and not yet done. */
  readonly cancel?: { readonly by: string; readonly at: string; readonly why?: string };
  /** From 1; 0: never claimed. */
  readonly attempt: number;
  /** Of the attempt: who runs it, and the id of that host's state directory. */
  readonly host?: string;
  readonly hostId?: string;
  /** ISO times of the attempt's claim, and of the run's end. */
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** Not claimed before, epoch milliseconds: the pause before another attempt. */
  readonly notBefore?: number;
  readonly past: readonly PastAttempt[];
  readonly steps: readonly StepStatus[];
  readonly end?: RunEnd;
}

/** Leased: this host has the run in its hands. */
export interface ClaimValue {
  readonly format: 1;
  readonly run: string;
  readonly host: string;
  readonly hostId: string;
  readonly attempt: number;
}

/** Leased: a host that runs jobs. */
export interface ExecutorValue {
  readonly format: 1;
  readonly host: string;
  readonly hostId: string;
  readonly address: string;
  /** Of its API for logs and outputs; 0: it has none. */
  readonly port: number;
  /** Whoever shows it may read logs and outputs there. */
  readonly token: string;
  readonly labels: Readonly<Record<string, string>>;
  /** How many runs at once. */
  readonly slots: number;
  /** ISO time. */
  readonly since: string;
}

export interface ScheduleValue {
  readonly format: 1;
  readonly schedule: Schedule;
  readonly by: string;
  readonly at: string;
  /** Why it cannot run as it is, found when it was pushed or run: shown by `cron get`. It does not fire then. */
  readonly trouble?: string;
  /** An executor looked whether its images can be had; `trouble` says when not. Absent: none has looked yet. */
  readonly checked?: { readonly at: string; readonly host: string };
}

/**
 * How far a schedule is. Whatever makes a run of it compares and writes this key in the same transaction, so that a
 * tick has one run or none, whoever dies, and rules about overlap hold.
 */
export interface CursorValue {
  readonly format: 1;
  /** ISO time of the newest tick that was dealt with, or when the schedule was pushed or resumed. */
  readonly instant: string;
}

const VARIABLE = fields({ name: text, value: text });

const JOB = fields({
  name: text,
  steps: (v) => Array.isArray(v) && v.length > 0 && v.every(fields({ name: text, image: text })),
  environment: each(VARIABLE),
  input: optional(text),
  constraints: each(fields({ on: oneOf('host', 'label'), key: text, equals: truth, value: text })),
  retries: count,
  keepMs: count,
  remove: truth,
});

const END = fields({
  kind: oneOf('exit', 'timeout', 'start', 'input', 'output', 'lost', 'cancelled', 'skipped'),
  exitCode: count,
  step: count,
  why: text,
  lines: each(text),
});

export const readRun = reader<RunValue>({
  id: text,
  job: JOB,
  input: fields({ kind: oneOf('none', 'inline', 'upload') }),
  schedule: optional(fields({ name: text, instant: optional(instant), missed: optional(count) })),
  after: optional(each(text)),
  by: text,
  at: instant,
  state: oneOf('pending', 'running', 'complete', 'failed', 'cancelled', 'lost', 'skipped'),
  cancel: optional(fields({ by: text, at: text })),
  attempt: count,
  host: optional(text),
  hostId: optional(text),
  startedAt: optional(instant),
  endedAt: optional(instant),
  notBefore: optional(count),
  past: each(fields({ host: text, startedAt: text, endedAt: text, end: END })),
  steps: each(fields({ state: oneOf('waiting', 'preparing', 'running', 'complete', 'failed', 'cancelled') })),
  end: optional(END),
});

export const readClaim = reader<ClaimValue>({ run: text, host: text, hostId: text, attempt: count });

export const readExecutor = reader<ExecutorValue>({
  host: text,
  hostId: text,
  address: text,
  port: count,
  token: text,
  labels: record(text),
  slots: count,
  since: text,
});

export const readSchedule = reader<ScheduleValue>({
  schedule: fields({
    name: text,
    cron: text,
    timeZone: text,
    overlap: oneOf('forbid', 'queue', 'replace', 'allow'),
    missed: oneOf('skip', 'runOnce'),
    suspended: truth,
    job: JOB,
  }),
  by: text,
  at: text,
  trouble: optional(text),
  checked: optional(fields({ at: text, host: text })),
});

export const readCursor = reader<CursorValue>({ instant });
