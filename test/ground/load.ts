/**
 * Constant load on the example application: every kind of client at a bounded pace, some three hundred
 * requests a second in all (or less: `easing`), and one report of what was lost. What is promised is `failed: 0`.
 */
import { type Cleanup, until } from './harness.ts';
import {
  keepAliveClient,
  newConnectionClient,
  type Place,
  postClient,
  type Source,
  slowClient,
  uploadClient,
} from './requests.ts';
import { openEvents, openTcp, openWebSocket, type Stream } from './streams.ts';
import type { Tally } from './tally.ts';

/** For tests that ask whether any client loses anything, and not how many at once are served. */
export const EASED = 3;
const WARM_UP_MS = 30_000;
/** Of streams, where clients are eased: a cut is seen whenever it happens. */
export const EASED_TICK_MS = 1_000;

export interface LoadOptions {
  readonly http: Place;
  /** Absent: no raw TCP stream. */
  readonly tcp?: Place;
  /** Ports that the kernel leads; absent: none. */
  readonly led?: LedPlaces | undefined;
  /** How long a slow answer takes. */
  readonly slowMs?: number;
  /** How many times longer clients pause between two requests: where several hosts are under load at once. Default: 1. */
  readonly easing?: number;
}

/** Where the kernel leads to, by what speaks there. */
export interface LedPlaces {
  readonly http: Place;
  readonly tcp: Place;
}

export interface LoadReport {
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  /** Long connections that ended without being asked to. */
  readonly cut: number;
  /** The first errors of every source. */
  readonly errors: readonly string[];
  readonly tallies: readonly Tally[];
}

/** Starts all clients; resolves when each has had its first answer. Ended at the latest with the test. */
export async function startLoad(t: Cleanup, options: LoadOptions): Promise<Load> {
  const load = new Load();
  t.after(async () => void (await load.stop()));
  await load.start(options);
  return load;
}

export class Load {
  private sources: Source[] = [];
  private streams: Stream[] = [];

  /** Opens the long connections first, so that they are on the version that runs now. */
  async start({ http, tcp, led, slowMs = 5_000, easing = 1 }: LoadOptions): Promise<void> {
    const tickMs = easing === 1 ? undefined : EASED_TICK_MS;
    const streams = [
      ...[openEvents(http, tickMs), openWebSocket(http, tickMs)],
      ...[tcp, led?.tcp].flatMap((place) => (place === undefined ? [] : [openTcp(place, tickMs)])),
    ];
    for (const stream of streams) this.streams.push(await stream);
    this.sources = [
      ...Array.from({ length: 4 }, () => keepAliveClient(http, 20 * easing)),
      ...Array.from({ length: 2 }, () => newConnectionClient(http, 40 * easing)),
      ...Array.from({ length: 2 }, () => postClient(http, 50 * easing)),
      uploadClient(http, 50 * easing),
      slowClient(http, 10, slowMs),
      ...(led === undefined ? [] : [newConnectionClient(led.http, 40 * easing)]),
    ];
    const warm = () => this.tallies().every((tally) => tally.ok + tally.failed > 0);
    await until(warm, { timeoutMs: WARM_UP_MS + slowMs, what: 'a first answer to every client' });
  }

  /** Ends the long connections in an orderly way: what they hold may go from now on. */
  async closeStreams(): Promise<void> {
    await Promise.all(this.streams.map((stream) => stream.stop()));
  }

  /** What was seen so far. */
  report(): LoadReport {
    const tallies = this.tallies();
    const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
    return {
      sent: sum((tally) => tally.sent),
      ok: sum((tally) => tally.ok),
      failed: sum((tally) => tally.failed),
      cut: this.streams.filter((stream) => stream.cutAt !== undefined).length,
      errors: tallies.flatMap((tally) => tally.errors),
      tallies,
    };
  }

  /** Ends everything, awaiting what is in flight, and answers the final report. Idempotent. */
  async stop(): Promise<LoadReport> {
    await Promise.all([...this.sources.map((source) => source.stop()), this.closeStreams()]);
    return this.report();
  }

  private tallies(): Tally[] {
    return [...this.streams, ...this.sources].map((source) => source.tally);
  }
}
