/** A process with hosts in it (agents.ts) as its parent sees it: orders and answers over Node's own channel. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ContainerSpec } from '../../../src/docker/spec.ts';
import type { RouteTable } from '../../../src/proxy/tables/routes.ts';
import type { Cleanup } from '../../ground/harness.ts';
import type { SelfTimes } from '../self-times.ts';

const SCRIPT = fileURLToPath(new URL('./agents.js', import.meta.url));

/** Host, component, what happened (a step's kind or an event's), and when by the machine's monotonic clock. */
export type Moment = readonly [host: string, component: string, what: string, atMs: number];

/** A host that runs all components, to begin others from. */
export interface Template {
  readonly records: readonly (readonly [component: string, text: string])[];
  readonly specs: readonly ContainerSpec[];
  readonly table: RouteTable;
}

export interface HostsOrder {
  readonly endpoints: readonly string[];
  readonly names: readonly string[];
  /** For their state directories. */
  readonly folder: string;
  readonly template?: Template;
  /** Every event is a moment; else only steps of the fleet, containers and switches, and trouble. */
  readonly fullMoments?: boolean;
}

/** After a collection of garbage. Times are totals. */
export interface Usage {
  readonly rss: number;
  readonly heapUsed: number;
  readonly cpuMs: number;
  /** Of the processes it has started and waited for: flock(1). */
  readonly childrenMs: number;
  readonly at: number;
}

export interface Order {
  run: { asks: HostsOrder; answers: Record<string, never> };
  template: { asks: { readonly components: readonly string[] }; answers: Template };
  /** Since the last time. */
  moments: { asks: Record<string, never>; answers: readonly Moment[] };
  usage: { asks: Record<string, never>; answers: Usage };
  profile: { asks: { readonly on: boolean }; answers: SelfTimes | undefined };
}

export interface Answered {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

export class AgentsProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answered: Omit<Answered, 'id'>) => void>();
  #asked = 0;

  constructor(t: Cleanup) {
    this.#child = fork(SCRIPT, { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.on('message', ({ id, ...answered }: Answered) => this.#answer(id, answered));
    void ended.then(() => {
      for (const id of this.#waiting.keys()) this.#answer(id, { error: 'a process with agents has ended' });
    });
    t.after(async () => {
      this.#child.kill('SIGKILL'); // agents may end at any instant
      await ended;
    });
  }

  async order<K extends keyof Order>(kind: K, order: Order[K]['asks']): Promise<Order[K]['answers']> {
    const id = ++this.#asked;
    const answered = new Promise<Omit<Answered, 'id'>>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ id, kind, order });
    const { value, error } = await answered;
    if (error !== undefined) throw new Error(error);
    return value as Order[K]['answers'];
  }

  #answer(id: number, answered: Omit<Answered, 'id'>): void {
    this.#waiting.get(id)?.(answered);
    this.#waiting.delete(id);
  }
}
