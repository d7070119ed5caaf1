/**
 * A worker's side of its place beside the proxy that serves: takes listening sockets, closes them, and leaves when it
 * is told to. When the proxy dies, a worker goes on accepting, so that nobody is refused, until the next one asks it to
 * follow: that one needs the ports.
 */
import { Server } from 'node:net';
import { setImmediate as acceptsTaken } from 'node:timers/promises';
import type { DataPlane } from '../proxy.ts';
import type { FromProxy, FromWorker } from './crew-words.ts';

/** A worker whose proxy has died waits so long for the next one. */
const ORPHAN_MS = 30_000;

export class Worker {
  readonly #plane: DataPlane;
  /** It accepts nothing any more. */
  readonly #left: () => void;
  #isOrphan = false;
  #patience: NodeJS.Timeout | undefined;
  #retired = false;

  constructor(plane: DataPlane, left: () => void) {
    this.#plane = plane;
    this.#left = left;
    process.on('message', (message, handle) => this.#hear(message as FromProxy, handle));
    process.once('disconnect', () => this.#lost());
    plane.subscribe((_owner, { kind }) => {
      if (kind === 'idle') this.#say({ kind: 'idle' });
    });
  }

  /** It can be asked from now on. */
  ready(): void {
    if (process.connected) this.#say({ kind: 'ready' });
    else this.#lost();
  }

  /** Whoever asks a worker without a proxy is the next one. Resolves when the ports are free. */
  async asked(): Promise<void> {
    if (!this.#isOrphan) return;
    // Whoever has connected already is accepted first: closing would reset them.
    await acceptsTaken();
    this.retire();
  }

  /** Accepts nothing more, and belongs to nobody: another takes its place. Idempotent. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    clearTimeout(this.#patience);
    this.#plane.handOver();
    if (process.connected) process.disconnect();
    this.#left();
  }

  #hear(message: FromProxy, handle: unknown): void {
    if (message.kind === 'door') {
      if (handle instanceof Server) this.#plane.adopt(message, handle);
    } else if (message.kind === 'withdraw') void this.#withdraw(message);
    else if (message.kind === 'share') this.#plane.divide(message.share);
    else this.retire();
  }

  async #withdraw({ id, places }: Extract<FromProxy, { kind: 'withdraw' }>): Promise<void> {
    await this.#plane.withdraw(places);
    this.#say({ kind: 'withdrawn', id });
  }

  #lost(): void {
    if (this.#retired || this.#isOrphan) return;
    this.#isOrphan = true;
    this.#patience = setTimeout(() => this.retire(), ORPHAN_MS);
  }

  #say(message: FromWorker): void {
    // Who is gone cannot be told; `disconnect` tells us.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  }
}
