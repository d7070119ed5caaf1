/**
 * What the containers of a component print on all hosts: asks the agents that run it, all at once, and tells their lines
 * as one log; while it is followed also of those that join. A host that cannot be asked, or falls silent, is told of and
 * costs the others nothing.
 */
import type { HostValue } from '../../cluster/values.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError, isGantryError, messageOf } from '../../errors.ts';
import { type Fleet, hostsIn, hostsOf } from '../../fleet/intents/look.ts';
import { lookAtOne } from '../../fleet/reports/why-look.ts';
import { pause } from '../../poke.ts';
import { readLines } from '../jobs/job-client.ts';
import { peerOf } from '../peers.ts';
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
  const names = running(await hostsOf(fleet, asked.project), component);
  if (names.length === 0) throw nobodyRuns(component);
  for (const host of asked.hosts) if (!names.includes(host)) throw hostUnknown(host, component, names);
  return merged(fleet, asked, chosen(names, asked), signal);
}

function running(hosts: readonly HostValue[], component: string): readonly string[] {
  return hosts.filter((h) => h.components.includes(component)).map(({ host }) => host);
}

function chosen(names: readonly string[], { hosts }: LogsAsked): readonly string[] {
  return hosts.length === 0 ? names : names.filter((name) => hosts.includes(name));
}

async function* merged(
  fleet: Fleet,
  asked: LogsAsked,
  hosts: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<FleetLine, void, undefined> {
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const merge = new Merge<FleetLine>((line) => ('time' in line ? line.time : ''), until);
  for (const host of hosts) merge.add(new HostLog(fleet, asked, host, until).lines());
  const joining = asked.follow
    ? followJoining(fleet, asked, hosts, (host) => {
        merge.add(joined(new HostLog(fleet, asked, host, until)));
      })
    : undefined;
  try {
    for await (const line of merge.lines({ isOpen: asked.follow })) if (line !== LIVE) yield line;
  } finally {
    joining?.close();
    ended.abort();
  }
}

/** Calls with each host that runs the component from some time on, once: who goes and comes again is asked on meanwhile. */
function followJoining(
  { store, keys }: Fleet,
  asked: LogsAsked,
  hosts: readonly string[],
  onJoined: (host: string) => void,
): { close(): void } {
  const known = new Set(hosts);
  const mirror = store.follow({
    range: keys.hosts(),
    onChange() {
      const live = hostsIn(mirror.entries.values(), asked.project);
      for (const host of chosen(running(live, asked.component), asked)) {
        if (known.has(host)) continue;
        known.add(host);
        onJoined(host);
      }
    },
  });
  return mirror;
}

/** Nobody waits for what one has that joined after the others. */
async function* joined(log: HostLog): AsyncGenerator<FleetLine | typeof LIVE, void, undefined> {
  yield LIVE;
  yield* log.lines({ isStarting: true });
}

class HostLog {
  readonly #fleet: Fleet;
  readonly #asked: LogsAsked;
  readonly #host: string;
  readonly #signal: AbortSignal;
  readonly #place = new LogPlace();
  #missed = '';
  /** Lines that were told. */
  #count = 0;

  constructor(fleet: Fleet, asked: LogsAsked, host: string, signal: AbortSignal) {
    this.#fleet = fleet;
    this.#asked = asked;
    this.#host = host;
    this.#signal = signal;
  }

  /**
   * Asks on while it is followed; else as long as it comes to more, as for a reader who paused until it was cut.
   * `isStarting`: that it does not answer at once is nothing to tell.
   */
  async *lines({ isStarting = false } = {}): AsyncGenerator<FleetLine | typeof LIVE, void, undefined> {
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
        if (follow ? !(isFirst && isStarting) : !goesOn) yield* this.#miss(error);
        if (!goesOn) return;
      }
      if (follow) yield LIVE; // nobody waits for it
      await pause(RETRY_MS, this.#signal);
    }
  }

  async *#told(isFirst: boolean): AsyncGenerator<FleetLine | typeof LIVE, void, undefined> {
    const host = this.#host;
    const { project, component } = this.#asked;
    const isNew = this.#place.reading();
    const path = componentLogPath(component, this.#query(isFirst));
    const peer = await peerOf(this.#fleet, { project, host, has: `the logs of ${component} there` });
    for await (const text of readLines(peer, path, this.#signal)) {
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

  *#miss(error: GantryError): Generator<FleetLine, void, undefined> {
    const note = error.hint === undefined ? error.message : `${messageOf(error)}. ${error.hint}`;
    if (this.#missed === note) return;
    this.#missed = note;
    yield { host: this.#host, note, missed: true };
  }

  *#back(): Generator<FleetLine, void, undefined> {
    this.#missed = '';
    yield { host: this.#host, note: 'its log goes on', back: true };
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
