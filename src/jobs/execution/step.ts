/**
 * One step of an attempt: what the parts that carry it out know of it, and how it ends. The parts: step-start.ts makes
 * its container, step-input.ts feeds it, step-output.ts takes what it prints, stopping.ts ends it early.
 */
import type { RunEnd } from '../../cluster/job-values.ts';
import type { Step } from '../../config/job.ts';
import { type GantryError, isGantryError, messageOf } from '../../errors.ts';
import type { RunFolder } from '../disk/run-folder.ts';
import type { RunLogWriter } from '../disk/run-log-writer.ts';
import type { ExecutionInput } from './execution.ts';
import type { Progress } from './progress.ts';

export const START_FAILED = 125;
export const TIMED_OUT = 124;
export const CANCELLED = 130;
/** Of a container that is cancelled or out of time, between SIGTERM and SIGKILL. */
export const GRACE_MS = 5_000;
const MAX_LINES = 20;
const MAX_LINE_CHARS = 1_000;

export interface StepContext {
  readonly input: ExecutionInput;
  readonly folder: RunFolder;
  readonly log: RunLogWriter;
  readonly progress: Progress;
  readonly step: Step;
  /** 0-based. */
  readonly index: number;
  readonly isLast: boolean;
}

/** A container of the step. */
export interface StepContainer {
  readonly id: string;
  readonly name: string;
}

/** As `Step 2 (upper)`. */
export function nameOf({ step, index }: Pick<StepContext, 'step' | 'index'>): string {
  return step.name === '' ? `Step ${index + 1}` : `Step ${index + 1} (${step.name})`;
}

/** What gantryd does itself, for the log and who watches. */
export async function note({ input, log, index }: StepContext, text: string): Promise<void> {
  await log.note(index, text);
  await input.onPrinted?.({ step: index, stream: 'gantryd', bytes: Buffer.from(`${text}\n`) });
}

export interface EndDetails {
  readonly kind: RunEnd['kind'];
  readonly exitCode?: number;
  readonly why: string;
  readonly hint?: string | undefined;
  readonly oomKilled?: boolean;
  readonly lines?: readonly string[];
}

export function endOf({ index }: Pick<StepContext, 'index'>, details: EndDetails): RunEnd {
  const { kind, exitCode = START_FAILED, why, hint, oomKilled, lines = [] } = details;
  return {
    // An engine may quote all that it was given.
    ...{ kind, exitCode, step: index, why: why.slice(0, MAX_LINE_CHARS) },
    ...(hint === undefined ? {} : { hint }),
    ...(oomKilled === true ? { oomKilled } : {}),
    lines: lines.slice(-MAX_LINES).map((line) => line.slice(0, MAX_LINE_CHARS)),
  };
}

/** The end that an error makes. `kind`: unless the error says better what failed. */
export function failed(context: StepContext, kind: 'start' | 'output', error: unknown): RunEnd {
  const is = (...codes: readonly GantryError['code'][]) => codes.some((code) => isGantryError(error, code));
  const what = is('state-write', 'file-missing') ? 'output' : is('output-gone') ? 'input' : kind;
  const why = `${nameOf(context)} ${FAILED[what]}: ${messageOf(error)}`;
  return endOf(context, { kind: what, why, hint: isGantryError(error) ? error.hint : undefined });
}

const FAILED = { start: 'could not be started', input: 'could not be fed', output: 'failed' } as const;

export function cancelledEnd(context: StepContext): RunEnd {
  const { reason } = context.input.cancelled;
  const why = typeof reason === 'string' ? reason : messageOf(reason ?? 'cancelled');
  return endOf(context, { kind: 'cancelled', exitCode: CANCELLED, why });
}
