/**
 * One attempt of one run on this host: its steps one after the other, each a container whose output is the next one's
 * input. What is on disk and in the engine suffices to go on after the process was killed.
 */
import { rename } from 'node:fs/promises';
import type { RunEnd, RunValue, StepStatus } from '../../cluster/job-values.ts';
import type { JobEngine } from '../../docker/job-engine.ts';
import { removeIfThere, stateWriteError } from '../../durable-file.ts';
import { isGantryError } from '../../errors.ts';
import type { SecretFiles, Secrets } from '../../secrets/secrets.ts';
import { makeRunFolder, type RunFolder, removeBetween, runFolder, sizeOf } from '../disk/run-folder.ts';
import { endRunLog, type LogEntry } from '../disk/run-log.ts';
import { type OnLogged, RunLogWriter } from '../disk/run-log-writer.ts';
import { ended } from '../runs.ts';
import { discard, removeAll } from './adopting.ts';
import { Progress } from './progress.ts';
import { failed, type StepContext } from './step.ts';
import { runStep, type StepOutcome } from './step-run.ts';

/** A piece of what the run prints, for who watches from this process. */
export interface Printed {
  readonly step: number;
  readonly stream: LogEntry['stream'];
  readonly bytes: Buffer;
}

export interface ExecutionInput {
  readonly run: RunValue;
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly engine: JobEngine;
  readonly secrets: Secrets;
  readonly secretFiles: SecretFiles;
  /** The steps changed: each has one status. Synchronous; may come often. */
  readonly onSteps: (steps: readonly StepStatus[]) => void;
  /** Awaited before more is read: who is slow slows the container. */
  readonly onPrinted?: (printed: Printed) => Promise<void> | void;
  readonly onLogged?: OnLogged | undefined;
  /** Aborted with this reason: stops the container, and ends with it. */
  readonly cancelled: AbortSignal;
  /** Aborted: lets go; the container runs on, and the next execution of the same attempt goes on with it. */
  readonly left: AbortSignal;
  readonly now: () => number;
}

/**
 * Resolves with how the attempt ended, its containers removed, log and output on disk and complete; undefined: it was
 * left. Called anew for an attempt that was left, or whose process was killed, it adopts the container that runs: no
 * byte is missed, none is told twice. Rejects only for what is not the run's fault (an engine that is away: it waits;
 * a disk that is full: state-write).
 */
export type Execute = (input: ExecutionInput) => Promise<RunEnd | undefined>;

export const execute: Execute = async (input) => {
  if (input.left.aborted) return undefined;
  const folder = runFolder(input.stateDir, input.project, input.run.id);
  await makeRunFolder(folder);
  const progress = await Progress.open(folder.state, input.run, input.onSteps);
  const { now, onLogged } = input;
  const log = await RunLogWriter.open({ folder: folder.path, run: input.run.id, now, onLogged });
  try {
    return await new Execution(watched(input), folder, log, progress).run();
  } finally {
    await log.close();
  }
};

/** A watcher that fails is told no more; the run does not end for it. */
function watched(input: ExecutionInput): ExecutionInput {
  const { onPrinted, ...rest } = input;
  if (onPrinted === undefined) return input;
  let watches = true;
  const stop = () => {
    watches = false;
  };
  const tell = (printed: Printed): Promise<void> | void => {
    try {
      return watches ? onPrinted(printed)?.catch(stop) : undefined;
    } catch {
      stop();
    }
  };
  return { ...rest, onPrinted: tell };
}

class Execution {
  readonly #input: ExecutionInput;
  readonly #folder: RunFolder;
  readonly #log: RunLogWriter;
  readonly #progress: Progress;

  constructor(input: ExecutionInput, folder: RunFolder, log: RunLogWriter, progress: Progress) {
    this.#input = input;
    this.#folder = folder;
    this.#log = log;
    this.#progress = progress;
  }

  async run(): Promise<RunEnd | undefined> {
    const { step, started, end } = this.#progress.value;
    if (end === undefined && step === 0 && !started) await this.#forgetOlder();
    try {
      return await this.#steps();
    } catch (error) {
      if (this.#input.left.aborted) return undefined;
      throw error;
    }
  }

  async #steps(): Promise<RunEnd | undefined> {
    while (this.#progress.value.end === undefined) {
      const context = this.#context();
      if (context === undefined) return this.#over(this.#wellEnded());
      const outcome = await runStep(context);
      if (outcome.kind === 'left') return undefined;
      const end = outcome.kind === 'over' ? outcome.end : await this.#done(context, outcome);
      if (end !== undefined) return this.#over(end, outcome);
    }
    return this.#over(this.#progress.value.end);
  }

