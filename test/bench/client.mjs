/**
 * Asks a port of the stage over new connections, one after the other with next to no pause, and notes when a
 * version answers for the first time.
 */
import { request } from 'node:http';
import { ADDRESS, PORT } from './stage.mjs';

const ASK_TIMEOUT_MS = 5_000;
const FIRST_ANSWER_MS = 20_000;
/** Between two questions, so that the client does not keep a core from what is measured. */
const PAUSE_MS = 1;

export class Client {
  asked = 0;
  failed = 0;
  #awaited = new Map();
  #open = true;
  #loop = this.#run();

  /** When the first answer of this version arrives. */
  firstOf(version) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${version} never answered`)), FIRST_ANSWER_MS);
      this.#awaited.set(version, (at) => {
        clearTimeout(late);
        resolve(at);
      });
    });
  }

  async close() {
    this.#open = false;
    await this.#loop;
  }

  async #run() {
    while (this.#open) {
      const version = await ask().catch(() => undefined);
      this.asked += 1;
      if (version === undefined) this.failed += 1;
      this.#awaited.get(version)?.(now());
      this.#awaited.delete(version);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** Resolves, when the whole answer is there, with the version it came from. */
function ask() {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: ADDRESS,
      port: PORT,
      path: '/version',
      agent: false,
      timeout: ASK_TIMEOUT_MS,
    });
    asked.once('response', (answer) => {
      answer.once('error', reject).once('end', () => resolve(answer.headers['x-version']));
      answer.resume();
    });
    asked.once('timeout', () => asked.destroy(new Error('no answer'))).once('error', reject);
    asked.end();
  });
}

/** Epoch milliseconds, finer than Date.now(). */
export function now() {
  return performance.timeOrigin + performance.now();
}
