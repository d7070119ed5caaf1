/** A process with clients of the API in it (clients.ts) as its parent sees it: one order, then its answer. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../../ground/harness.ts';
import type { Door } from './stage.ts';

const SCRIPT = fileURLToPath(new URL('./clients.js', import.meta.url));

/** One GET after the other of these paths, so many in a second, whether or not they are answered. */
export interface SteadyOrder {
  readonly door: Door;
  readonly paths: readonly string[];
  readonly perSecond: number;
  readonly ms: number;
}

/** Milliseconds after the instant each was due: when it was sent, and when its whole answer was there. */
export interface Steady {
  readonly sentMs: readonly number[];
  readonly answeredMs: readonly number[];
  /** What there was instead of 200, and how often. */
  readonly others: Readonly<Record<string, number>>;
}

export interface FollowOrder {
  readonly door: Door;
  readonly path: string;
  readonly followers: number;
}

/** What followers have of these events. */
export interface Seen {
  /** Followers that have all of them, each once. */
  readonly complete: number;
  readonly missing: number;
  readonly twice: number;
  /** Connections that ended. */
  readonly lost: number;
  /** The longest from the first follower that had an event to the last one. */
  readonly spreadMs: number;
}

export interface Order {
  steady: { asks: SteadyOrder; answers: Steady };
  /** Answered when all are heard. */
  follow: { asks: FollowOrder; answers: Record<string, never> };
  seen: { asks: { readonly ids: readonly string[] }; answers: Seen };
  leave: { asks: Record<string, never>; answers: Record<string, never> };
}

export interface Answered {
  readonly value?: unknown;
  readonly error?: string;
}

export class ClientsProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(t: Cleanup) {
    this.#child = fork(SCRIPT, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#ended = once(this.#child, 'exit');
    t.after(async () => {
      this.#child.kill('SIGKILL');
      await this.#ended;
    });
  }

  /** One at a time. */
  async order<K extends keyof Order>(kind: K, order: Order[K]['asks']): Promise<Order[K]['answers']> {
    const answered = once(this.#child, 'message') as Promise<[Answered]>;
    this.#child.send({ kind, order });
    const gone = this.#ended.then((): [Answered] => [{ error: 'the process with clients has ended' }]);
    const [{ value, error }] = await Promise.race([answered, gone]);
    if (error !== undefined) throw new Error(error);
    return value as Order[K]['answers'];
  }
}