  /** Of the step that is next; undefined: all are done. */
  #context(index: number = this.#progress.value.step): StepContext | undefined {
    const { steps } = this.#input.run.job;
    const step = steps[index];
    if (step === undefined) return undefined;
    const [input, folder, log, progress] = [this.#input, this.#folder, this.#log, this.#progress];
    return { input, folder, log, progress, step, index, isLast: index === steps.length - 1 };
  }

  /** An end when it cannot be noted. */
  async #done(
    context: StepContext,
    { container, outputBytes }: Extract<StepOutcome, { kind: 'done' }>,
  ): Promise<RunEnd | undefined> {
    const { index, isLast } = context;
    const endedAt = new Date(this.#input.now()).toISOString();
    const change = { state: 'complete', exitCode: 0, endedAt, outputBytes } as const;
    const steps = this.#progress.withStatus(index, change);
    try {
      const end = isLast ? { end: this.#wellEnded() } : {};
      await this.#progress.keep({ step: index + 1, started: false, fed: false, steps, ...end });
    } catch (error) {
      return failed(context, 'output', error);
    }
    await discard(context, container);
    if (index > 0) await removeIfThere(this.#folder.between(index - 1));
    return undefined;
  }

  #wellEnded(): RunEnd {
    const step = this.#input.run.job.steps.length - 1;
    return { kind: 'exit', exitCode: 0, step, why: '', lines: [] };
  }

  /** On disk before the containers go, so that whoever is interrupted here still knows. Safe to be done again. */
  async #over(end: RunEnd, outcome?: StepOutcome): Promise<RunEnd> {
    const well = end.kind === 'exit' && end.exitCode === 0;
    const isUntouched = end.kind === 'cancelled' && this.#progress.isUntouched;
    if (well) await this.#offerOutput();
    else await removeBetween(this.#folder);
    if (this.#progress.value.end === undefined) await this.#keepEnd(end, well);
    const context = this.#context(end.step);
    if (context !== undefined && !isUntouched) {
      if (outcome?.kind === 'over' && outcome.container !== undefined)
        await discard(context, outcome.container);
      // Of a run that nobody had begun before, all there was is known, and gone.
      if (!(this.#progress.isFirst && end.kind === 'exit')) await removeAll(context);
    }
    await this.#closeFiles(end);
    return end;
  }

  async #keepEnd(end: RunEnd, well: boolean): Promise<void> {
    const endedAt = new Date(this.#input.now()).toISOString();
    const state = end.kind === 'cancelled' ? 'cancelled' : 'failed';
    const change = { state, exitCode: end.exitCode, endedAt } as const;
    const steps = well ? this.#progress.value.steps : this.#progress.withStatus(end.step, change);
    await this.#orFull(end, () => this.#progress.keep({ end, steps }));
  }

  async #closeFiles(end: RunEnd): Promise<void> {
    await removeBetween(this.#folder);
    if (ended(this.#input.run, end, this.#input.now()).kind === 'again') return;
    await removeIfThere(this.#folder.input);
    await this.#orFull(end, () => this.#log.end().catch(() => endRunLog(this.#folder)));
  }

  /** A run that ended because the disk is full cannot note that there; its end says so. */
  async #orFull(end: RunEnd, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (end.kind !== 'output' || !isGantryError(error, 'state-write')) throw error;
    }
  }

  async #offerOutput(): Promise<void> {
    const last = this.#folder.between(this.#input.run.job.steps.length - 1);
    if ((await sizeOf(last)) === undefined) return;
    await rename(last, this.#folder.output).catch((error: unknown) => {
      throw stateWriteError(this.#folder.output, error);
    });
  }

  /** Files of the attempts before this one; their log stays. */
  async #forgetOlder(): Promise<void> {
    const { attempt } = this.#input.run;
    if (attempt > 1 && this.#log.state.attempt !== attempt) await this.#log.note(0, `attempt ${attempt}`);
    await removeBetween(this.#folder);
    await removeIfThere(this.#folder.output);
  }
}
