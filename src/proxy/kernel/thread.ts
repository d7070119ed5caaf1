/**
 * The kernel plane in a thread of its own: a container that has died leaves the map in time also while the proxy is busy
 * with bytes, tables or counting. Reading and ending connections stays in the calling thread, since it can take long.
 * The thread has the usual priority: at a real-time one the garbage collector waits for helper threads that do not get
 * a core, and turns around itself meanwhile.
 */
import { Worker } from 'node:worker_threads';
import { GantryError, messageOf } from '../../errors.ts';
import { readFlows } from './conntrack.ts';
import { endFlows } from './ending.ts';
import type { KernelOptions } from './open.ts';
import type { Ability, KernelEntry, KernelFlow, KernelPlane, KernelProtocol } from './plane.ts';
import {
  type CallAnswer,
  type CallName,
  type Calls,
  errorOf,
  type FromThread,
  type ToThread,
} from './thread-words.ts';

const MAIN = new URL('./thread-main.js', import.meta.url);
/** It makes little that lives, and nothing large but the first table. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256 };
/** Between the end of a thread that nobody ended and the next. */
const RESTART_MS = 1_000;

/** As openKernelPlane. `main`: what the thread runs. */
export function openKernelThread(options: KernelOptions, main = MAIN): KernelPlane {
  return new KernelThread(options, main);
}

interface Waiting {
  readonly done: (answer: never) => void;
  readonly failed: (error: GantryError) => void;
}

class KernelThread implements KernelPlane {
  readonly #options: KernelOptions;
  readonly #main: URL;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #asked = 0;
  /** What another thread is told when this one has ended by a defect; undefined: nothing. */
  #applied: readonly KernelEntry[] | undefined;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: KernelOptions, main: URL) {
    this.#options = options;
    this.#main = main;
  }

  ability(protocol: KernelProtocol): Promise<Ability> {
    return this.#ask('ability', protocol);
  }

  async apply(entries: readonly KernelEntry[]): Promise<void> {
    await this.#ask('apply', entries);
    this.#applied = entries;
  }

  async flows(): Promise<readonly KernelFlow[]> {
    return readFlows();
  }

  end(flows: readonly KernelFlow[], pid: number | undefined): Promise<number> {
    return endFlows(flows, pid);
  }

  async purge(): Promise<void> {
    this.#applied = undefined;
    await this.#ask('purge');
  }

  async close(): Promise<void> {
    this.#applied = undefined;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === undefined) return;
    await this.#ask('close').catch((error) =>
      this.#options.log.warn('the kernel plane did not close well', { why: messageOf(error) }),
    );
    this.#worker = undefined;
    await worker.terminate();
  }

  #ask<N extends CallName>(name: N, ...args: Calls[N]): Promise<CallAnswer<N>> {
    this.#worker ??= this.#start();
    const id = ++this.#asked;
    const asked = { id, name, args } as ToThread;
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      this.#worker?.postMessage(asked);
    });
  }

  #start(): Worker {
    const { stateDir } = this.#options;
    const worker = new Worker(this.#main, { workerData: { stateDir }, resourceLimits: LIMITS });
    worker
      .on('message', (words: FromThread) => this.#hear(words))
      .on('error', (error) => this.#lost(worker, messageOf(error)))
      .once('exit', (code) => this.#lost(worker, `it ended with ${code}`));
    return worker;
  }

  #hear(words: FromThread): void {
    const { events, log } = this.#options;
    switch (words.kind) {
      case 'log':
        log[words.level](words.message, words.fields);
        break;
      case 'dead':
        events.targetDead(words.target);
        break;
      case 'gone':
        events.targetGone(words.target);
        break;
      case 'restored':
        events.restored(words.missing, words.why === undefined ? undefined : new Error(words.why));
        break;
      default:
        this.#answered(words);
    }
  }

  #answered(words: Extract<FromThread, { id: number }>): void {
    const waiting = this.#waiting.get(words.id);
    this.#waiting.delete(words.id);
    if (words.kind === 'failure') waiting?.failed(errorOf(words.failure));
    else waiting?.done(words.answer as never);
  }

  /** By a defect. The rules lead on; another thread is to watch over them. */
  #lost(worker: Worker, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    this.#options.log.error('the thread of the kernel plane is gone, and is replaced', { why });
    const message = `the thread of the kernel plane has ended: ${why}`;
    for (const { failed } of this.#waiting.values())
      failed(new GantryError('proxy-failed', message, { retryable: true }));
    this.#waiting.clear();
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => void this.#again(), RESTART_MS);
  }

  async #again(): Promise<void> {
    if (this.#applied === undefined) return;
    await this.apply(this.#applied).catch((error) =>
      this.#options.log.error('the kernel rules are not looked after', { why: messageOf(error) }),
    );
  }
}
