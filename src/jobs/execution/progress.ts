/**
 * How far an attempt is, in its folder: enough for whoever executes it next to know what is done. What must survive the
 * machine is written durably; what must survive the process alone is not waited for to reach the disk.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { RunEnd, RunValue, StepStatus } from '../../cluster/job-values.ts';
import { removeIfThere, stateWriteError, temporaryPath, writeDurably } from '../../durable-file.ts';
import { codeOf } from '../../errors.ts';

export interface ProgressValue {
  readonly format: 1;
  readonly attempt: number;
  /** 0-based index of the step that is under way; as many as there are: all are done. */
  readonly step: number;
  /** Its container was started. */
  readonly started: boolean;
  /** Its input was given to the engine to the last byte, or it has none. */
  readonly fed: boolean;
  readonly steps: readonly StepStatus[];
  readonly end?: RunEnd;
}

export type ProgressChange = Partial<Omit<ProgressValue, 'format' | 'attempt'>>;

export class Progress {
  readonly #path: string;
  readonly #onSteps: (steps: readonly StepStatus[]) => void;
  /** Nobody has begun any attempt of the run on this host before: the engine has nothing of it but what is made from now on. */
  readonly isFirst: boolean;
  #value: ProgressValue;
  #isAsked = false;

  private constructor(
    path: string,
    value: ProgressValue,
    isFirst: boolean,
    onSteps: (steps: readonly StepStatus[]) => void,
  ) {
    this.#path = path;
    this.#value = value;
    this.isFirst = isFirst;
    this.#onSteps = onSteps;
  }

  /** Of the run's attempt, whether it is under way already or begins. */
  static async open(
    path: string,
    run: RunValue,
    onSteps: (steps: readonly StepStatus[]) => void,
  ): Promise<Progress> {
    const known = await read(path);
    if (known?.attempt === run.attempt && known.steps.length === run.job.steps.length) {
      onSteps(known.steps);
      return new Progress(path, known, false, onSteps);
    }
    const steps = run.job.steps.map((): StepStatus => ({ state: 'waiting' }));
    const { attempt } = run;
    const value = { format: 1, attempt, step: 0, started: false, fed: false, steps } as const;
    // The first note of an attempt is on disk before it asks the engine for anything.
    return new Progress(path, value, known === undefined && attempt === 1, onSteps);
  }

  get value(): ProgressValue {
    return this.#value;
  }

  /** Of the step that is under way. */
  get status(): StepStatus {
    return this.#value.steps[this.#value.step] ?? { state: 'waiting' };
  }

  /** The engine was asked for nothing yet that would leave something there. */
  get isUntouched(): boolean {
    if (this.isFirst && !this.#isAsked) return true;
    return this.#value.steps.every(({ state }) => state === 'waiting');
  }

  /** From now on it may have a container. */
  asks(): void {
    this.#isAsked = true;
  }

  /** Survives the process. Throws state-write. */
  async note(change: ProgressChange): Promise<void> {
    this.#apply(change);
    const temporary = temporaryPath(this.#path);
    try {
      await writeFile(temporary, this.#text(), { mode: 0o600 });
      await rename(temporary, this.#path);
    } catch (error) {
      await removeIfThere(temporary);
      throw stateWriteError(this.#path, error);
    }
  }

  /** Survives the machine. Throws state-write. */
  async keep(change: ProgressChange): Promise<void> {
    this.#apply(change);
    await writeDurably(this.#path, this.#text());
  }

  /** All steps, with this one changed. */
  withStatus(step: number, change: Partial<StepStatus>): readonly StepStatus[] {
    return this.#value.steps.map((status, index) => (index === step ? { ...status, ...change } : status));
  }

  #apply(change: ProgressChange): void {
    this.#value = { ...this.#value, ...change };
    if (change.steps !== undefined) this.#onSteps(change.steps);
  }

  #text(): string {
    return `${JSON.stringify(this.#value)}\n`;
  }
}

/** undefined: there is none, or a crash of the machine left none that can be read. */
async function read(path: string): Promise<ProgressValue | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    const { format, steps } = Object(value) as Partial<ProgressValue>;
    return format === 1 && Array.isArray(steps) ? (value as ProgressValue) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw stateWriteError(path, error);
  }
}
