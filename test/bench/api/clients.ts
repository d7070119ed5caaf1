/**
 * Clients of the API in a process of their own, ordered by ClientsProcess: a steady stream of GET over connections that
 * are kept, and followers of events. Nothing is tried again: what fails is told.
 */
import { once } from 'node:events';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../src/errors.ts';
import type { Answered, FollowOrder, Order, Seen, Steady, SteadyOrder } from './clients-process.ts';
import type { Door } from './stage.ts';

/** At most; one that is free is used again first. */
const SOCKETS = 64;
const ASK_MS = 30_000;

type Actions = { readonly [K in keyof Order]: (order: Order[K]['asks']) => Promise<Order[K]['answers']> };

let followers: readonly Follower[] = [];

const ACTIONS: Actions = {
  steady,
  follow: async (order) => {
    followers = await allFollowing(order);
    return {};
  },
  seen: async ({ ids }) => seenOf(ids),
  leave: async () => {
    for (const follower of followers) follower.leave();
    followers = [];
    return {};
  },
};

process.on('disconnect', () => process.exit());
process.on('message', ({ kind, order }: { kind: keyof Order; order: never }) => {
  ACTIONS[kind](order).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: messageOf(error) }),
  );
});

function answer(answered: Answered): void {
  process.send?.(answered);
}

/** All times are from the instant a request was due, so that one that had to wait for others is not told too short. */
async function steady({ door, paths, perSecond, ms }: SteadyOrder): Promise<Steady> {
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS });
  const sentMs: number[] = [];
  const answeredMs: number[] = [];
  const others: Record<string, number> = {};
  const answers: Promise<void>[] = [];
  const failed = (why: unknown) => {
    const words = messageOf(why);
    others[words] = (others[words] ?? 0) + 1;
  };
  const began = performance.now();
  for (let i = 0; i < (ms * perSecond) / 1_000; i++) {
    const due = began + (i * 1_000) / perSecond;
    for (let left = due - performance.now(); left > 0; left = due - performance.now()) await delay(left);
    sentMs.push(performance.now() - due);
    const answered = () => void answeredMs.push(performance.now() - due);
    answers.push(whole(door, paths[i % paths.length] ?? '/', agent).then(answered, failed));
  }
  await Promise.all(answers);
  agent.destroy();
  return { sentMs, answeredMs, others };
}

/** Resolves when all of an answer of 200 is there. */
async function whole(door: Door, path: string, agent: Agent): Promise<void> {
  const asking = request(optionsOf(door, path, agent));
  asking.setTimeout(ASK_MS, () => asking.destroy(new Error(`no answer in ${ASK_MS} ms`)));
  asking.end();
  const [answered] = (await once(asking, 'response')) as [IncomingMessage];
  answered.resume();
  await once(answered, 'end');
  if (answered.statusCode !== 200) throw new Error(`${answered.statusCode}`);
}

function optionsOf({ place, token }: Door, path: string, agent: Agent | false) {
  return { ...place, path, agent, headers: { authorization: `Bearer ${token}` } };
}

async function allFollowing({ door, path, followers: count }: FollowOrder): Promise<readonly Follower[]> {
  const all = Array.from({ length: count }, () => new Follower(door, path));
  await Promise.all(all.map(({ heard }) => heard));
  return all;
}

/** Of server-sent events: keeps the id of each and when it came. */
class Follower {
  /** Its first bytes are there. */
  readonly heard: Promise<void>;
  readonly came = new Map<string, number>();
  twice = 0;
  isLost = false;
  readonly #asking: ClientRequest;
  #rest = '';

  constructor(door: Door, path: string) {
    this.#asking = request(optionsOf(door, path, false));
    this.heard = this.#listen();
    this.#asking.end();
  }

  leave(): void {
    this.#asking.destroy();
  }

  async #listen(): Promise<void> {
    const signal = AbortSignal.timeout(ASK_MS);
    const [answered] = (await once(this.#asking, 'response', { signal })) as [IncomingMessage];
    if (answered.statusCode !== 200) throw new Error(`a follower was answered ${answered.statusCode}`);
    const lost = () => {
      this.isLost = true;
    };
    this.#asking.on('error', lost);
    answered.on('error', lost).on('close', lost);
    answered.setEncoding('utf8').on('data', (part: string) => this.#take(part));
    await once(answered, 'data', { signal });
  }

  #take(part: string): void {
    const frames = (this.#rest + part).split('\n\n');
    this.#rest = frames.pop() ?? '';
    for (const frame of frames) {
      const id = /^id: (.+)$/m.exec(frame)?.[1];
      if (id === undefined) continue; // a sign of life
      if (this.came.has(id)) this.twice += 1;
      else this.came.set(id, performance.now());
    }
  }
}

function seenOf(ids: readonly string[]): Seen {
  const missing = followers.map(({ came }) => ids.filter((id) => !came.has(id)).length);
  const spreads = ids.map((id) => {
    const times = followers.flatMap(({ came }) => came.get(id) ?? []);
    return Math.max(...times) - Math.min(...times);
  });
  return {
    complete: followers.filter(({ twice }, i) => missing[i] === 0 && twice === 0).length,
    missing: missing.reduce((sum, count) => sum + count, 0),
    twice: followers.reduce((sum, { twice }) => sum + twice, 0),
    lost: followers.filter(({ isLost }) => isLost).length,
    spreadMs: Math.max(0, ...spreads.filter(Number.isFinite)),
  };
}
