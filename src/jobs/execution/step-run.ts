/**
 * Carries out one step: begins it, or goes on with what another process began; feeds it, reads it, waits for its end, and
 * judges that. Leaves its container, which goes once the outcome is on disk.
 */
import type { RunEnd } from '../../cluster/job-values.ts';
import type { ExitReport } from '../../docker/engine.ts';
import type { Attachment } from '../../docker/job-engine.ts';
import { isGantryError } from '../../errors.ts';
import { pause } from '../../poke.ts';
import { isAway, patiently } from '../patience.ts';
import { findStep, halfFed, sayAway, vanished } from './adopting.ts';
import { Spool } from './spool.ts';
import {
  cancelledEnd,
  endOf,
  failed,
  nameOf,
  type StepContainer,
  type StepContext,
  TIMED_OUT,
} from './step.ts';
import { feed, inputOf, type StepInput } from './step-input.ts';
import { Intake } from './step-output.ts';
import { type Absence, readAll } from './step-read.ts';
import { startStep } from './step-start.ts';
import { Stopping } from './stopping.ts';

export type StepOutcome =
  | { readonly kind: 'done'; readonly container: StepContainer; readonly outputBytes: number }
  | { readonly kind: 'over'; readonly container?: StepContainer; readonly end: RunEnd }
  | { readonly kind: 'left' };

/** Tries of a start that the engine does not answer in time. */
const SLOW_STARTS = 3;
const RETRY_MS = 1_000;
/** What the kernel keeps of an input for a container, when the engine that brought it dies. */
const KEPT_INPUT_BYTES = 64 * 1024;
const ARRIVED_AFTER_MS = 2_000;

/** Never rejects. */
export async function runStep(context: StepContext): Promise<StepOutcome> {
  const { left, cancelled } = context.input;
  let container: StepContainer | undefined;
  try {
    const begun = await beginStep(context);
    if (begun.kind === 'over')
      return cancelled.aborted ? { kind: 'over', end: cancelledEnd(context) } : begun;
    container = begun.container;
    return await new StepRun(context, begun).run();
  } catch (error) {
    if (left.aborted) return { kind: 'left' };
    const kind = container === undefined ? 'start' : 'output';
    const end = cancelled.aborted ? cancelledEnd(context) : failed(context, kind, error);
    return { kind: 'over', end, ...(container === undefined ? {} : { container }) };
  }
}

interface Begun {
  readonly kind: 'begun';
  readonly container: StepContainer;
  readonly input: StepInput;
  /** undefined: another process had it. */
  readonly attachment?: Attachment;
}

/** Anew as long as the engine is away: what was half made is found and removed. */
async function beginStep(context: StepContext): Promise<Begun | Extract<StepOutcome, { kind: 'over' }>> {
  const { left } = context.input;
  for (let slow = 0; ; ) {
    try {
      return await tryToBegin(context);
    } catch (error) {
      if (!isAway(error) || context.input.cancelled.aborted || left.aborted) throw error;
      if (isGantryError(error, 'engine-timeout') && ++slow >= SLOW_STARTS) throw error;
      await sayAway(context, error);
      await pause(RETRY_MS, left);
    }
  }
}

async function tryToBegin(context: StepContext): Promise<Begun | Extract<StepOutcome, { kind: 'over' }>> {
  const { input, progress, log, index } = context;
  const found = await findStep(context);
  if (found.kind === 'over') return found;
  if (found.kind === 'adopted') {
    const { container } = found;
    return { kind: 'begun', container, input: { kind: 'none', bytes: progress.status.inputBytes ?? 0 } };
  }
  const signal = AbortSignal.any([input.cancelled, input.left]);
  signal.throwIfAborted();
  await progress.note({ steps: progress.withStatus(index, { state: 'preparing' }) });
  await log.begin(input.run.attempt, index);
  const fromBefore = await inputOf(context, signal);
  const started = await startStep(context, fromBefore, signal);
  return { kind: 'begun', input: fromBefore, ...started };
}

/** A step whose container runs, or has run. */
class StepRun {
  readonly #context: StepContext;
  readonly #begun: Begun;
  readonly #absence: Absence = { away: false, endedMeanwhile: false, at: 0 };
  readonly #over = new AbortController();
  readonly #stopping: Stopping;
  #feeding: Promise<void> = Promise.resolve();
  #fedAt = Number.POSITIVE_INFINITY;

  constructor(context: StepContext, begun: Begun) {
    this.#context = context;
    this.#begun = begun;
    this.#stopping = new Stopping(context, begun.container);
  }

  async run(): Promise<StepOutcome> {
    const { attachment } = this.#begun;
    const spool = await this.#openSpool();
    const intake = this.#intake(spool);
    try {
      const ended = await this.#ended(intake);
      if (ended === 'left') return { kind: 'left' };
      await intake.finish();
      return await this.#judged(ended.report, spool);
    } finally {
      this.#over.abort();
      this.#stopping.close();
      intake.close();
      attachment?.close();
      // Whoever goes on with it next must be the only one who notes how far it is.
      await this.#feeding.catch(() => {});
      await spool?.close();
    }
  }

  /** Of what is printed; undefined: the output is a file in the container. */
  async #openSpool(): Promise<Spool | undefined> {
    const { step, folder, index } = this.#context;
    if (step.output.kind === 'file') return undefined;
    return Spool.open(folder.between(index), this.#begun.attachment === undefined, step.delimiters);
  }

