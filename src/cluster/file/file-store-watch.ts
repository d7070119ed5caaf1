/**
 * Looks at the file of a store whenever it may have changed: when the folder says so, when it is poked, and several
 * times a second, since the kernel may have no watch to give, and the end of a process changes no file.
 */
import { type FSWatcher, watch } from 'node:fs';
import { Poke } from '../../poke.ts';
import { FILE } from './file-store-file.ts';

const POLL_MS = 150;

export class FileWatch {
  readonly #folder: string;
  readonly #look: () => Promise<void>;
  readonly #poke = new Poke();
  #stop: AbortController | undefined;
  #run: Promise<void> = Promise.resolve();
  #watcher: FSWatcher | undefined;

  /** `look` must not throw; it is called once at a time. */
  constructor(folder: string, look: () => Promise<void>) {
    this.#folder = folder;
    this.#look = look;
  }

  poke(): void {
    this.#poke.poke();
  }

  /** Looks at once, and from now on. Idempotent. */
  start(): void {
    this.#poke.poke();
    if (this.#stop !== undefined) return;
    const stop = new AbortController();
    this.#stop = stop;
    this.#run = this.#run.then(() => this.#keepLooking(stop.signal));
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#unwatch();
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#watcher ??= this.#watched();
      this.#poke.clear();
      await this.#look();
      await this.#poke.wait(POLL_MS, signal);
    }
  }

  /** undefined: there is no folder yet, or no watch to be had; the looks that come anyway must do. */
  #watched(): FSWatcher | undefined {
    try {
      const watcher = watch(this.#folder, (_event, name) => {
        if (name === null || name === FILE) this.#poke.poke();
      });
      return watcher.on('error', () => this.#unwatch());
    } catch {
      return undefined;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
