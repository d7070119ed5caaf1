/** What a runner that nobody watches tells: JSON lines in a file of bounded size, and the one before it. */
import { appendFileSync, renameSync, statSync } from 'node:fs';
import { messageOf } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';

const MAX_BYTES = 1024 * 1024;

export class RunnerLog {
  readonly #path: string;
  #bytes: number;

  constructor(path: string) {
    this.#path = path;
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  event({ at, component: _, ...event }: AgentEvent): void {
    this.#write({ time: new Date(at).toISOString(), ...event });
  }

  error(error: unknown): void {
    this.#write({ time: new Date().toISOString(), kind: 'error', message: messageOf(error) });
  }

  /** A disk that is full does not end what runs. */
  #write(line: object): void {
    const text = `${JSON.stringify({ pid: process.pid, ...line })}\n`;
    try {
      if (this.#bytes > MAX_BYTES) {
        renameSync(this.#path, `${this.#path}.1`);
        this.#bytes = 0;
      }
      appendFileSync(this.#path, text, { mode: 0o600 });
      this.#bytes += Buffer.byteLength(text);
    } catch {
      // The log is what would tell.
    }
  }
}
