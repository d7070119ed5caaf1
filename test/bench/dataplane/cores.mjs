/**
 * Whether the core of the load and that of the proxy share a cache just now: how long a word takes from one to the other
 * and back. The host of a virtual machine moves its cores about, and what one writes and the other reads is then
 * several times as far away.
 */
import { Worker } from 'node:worker_threads';

const SPINNING = 0;
const TURN = 32; // in another line of the cache
const WORDS = 64;
const BATCHES = 200;
const ROUND_TRIPS = 100;
/** Within one cache it is 30 to 100, across two of them some hundreds. */
const NEAR_NS = 150;
const MOST_MS = 50;
const NS_IN_MS = 1e6;

export class Cores {
  #words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  #worker;
  #ready;

  /** This thread is on the one core; `cpu` is the other one. */
  constructor(cpu) {
    const workerData = { words: this.#words, cpu, SPINNING, TURN };
    this.#worker = new Worker(new URL('./cores-thread.mjs', import.meta.url), { workerData });
    this.#ready = new Promise((resolve, reject) => {
      this.#worker.once('message', resolve).once('error', reject);
    });
    this.#ready.catch(() => {}); // told to who asks
  }

  /** The one or the other, as far as one moment tells. */
  async areNear() {
    await this.#ready;
    return this.#roundTripNs() < NEAR_NS;
  }

  async close() {
    await this.#worker.terminate();
  }

  /** The least of many: whoever was interrupted meanwhile has taken longer. */
  #roundTripNs() {
    const words = this.#words;
    Atomics.store(words, SPINNING, 1);
    Atomics.notify(words, SPINNING);
    const end = performance.now() + MOST_MS;
    let least = Number.POSITIVE_INFINITY;
    for (let batch = 0; batch < BATCHES && performance.now() < end; batch++) {
      const began = performance.now();
      for (let i = 0; i < ROUND_TRIPS; i++) {
        Atomics.store(words, TURN, 1);
        for (let tries = 0; Atomics.load(words, TURN) === 1 && tries < 10_000; tries++);
      }
      least = Math.min(least, ((performance.now() - began) * NS_IN_MS) / ROUND_TRIPS);
    }
    Atomics.store(words, SPINNING, 0);
    return least;
  }
}
