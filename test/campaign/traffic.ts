/**
 * The traffic of a campaign: on every host every kind of client at a pace that leaves the machine something for the
 * faults, and connections that stay for a while, so that drains have something to wait for and come to an end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LedPlaces } from '../ground/load.ts';
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
  /** Absent: no raw TCP by way of the proxy. */
  readonly tcp?: Place;
  /** Ports that the kernel leads, of HTTP and of raw TCP. */
  readonly led?: LedPlaces | undefined;
}

export interface Report {
  readonly sent: number;
  readonly answered: number;
  readonly streams: number;
  readonly losses: readonly Loss[];
  /** Everything that answered as a version, and how often. */
  readonly versions: ReadonlyMap<string, number>;
}

interface Told {
  readonly host: string;
  readonly tally: Tally;
  readonly led: boolean;
}

type Opening = readonly [place: Place, open: (place: Place) => Promise<Stream>, led: boolean];

export class Traffic {
  readonly #sources: Source[] = [];
  readonly #stopping = new AbortController();
  readonly #streaming: Promise<void>[] = [];
  readonly #tallies: Told[] = [];
  #streams = 0;

  /** Begins at once. No connection stays longer than `longestStayMs`. */
  constructor(hosts: readonly HostTraffic[], dice: Dice, longestStayMs: number) {
    const [short, long] = [PARTS.short * longestStayMs, PARTS.long * longestStayMs];
    const stays = [
      [SHORT_STAY_MS, short],
      [long, longestStayMs],
    ] as const;
    for (const on of hosts) {
      const { host, http, led } = on;
      const clients = [
        ...[keepAliveClient(http, 60), keepAliveClient(http, 60), newConnectionClient(http, 80)],
        ...[postClient(http, 120), uploadClient(http, 120), slowClient(http, 10, SLOW_MS)],
      ];
      for (const client of clients) this.#add(host, client, false);
      if (led !== undefined) this.#add(host, newConnectionClient(led.http, 40), true);
      for (const opening of openingsOf(on))
        for (const stay of stays) this.#streaming.push(this.#keep(host, opening, stay, dice));
    }
  }

  #add(host: string, source: Source, led: boolean): void {
    this.#sources.push(source);
    this.#tallies.push({ host, tally: source.tally, led });
  }

  report(): Report {
    const versions = new Map<string, number>();
    let [sent, answered] = [0, 0];
    const losses: Loss[] = [];
    for (const { host, tally, led } of this.#tallies) {
      sent += tally.sent;
      answered += tally.ok;
      const client = led ? `${tally.name} (led by the kernel)` : tally.name;
      losses.push(...tally.failures.map((failure) => ({ host, client, led, ...failure })));
      for (const [version, { count }] of tally.versions)
        versions.set(version, (versions.get(version) ?? 0) + count);
    }
    return { sent, answered, streams: this.#streams, losses, versions };
  }

  /** Ends all in an orderly way. Idempotent. */
  async stop(): Promise<Report> {
    this.#stopping.abort();
    await Promise.all([...this.#streaming, ...this.#sources.map((source) => source.stop())]);
    return this.report();
  }

  async #keep(
    host: string,
    [place, open, led]: Opening,
    [least, most]: readonly [number, number],
    dice: Dice,
  ): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const end = performance.now() + least + dice.below(most - least);
      const since = Date.now();
      const stream = await open(place);
      this.#streams += 1;
      this.#tallies.push({ host, tally: stream.tally, led });
      while (performance.now() < end && !this.#stopping.signal.aborted && stream.cutAt === undefined)
        await delay(LOOK_MS);
      await stream.stop();
      if (Date.now() - since < LOOK_MS) await delay(LOOK_MS); // refused: not again at once
    }
  }
}

function openingsOf({ http, tcp, led }: HostTraffic): readonly Opening[] {
  return [
    [http, openEvents, false],
    [http, openWebSocket, false],
    ...(tcp === undefined ? [] : [[tcp, openTcp, false] as const]),
    ...(led === undefined ? [] : [[led.tcp, openTcp, true] as const]),
  ];
}