  #intake(spool: Spool | undefined): Intake {
    const { log, index, input, step, isLast } = this.#context;
    const { kind } = step.output;
    const capture = spool === undefined || kind === 'file' ? undefined : { stream: kind, to: spool };
    return new Intake({ log, step: index, spool: capture, limited: !isLast, onPrinted: input.onPrinted });
  }

  async #ended(intake: Intake): Promise<{ report: ExitReport | undefined } | 'left'> {
    const { context, container, attachment, input } = { context: this.#context, ...this.#begun };
    const { left, engine } = context.input;
    const signal = AbortSignal.any([left, this.#over.signal]);
    const leaving = aborted(left, this.#over.signal);
    this.#stopping.watch(await this.#startedAt());
    const end = quiet(engine.ended(container.id, signal));
    if (attachment !== undefined) this.#feeding = quiet(this.#feed(input, attachment));
    const onBack = () => this.#stopIfUnfed();
    const reading = { context, container, intake, absence: this.#absence, onBack, signal };
    const read = quiet(readAll(reading, attachment?.output));
    // An input that cannot be read ends the step; one that is fed says nothing.
    const unfed = quiet(this.#feeding.then(() => read));
    if ((await Promise.race([read, unfed, leaving, this.#stopping.stopped()])) === 'left') return 'left';
    const report = await Promise.race([end, leaving]);
    if (report === 'left') return 'left';
    attachment?.close();
    await this.#feeding;
    return { report };
  }

  /** A container that lives on without the engine may wait for the rest of its input for ever. */
  #stopIfUnfed(): void {
    if (this.#mayHaveLostInput()) this.#stopping.stop('unfed');
  }

  async #feed(input: StepInput, attachment: Attachment): Promise<void> {
    const fed = await feed(input, attachment.input);
    if (fed === 'refused' || input.kind === 'none') return;
    this.#fedAt = this.#context.input.now();
    await this.#context.progress.note({ fed: true });
  }

  async #startedAt(): Promise<number> {
    const { input, progress } = this.#context;
    const known = Date.parse(progress.status.startedAt ?? '');
    if (!Number.isNaN(known)) return known;
    const report = await patiently(() => input.engine.exit(this.#begun.container.id), input.left);
    return report?.startedAt ?? input.now();
  }

  async #judged(report: ExitReport | undefined, spool: Spool | undefined): Promise<StepOutcome> {
    const { container } = this.#begun;
    const end = await this.#endIfFailed(report, spool);
    if (end !== undefined) return { kind: 'over', container, end };
    const outputBytes = spool?.size ?? (await this.#takeFile());
    return { kind: 'done', container, outputBytes };
  }

  async #endIfFailed(report: ExitReport | undefined, spool: Spool | undefined): Promise<RunEnd | undefined> {
    const context = this.#context;
    if (this.#stopping.reason === 'cancelled') return cancelledEnd(context);
    if (this.#stopping.reason === 'timeout') return this.#timedOut();
    if (this.#stopping.reason === 'unfed') return halfFed(context);
    if (report === undefined) return vanished(context);
    if (report.exitCode !== 0) return this.#exited(report);
    if (!this.#absence.endedMeanwhile || spool === undefined) return undefined;
    const why = `${nameOf(context)} ended while the Docker engine was away: the end of its output may be lost`;
    return endOf(context, { kind: 'output', why });
  }

  /** What the engine had taken, and not yet given to the container, went with it. */
  #mayHaveLostInput(): boolean {
    const { input, attachment } = this.#begun;
    if (!this.#absence.away || attachment === undefined || input.kind === 'none') return false;
    return input.bytes > KEPT_INPUT_BYTES || this.#absence.at - this.#fedAt < ARRIVED_AFTER_MS;
  }

  async #timedOut(): Promise<RunEnd> {
    const context = this.#context;
    const seconds = (context.step.timeoutMs ?? 0) / 1000;
    const why = `${nameOf(context)} was stopped: it did not end within ${seconds} s`;
    return endOf(context, { kind: 'timeout', exitCode: TIMED_OUT, why, lines: await this.#lastLines() });
  }

  async #exited({ exitCode = 1, oomKilled, error }: ExitReport): Promise<RunEnd> {
    const context = this.#context;
    const how = `${nameOf(context)} ended with exit code ${exitCode}`;
    const why = oomKilled ? `${how}: it was out of memory` : error === '' ? how : `${how}: ${error}`;
    const hint = oomKilled ? 'Give the step more memory.' : undefined;
    return endOf(context, { kind: 'exit', exitCode, why, hint, oomKilled, lines: await this.#lastLines() });
  }

  #lastLines(): Promise<readonly string[]> {
    const { engine, left } = this.#context.input;
    return patiently(() => engine.logs(this.#begun.container.id, 20), left);
  }

  /** The output that is a file in the container. Answers how large it is. */
  async #takeFile(): Promise<number> {
    const { input, step, folder, index } = this.#context;
    if (step.output.kind !== 'file') return 0;
    const { path } = step.output;
    for (;;) {
      const spool = await Spool.open(folder.between(index), false);
      try {
        const read = () => input.engine.readFile(this.#begun.container.id, path);
        for await (const bytes of await patiently(read, input.left)) {
          input.left.throwIfAborted();
          await spool.take(bytes);
        }
        await spool.finish();
        return spool.size;
      } catch (error) {
        if (!isAway(error) || input.left.aborted) throw error;
        await pause(RETRY_MS, input.left);
      } finally {
        await spool.close();
      }
    }
  }
}

/** It is waited for later, or not at all: its failure is no one's until then. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** `until`: nobody listens any more. */
function aborted(signal: AbortSignal, until: AbortSignal): Promise<'left'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('left');
    else signal.addEventListener('abort', () => resolve('left'), { once: true, signal: until });
  });
}
