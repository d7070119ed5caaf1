/**
 * What the containers of a component print on all hosts: asks the agents that run it, all at once, and tells their lines
 * as one log. A host that cannot be asked, or falls silent, is told of and costs the others nothing.
 */
import { type ExecutorValue, readExecutor } from '../cluster/job-values.ts';
import type { HostValue } from '../cluster/values.ts';
import { didYouMean } from '../config/suggest.ts';
import { GantryError, isGantryError, messageOf } from '../errors.ts';
import { type Fleet, hostsOf } from '../fleet/look.ts';
import { lookAtOne } from '../fleet/why-look.ts';
import { pause } from '../poke.ts';
import { type Peer, readLines } from './job-client.ts';
import { LogPlace } from './log-place.ts';
import { type ComponentLogQuery, componentLogPath, type PeerLine, peerLineOf } from './log-wire.ts';
import { LIVE, Merge } from './merge.ts';

/** Between two tries to reach a host whose log is followed. */
const RETRY_MS = 1_000;

export type FleetLine = PeerLine & {
  readonly host: string;
  /** Of a note: the host could not be asked, or broke off; `back`: it is told again. */
  readonly missed?: true;
  readonly back?: true;
};

export interface LogsAsked extends ComponentLogQuery {
  readonly project: string;
  readonly component: string;
  /** []: all that run it. */
  readonly hosts: readonly string[];
}

/** Throws project-unknown, component-unknown, usage for a host that does not run it, no-hosts when none does. */
export async function fleetLog(
  fleet: Fleet,
  asked: LogsAsked,
  signal: AbortSignal,
): Promise<AsyncGenerator<FleetLine, void, undefined>> {
  const { component } = await lookAtOne(fleet, { project: asked.project, component: [asked.component] });
  const running = (await hostsOf(fleet, asked.project)).filter((h) => h.components.includes(component));
  const names = running.map(({ host }) => host);
  if (names.length === 0) throw nobodyRuns(component);
  for (const host of asked.hosts) if (!names.includes(host)) throw hostUnknown(host, component, names);
  const chosen = running.filter(({ host }) => asked.hosts.length === 0 || asked.hosts.includes(host));
  return merged(fleet, asked, chosen, signal);
}

async function* merged(
  fleet: Fleet,
  asked: LogsAsked,
  hosts: readonly HostValue[],
  signal: AbortSignal,
): AsyncGenerator<FleetLine, void, undefined> {
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const merge = new Merge<FleetLine>((line) => ('time' in line ? line.time : ''), until);
  for (const { host, id } of hosts) merge.add(new HostLog(fleet, asked, { host, id }, until).lines());
  try {
    for await (const line of merge.lines()) if (line !== LIVE) yield line;
  } finally {
    ended.abort();
  }
}

class HostLog {
  readonly #fleet: Fleet;
  readonly #asked: LogsAsked;
  readonly #at: { readonly host: string; readonly id: string };
  readonly #signal: AbortSignal;
  readonly #place = new LogPlace();
  #missed = '';
  /** Lines that were told. */
  #count = 0;

  constructor(fleet: Fleet, asked: LogsAsked, at: { host: string; id: string }, signal: AbortSignal) {
    this.#fleet = fleet;
    this.#asked = asked;
    this.#at = at;
    this.#signal = signal;
  }

  /** Asks on while it is followed; else as long as it comes to more, as for a reader who paused until it was cut. */
  async *lines(): AsyncGenerator<FleetLine | typeof LIVE, void, undefined> {
    const { follow } = this.#asked;
    for (let isFirst = true; !this.#signal.aborted; isFirst = false) {
      const before = this.#count;
      try {
        yield* this.#told(isFirst);
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        if (!isGantryError(error)) throw error;
        const goesOn = follow || (error.retryable && this.#count > before);
        if (follow || !goesOn) yield* this.#miss(error);
        if (!goesOn) return;
      }
      if (follow) yield LIVE; // nobody waits for it
      await pause(RETRY_MS, this.#signal);
    }
  }

  async *#told(isFirst: boolean): AsyncGenerator<FleetLine | typeof LIVE, void, undefined> {
    const { host } = this.#at;
    const isNew = this.#place.reading();
    const path = componentLogPath(this.#asked.component, this.#query(isFirst));
    for await (const text of readLines(await this.#peer(), path, this.#signal)) {
      const line = peerLineOf(text);
      if (line === undefined) throw new GantryError('output-gone', `${host} sent what is no log`);
      if (line === 'end') return;
      if (this.#missed !== '') yield* this.#back();
      if (line === LIVE) {
        this.#place.caughtUp();
        yield LIVE;
      } else if (!('time' in line)) yield { host, ...line };
      else if (isNew(line)) {
        this.#count += 1;
        yield { host, ...line };
      }
    }
  }

  /** What was told already is asked for again only as far as it must be. */
  #query(isFirst: boolean): ComponentLogQuery {
    const { follow, tail, since = 0 } = this.#asked;
    const begun = this.#place.since;
    const from = Math.max(since, begun ?? 0);
    return {
      follow,
      ...(from === 0 ? {} : { since: from }),
      // What came since may be more than that.
      ...(tail === undefined || (follow && !isFirst && begun !== undefined) ? {} : { tail }),
    };
  }

  async #peer(): Promise<Peer> {
    const { host, id } = this.#at;
    const { store, keys } = this.#fleet;
    const { entries } = await store.list(keys.project(this.#asked.project).jobs.executors());
    const executors: readonly ExecutorValue[] = entries.flatMap((entry) => readExecutor(entry) ?? []);
    const executor = executors.find((each) => each.host === host && each.hostId === id);
    if (executor !== undefined && executor.port !== 0)
      return { ...executor, has: `the logs of ${this.#asked.component} there` };
    throw new GantryError('output-gone', `the agent of ${host} serves no logs`, {
      hint: 'One that was started with --no-jobs has no API for it; one that is just starting has it soon.',
      retryable: true,
    });
  }

  *#miss(error: GantryError): Generator<FleetLine, void, undefined> {
    const note = error.hint === undefined ? error.message : `${messageOf(error)}. ${error.hint}`;
    if (this.#missed === note) return;
    this.#missed = note;
    yield { host: this.#at.host, note, missed: true };
  }

  *#back(): Generator<FleetLine, void, undefined> {
    this.#missed = '';
    yield { host: this.#at.host, note: 'its log goes on', back: true };
  }
}

function nobodyRuns(component: string): GantryError {
  return new GantryError('no-hosts', `No live host runs ${component}`, {
    hint: 'An agent of the project must run: gantryd run PROJECT.',
  });
}

function hostUnknown(host: string, component: string, names: readonly string[]): GantryError {
  return new GantryError('usage', `${component} runs on no live host ${host}${didYouMean(host, names)}`, {
    hint: `It runs on: ${names.join(', ')}.`,
  });
}
