/**
 * The traffic of a campaign: on every host every kind of client at a pace that leaves the machine something for the
 * faults, and connections that stay for a while, so that drains have something to wait for and come to an end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  keepAliveClient,
  newConnectionClient,
  type Place,
  postClient,
  type Source,
  slowClient,
  uploadClient,
} from '../ground/requests.ts';
import { openEvents, openTcp, openWebSocket, type Stream } from '../ground/streams.ts';
import type { Tally } from '../ground/tally.ts';
import type { Dice } from './dice.ts';
import type { Loss } from './judge.ts';

const LOOK_MS = 100;
const SLOW_MS = 1_500;
const SHORT_STAY_MS = 500;
/** Of the longest stay, how long the short ones and, at least, the long ones stay. */
const PARTS = { short: 0.2, long: 0.3 };

export interface HostTraffic {
  readonly host: string;
  readonly http: Place;
  readonly tcp: Place;
}

export interface Report {
  readonly sent: number;
  readonly answered: number;
  readonly streams: number;
  readonly losses: readonly Loss[];
  /** Everything that answered as a version, and how often. */
  readonly versions: ReadonlyMap<string, number>;
}

export class Traffic {
  readonly #sources: { readonly host: string; readonly source: Source }[] = [];
  readonly #stopping = new AbortController();
  readonly #streaming: Promise<void>[] = [];
  readonly #tallies: { readonly host: string; readonly tally: Tally }[] = [];
  #streams = 0;

  /** Begins at once. No connection stays longer than `longestStayMs`. */
  constructor(hosts: readonly HostTraffic[], dice: Dice, longestStayMs: number) {
    const [short, long] = [PARTS.short * longestStayMs, PARTS.long * longestStayMs];
    const stays = [
      [SHORT_STAY_MS, short],
      [long, longestStayMs],
    ] as const;
    for (const on of hosts) {
      const { http } = on;
      const sources = [
        ...[keepAliveClient(http, 60), keepAliveClient(http, 60), newConnectionClient(http, 80)],
        ...[postClient(http, 120), uploadClient(http, 120), slowClient(http, 10, SLOW_MS)],
      ];
      for (const source of sources) {
        this.#sources.push({ host: on.host, source });
        this.#tallies.push({ host: on.host, tally: source.tally });
      }
      for (const open of [openEvents, openWebSocket, openTcp])
        for (const [least, most] of stays) this.#streaming.push(this.#keep(on, open, [least, most], dice));
    }
  }

  report(): Report {
    const versions = new Map<string, number>();
    let [sent, answered] = [0, 0];
    const losses: Loss[] = [];
    for (const { host, tally } of this.#tallies) {
      sent += tally.sent;
      answered += tally.ok;
      losses.push(...tally.failures.map((failure) => ({ host, client: tally.name, ...failure })));
      for (const [version, { count }] of tally.versions)
        versions.set(version, (versions.get(version) ?? 0) + count);
    }
    return { sent, answered, streams: this.#streams, losses, versions };
  }

  /** Ends all in an orderly way. Idempotent. */
  async stop(): Promise<Report> {
    this.#stopping.abort();
    await Promise.all([...this.#streaming, ...this.#sources.map(({ source }) => source.stop())]);
    return this.report();
  }

  async #keep(
    { host, http, tcp }: HostTraffic,
    open: (place: Place) => Promise<Stream>,
    [least, most]: readonly [number, number],
    dice: Dice,
  ): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const end = performance.now() + least + dice.below(most - least);
      const since = Date.now();
      const stream = await open(open === openTcp ? tcp : http);
      this.#streams += 1;
      this.#tallies.push({ host, tally: stream.tally });
      while (performance.now() < end && !this.#stopping.signal.aborted && stream.cutAt === undefined)
        await delay(LOOK_MS);
      await stream.stop();
      if (Date.now() - since < LOOK_MS) await delay(LOOK_MS); // refused: not again at once
    }
  }
}
