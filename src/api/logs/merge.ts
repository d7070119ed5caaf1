/**
 * Several logs as one, in the order of time: of those that are not live yet the next line of each is waited for before
 * any is told, so what is there is told in order; what comes later is told as it comes. Holds one line of each.
 */
import { Poke } from '../../poke.ts';

/** A log has told what was there: from here on it says what comes. */
export const LIVE = 'live';

const LONG_MS = 3_600_000;

interface Source<T> {
  readonly lines: AsyncIterator<T | typeof LIVE>;
  readonly whenOver: () => void;
  head: T | undefined;
  isLive: boolean;
}

export class Merge<T> {
  readonly #timeOf: (line: T) => string;
  readonly #signal: AbortSignal;
  readonly #sources = new Set<Source<T>>();
  readonly #poke = new Poke();
  #failure: { readonly error: unknown } | undefined;

  /** The logs end when `signal` is aborted. */
  constructor(timeOf: (line: T) => string, signal: AbortSignal) {
    this.#timeOf = timeOf;
    this.#signal = signal;
  }

  add(lines: AsyncIterable<T | typeof LIVE>, whenOver = () => {}): void {
    const iterator = lines[Symbol.asyncIterator]();
    const source: Source<T> = { lines: iterator, whenOver, head: undefined, isLive: false };
    this.#sources.add(source);
    void this.#pull(source);
  }

  /** LIVE once, when all are. Ends with the last of them, or, if it is to be open, when aborted; fails as the first that fails. */
  async *lines({ isOpen = false } = {}): AsyncGenerator<T | typeof LIVE, void, undefined> {
    try {
      yield* this.#lines(isOpen);
    } finally {
      for (const source of this.#sources) letGo(source.lines);
    }
  }

  async *#lines(isOpen: boolean): AsyncGenerator<T | typeof LIVE, void, undefined> {
    let isLive = false;
    while (!this.#signal.aborted && (isOpen || this.#sources.size > 0)) {
      this.#poke.clear();
      if (this.#failure !== undefined) throw this.#failure.error;
      const sources = [...this.#sources];
      const first = sources.every((s) => s.isLive || s.head !== undefined) ? this.#first(sources) : undefined;
      if (!isLive && sources.every((s) => s.isLive)) {
        isLive = true;
        yield LIVE;
      } else if (first?.head === undefined) await this.#poke.wait(LONG_MS, this.#signal);
      else {
        const { head } = first;
        first.head = undefined;
        void this.#pull(first);
        yield head;
      }
    }
    if (this.#failure !== undefined && !this.#signal.aborted) throw this.#failure.error;
  }

  #first(sources: readonly Source<T>[]): Source<T> | undefined {
    const ready = sources.flatMap((s) => (s.head === undefined ? [] : [{ s, time: this.#timeOf(s.head) }]));
    return ready.reduce<(typeof ready)[number] | undefined>(
      (least, each) => (least === undefined || each.time < least.time ? each : least),
      undefined,
    )?.s;
  }

  /** Never rejects. */
  async #pull(source: Source<T>): Promise<void> {
    try {
      let next = await source.lines.next();
      while (next.done !== true && next.value === LIVE) {
        source.isLive = true;
        this.#poke.poke();
        next = await source.lines.next();
      }
      if (next.done === true) this.#over(source);
      else source.head = next.value as T;
    } catch (error) {
      this.#failure ??= { error };
      this.#over(source);
    }
    this.#poke.poke();
  }

  #over(source: Source<T>): void {
    this.#sources.delete(source);
    source.whenOver();
  }
}

/** What it waits for is aborted with it; what it still fails with is nobody's any more. */
function letGo(lines: AsyncIterator<unknown>): void {
  lines.return?.().catch(() => undefined);
}
