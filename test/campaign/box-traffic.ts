/**
 * The traffic of a campaign: the constant load, and long connections that come and go so that drains end. Failures
 * count unless they fall into the window of a fault that explains them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Cleanup } from '../ground/harness.ts';
import { type Load, startLoad } from '../ground/load.ts';
import type { Place } from '../ground/requests.ts';
import { openEvents, openTcp, openWebSocket, type Stream } from '../ground/streams.ts';
import type { Dice } from './dice.ts';

const LOOK_MS = 200;

export interface Traffic {
  excuse(ms: number): void;
  /** Ends all in an orderly way; answers how much there was. */
  stop(): Promise<{ readonly sent: number; readonly excused: number; readonly streams: number }>;
}

export async function startTraffic(
  t: Cleanup,
  places: { readonly http: Place; readonly tcp: Place },
  dice: Dice,
  tell: { say(text: string): void; problem(text: string): void },
): Promise<Traffic> {
  const load = await startLoad(t, { ...places, slowMs: 1_500 });
  await load.closeStreams();
  const stopping = new AbortController();
  let excusedUntil = 0;
  let excused = 0;
  let streams = 0;
  const failed = (text: string) => {
    if (Date.now() > excusedUntil) return tell.problem(text);
    excused += 1;
    tell.say(`excused: ${text}`);
  };
  const openers = [openEvents, openWebSocket, openTcp];
  const going = [...openers, ...openers].map(async (open) => {
    while (!stopping.signal.aborted) {
      streams += 1;
      const place = open === openTcp ? places.tcp : places.http;
      await held(open(place), 500 + dice.below(6_000), stopping.signal).catch((error) =>
        failed(String(error)),
      );
    }
  });
  const watching = watch(load, failed, stopping.signal);
  return {
    excuse(ms) {
      excusedUntil = Math.max(excusedUntil, Date.now() + ms);
    },
    async stop() {
      stopping.abort();
      await Promise.all(going);
      const { sent } = await load.stop();
      await watching;
      return { sent, excused, streams };
    },
  };
}

async function held(opening: Promise<Stream>, ms: number, signal: AbortSignal): Promise<void> {
  const stream = await opening;
  const { tally } = stream;
  const until = performance.now() + ms;
  while (performance.now() < until && !signal.aborted && stream.cutAt === undefined) await delay(LOOK_MS);
  await stream.stop();
  wrongVersions([...tally.versions.keys()], tally.name);
  if (tally.failed > 0) throw new Error(`${tally.name} held ${ms} ms: ${tally.errors.join('; ')}`);
}

/** Tells of every failure of the load, soon after it came. */
async function watch(load: Load, failed: (text: string) => void, signal: AbortSignal): Promise<void> {
  const told = new Map<number, number>();
  const strange = new Set<string>();
  for (let last = false; !last; ) {
    last = signal.aborted;
    for (const [n, { name, failed: count, errors, versions }] of load.report().tallies.entries()) {
      const before = told.get(n) ?? 0;
      if (count > before) failed(`${name}: ${count - before} failed, ${errors.at(-1)}`);
      told.set(n, count);
      for (const version of [...versions.keys()].filter((v) => !isOwn(v) && !strange.has(`${n} ${v}`))) {
        strange.add(`${n} ${version}`);
        failed(`${name} was answered by ${version}`);
      }
    }
    await delay(LOOK_MS);
  }
}

/** Anything else than `web` answered somebody who asked `web`. */
function wrongVersions(versions: readonly string[], name: string): void {
  const wrong = versions.filter((version) => !isOwn(version));
  if (wrong.length > 0) throw new Error(`${name} was answered by ${wrong.join(', ')}`);
}

function isOwn(version: string): boolean {
  return version.startsWith('web');
}
