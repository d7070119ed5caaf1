/** Ends a container early: when the run is cancelled, the step's time is over, or some of its input was lost. */
import { pause } from '../../poke.ts';
import { patiently } from '../patience.ts';
import { discard, sayAway } from './adopting.ts';
import { GRACE_MS, type StepContainer, type StepContext } from './step.ts';

/** What a container that was stopped has printed is read for so long at most: its reader may wait for one that is stuck. */
const READ_ON_MS = 5_000;
/** What a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export type StopReason = 'cancelled' | 'timeout' | 'unfed';

export class Stopping {
  readonly #context: StepContext;
  readonly #container: StepContainer;
  readonly #over = new AbortController();
  readonly #onCancel = () => this.stop('cancelled');
  #timer: NodeJS.Timeout | undefined;
  #reason: StopReason | undefined;
  #settle: (outcome: 'stopped' | { readonly error: unknown }) => void = () => {};
  readonly #stopped = new Promise<'stopped' | { readonly error: unknown }>((resolve) => {
    this.#settle = resolve;
  });

  constructor(context: StepContext, container: StepContainer) {
    this.#context = context;
    this.#container = container;
  }

  /** `startedAt`: epoch milliseconds; the step's time counts from then. */
  watch(startedAt: number): void {
    const { input, step } = this.#context;
    if (input.cancelled.aborted) this.#onCancel();
    else input.cancelled.addEventListener('abort', this.#onCancel, { once: true });
    if (step.timeoutMs !== undefined) this.#arm(Math.max(0, startedAt + step.timeoutMs - input.now()));
  }

  #arm(leftMs: number): void {
    const atOnce = Math.min(leftMs, MAX_TIMER_MS);
    const next = () => (atOnce < leftMs ? this.#arm(leftMs - atOnce) : this.stop('timeout'));
    this.#timer = setTimeout(next, atOnce);
  }

  get reason(): StopReason | undefined {
    return this.#reason;
  }

  /** Resolves when the container was stopped and had its time to be read; never while nothing asked for it. */
  async stopped(): Promise<void> {
    const outcome = await this.#stopped;
    if (outcome !== 'stopped') throw outcome.error;
  }

  /** Nothing is stopped any more. Idempotent. */
  close(): void {
    clearTimeout(this.#timer);
    this.#context.input.cancelled.removeEventListener('abort', this.#onCancel);
    this.#over.abort();
  }

  /** What asks first is the reason. */
  stop(reason: StopReason): void {
    if (this.#reason !== undefined || this.#over.signal.aborted) return;
    this.#reason = reason;
    this.#end().then(
      () => this.#settle('stopped'),
      (error: unknown) => this.#settle({ error }),
    );
  }

  async #end(): Promise<void> {
    const { engine, left } = this.#context.input;
    const until = AbortSignal.any([left, this.#over.signal]);
    const onAway = (error: unknown) => sayAway(this.#context, error);
    await patiently(() => engine.stop(this.#container.id, GRACE_MS), until, onAway);
    await pause(READ_ON_MS, until);
    if (!until.aborted) await discard(this.#context, this.#container);
  }
}
