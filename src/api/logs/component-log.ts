/**
 * What the containers of a component on this host print: first what is in their logs, in the order of time, and when
 * it is followed what comes, from containers that start later too. Never of a container without this host's labels.
 */
import type { Container } from '../../docker/engine.ts';
import type { JobEngine } from '../../docker/job-engine.ts';
import { isGantryError } from '../../errors.ts';
import { Poke, pause } from '../../poke.ts';
import { LogPlace } from './log-place.ts';
import type { ComponentLogQuery, PeerLine } from './log-wire.ts';
import { LIVE, Merge } from './merge.ts';

/** Events may be missed. */
const LOOK_AGAIN_MS = 5_000;
/** Between two tries to reach an engine that went away. */
const RETRY_MS = 1_000;
/** Of the containers of a component, the newest: each log that is open costs a connection to the engine. */
const MAX_CONTAINERS = 64;

export interface LogsHere {
  readonly engine: Pick<JobEngine, 'containers' | 'lines' | 'watch'>;
  readonly project: string;
  readonly hostId: string;
}

type Line = PeerLine | typeof LIVE;

/** Ends with the logs, or when aborted if they are followed. Throws what the first look at the engine fails with. */
export async function* readComponent(
  here: LogsHere,
  component: string,
  query: ComponentLogQuery,
  signal: AbortSignal,
): AsyncGenerator<Line, void, undefined> {
  const ended = new AbortController();
  const reading = new Reading(here, component, query, AbortSignal.any([signal, ended.signal]));
  try {
    yield* reading.lines();
  } finally {
    ended.abort();
  }
}

class Reading {
  readonly #here: LogsHere;
  readonly #component: string;
  readonly #query: ComponentLogQuery;
  readonly #signal: AbortSignal;
  readonly #merge: Merge<PeerLine>;
  /** By container, of those that are there. */
  readonly #places = new Map<string, LogPlace>();
  readonly #open = new Set<string>();
  /** Whose log cannot be read: that was told. */
  readonly #unreadable = new Set<string>();

  constructor(here: LogsHere, component: string, query: ComponentLogQuery, signal: AbortSignal) {
    this.#here = here;
    this.#component = component;
    this.#query = query;
    this.#signal = signal;
    this.#merge = new Merge<PeerLine>((line) => ('time' in line ? line.time : ''), signal);
  }

  async *lines(): AsyncGenerator<Line, void, undefined> {
    const { follow } = this.#query;
    const poke = new Poke();
    // Before the first look, so that nothing starts unseen in between.
    if (follow) this.#here.engine.watch(() => poke.poke(), this.#signal);
    const found = await this.#containers();
    const shown = found.slice(0, MAX_CONTAINERS);
    yield { containers: shown.length };
    if (found.length > shown.length)
      yield { note: `only the newest ${MAX_CONTAINERS} of its ${found.length} containers are shown` };
    for (const each of found) this.#places.set(each.id, new LogPlace());
    for (const each of shown) this.#add(each, follow ? this.#whole(each) : this.#logged(each));
    const looking = follow ? this.#look(poke) : undefined;
    yield* this.#merge.lines({ isOpen: follow });
    await looking;
  }

  /** Those that ran, newest first. */
  async #containers(): Promise<readonly Container[]> {
    const { engine, project, hostId: host } = this.#here;
    const all = await engine.containers({ project, component: this.#component, host });
    return all.filter(({ state }) => state !== 'created').sort((a, b) => b.createdAt - a.createdAt);
  }

  /** For containers that start later, or again, until aborted. Never rejects. */
  async #look(poke: Poke): Promise<void> {
    while (!this.#signal.aborted) {
      await poke.wait(LOOK_AGAIN_MS, this.#signal);
      poke.clear();
      const found = await this.#containers().catch(() => undefined); // looked at again soon
      if (found === undefined) continue;
      for (const id of this.#places.keys())
        if (!this.#open.has(id) && !found.some((each) => each.id === id)) this.#forget(id);
      for (const each of found) if (this.#isToRead(each)) this.#add(each, this.#later(each));
    }
  }

  #isToRead({ id, state }: Container): boolean {
    if (this.#unreadable.has(id)) return false;
    if (this.#open.has(id) || this.#open.size >= MAX_CONTAINERS || this.#signal.aborted) return false;
    return !this.#places.has(id) || state === 'running';
  }

  #forget(id: string): void {
    this.#places.delete(id);
    this.#unreadable.delete(id);
  }

  #add({ id }: Container, lines: AsyncIterable<Line>): void {
    this.#open.add(id);
    this.#merge.add(lines, () => this.#open.delete(id));
  }

  async *#whole(container: Container): AsyncGenerator<Line, void, undefined> {
    yield* this.#logged(container);
    yield LIVE;
    yield* this.#followed(container);
  }

  /** Nothing waits for one that began after the others. */
  async *#later(container: Container): AsyncGenerator<Line, void, undefined> {
    yield LIVE;
    if (!this.#places.has(container.id)) this.#places.set(container.id, new LogPlace());
    yield* this.#followed(container);
  }

  /** What is in its log now. */
  async *#logged(container: Container): AsyncGenerator<Line, void, undefined> {
    try {
      const { since, tail } = this.#query;
      const limits = { ...(since === undefined ? {} : { since }), ...(tail === undefined ? {} : { tail }) };
      yield* this.#read(container, { follow: false, ...limits });
    } catch (error) {
      yield* this.#noteOf(container, error);
    }
    this.#places.get(container.id)?.caughtUp(this.#query.tail === 0 ? new Date().toISOString() : undefined);
  }

  /** Until it has ended, and then once more for what the engine may have left out. */
  async *#followed(container: Container): AsyncGenerator<Line, void, undefined> {
    for (let said = ''; !this.#signal.aborted && !this.#unreadable.has(container.id); ) {
      try {
        yield* this.#read(container, { follow: true, ...this.#since(container) });
        yield* this.#read(container, { follow: false, ...this.#since(container) });
        return;
      } catch (error) {
        if (!isGantryError(error) || !error.retryable) return yield* this.#noteOf(container, error);
        if (error.message !== said) yield* this.#noteOf(container, error);
        said = error.message;
        await pause(RETRY_MS, this.#signal);
      }
    }
  }

  async *#read(
    { id, release }: Container,
    query: { readonly follow: boolean; readonly since?: number; readonly tail?: number },
  ): AsyncGenerator<PeerLine, void, undefined> {
    const container = id.slice(0, 12);
    const isNew = this.#places.get(id)?.reading();
    for await (const { stream, time, text } of this.#here.engine.lines(id, query, this.#signal))
      if (isNew?.({ container, stream, time }) === true) yield { container, release, stream, time, text };
  }

  #since({ id }: Container): { readonly since?: number } {
    const since = this.#places.get(id)?.since ?? this.#query.since;
    return since === undefined ? {} : { since: Math.max(since, this.#query.since ?? 0) };
  }

  /** Of one that is gone there is nothing to say; what cannot be read is told once. */
  *#noteOf({ id }: Container, error: unknown): Generator<PeerLine, void, undefined> {
    if (!isGantryError(error)) throw error;
    if (!error.retryable) this.#unreadable.add(id);
    if (error.code !== 'container-gone') yield { note: error.message, container: id.slice(0, 12) };
  }
}
