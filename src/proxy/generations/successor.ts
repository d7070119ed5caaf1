/**
 * The new proxy's side of a handover: takes tables and listening sockets from the one that serves. When that one dies
 * in the middle, this one binds what it was not given.
 */
import { Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataPlane } from '../proxy.ts';
import type { FromElder, FromSuccessor } from './succession.ts';

/** How long the elder may take to stop accepting once this one serves. */
const RETIRE_MS = 2_000;

export class Succession {
  readonly #plane: DataPlane;
  readonly #heard = new Map<FromElder['kind'], () => void>();
  readonly #tables = this.#when('tables');
  readonly #doors = this.#when('all-doors');
  readonly #retired = this.#when('retired');
  #gone = false;

  constructor(plane: DataPlane) {
    this.#plane = plane;
    process.on('message', (message, handle) => this.#hear(message as FromElder, handle));
    process.once('disconnect', () => this.#lost());
  }

  /** Throws when the elder went away before it gave its tables: then there is nothing to succeed to. */
  async tables(): Promise<void> {
    await this.#tables;
    if (this.#gone) throw new Error('the proxy that started this one ended before it gave its tables');
  }

  /** Resolves when it has given all its doors, or will give no more. */
  async doors(): Promise<void> {
    this.#say({ kind: 'prepared' });
    await this.#doors;
  }

  /** Resolves when it accepts nothing any more. */
  async retired(): Promise<void> {
    this.#say({ kind: 'serving' });
    await Promise.race([this.#retired, sleep(RETIRE_MS, undefined, { ref: false })]);
  }

  /** It ended in the middle: its workers may listen where this one has to. */
  get isGone(): boolean {
    return this.#gone;
  }

  #hear(message: FromElder, handle: unknown): void {
    if (message.kind === 'tables') this.#plane.takeOver(message);
    else if (message.kind === 'door' && handle instanceof Server) this.#plane.adopt(message, handle);
    this.#heard.get(message.kind)?.();
  }

  #lost(): void {
    this.#gone = true;
    for (const resolve of this.#heard.values()) resolve();
  }

  #say(message: FromSuccessor): void {
    // Who is gone cannot be told; `disconnect` tells us.
    process.send?.(message, undefined, undefined, () => {});
  }

  #when(kind: FromElder['kind']): Promise<void> {
    return new Promise((resolve) => this.#heard.set(kind, resolve));
  }
}
