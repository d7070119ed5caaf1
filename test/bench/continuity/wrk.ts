/** wrk without an end of its own, in slices, and what it counted: answers, and all that was none. */
import type { Cleanup } from '../../ground/harness.ts';
import { start } from '../../ground/processes.ts';
import type { Place } from '../../ground/requests.ts';

const SLICE_S = 15;
/** An answer that takes longer counts as failed. */
const TIMEOUT_S = 30;
const UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

export interface WrkSlice {
  readonly requests: number;
  /** Connects, reads, writes and timeouts that failed. */
  readonly socketErrors: number;
  readonly notOk: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Keep-alive connections that ask as fast as they are answered, from now until `stop`. */
export class WrkLoad {
  readonly slices: WrkSlice[] = [];
  readonly #going: Promise<void>;
  #stopping = false;
  #interrupt: () => void = () => undefined;

  constructor(t: Cleanup, { host, port }: Place, connections: number) {
    this.#going = this.#run(t, `http://${host}:${port}/version`, connections);
    this.#going.catch(() => undefined); // thrown by `stop`
  }

  /** Of the slices that are over. */
  get requests(): number {
    return this.slices.reduce((sum, { requests }) => sum + requests, 0);
  }

  /** Requests under way are given up and not counted. Throws when wrk itself failed. */
  async stop(): Promise<readonly WrkSlice[]> {
    this.#stopping = true;
    this.#interrupt();
    await this.#going;
    return this.slices;
  }

  async #run(t: Cleanup, url: string, connections: number): Promise<void> {
    const args = ['-t1', `-c${connections}`, `-d${SLICE_S}s`, '--timeout', `${TIMEOUT_S}s`, '--latency', url];
    while (!this.#stopping) {
      const running = start(t, 'wrk', args);
      this.#interrupt = () => running.signal('SIGINT');
      const { code, stdout, stderr } = await running.ended;
      if (code !== 0) throw new Error(`wrk ended with ${code} on ${url}:\n${stdout}${stderr}`);
      this.slices.push(sliceOf(stdout));
    }
  }
}

/** A line about errors is only there when there were some. */
function sliceOf(text: string): WrkSlice {
  const numbers = (pattern: RegExp) => (pattern.exec(text) ?? []).slice(1).map(Number);
  const [requests] = numbers(/(\d+) requests in /);
  if (requests === undefined) throw new Error(`wrk said nothing of requests:\n${text}`);
  const errors = numbers(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/);
  const [notOk = 0] = numbers(/Non-2xx or 3xx responses: (\d+)/);
  return {
    ...{ requests, notOk, socketErrors: errors.reduce((sum, count) => sum + count, 0) },
    p50Ms: timeIn(text, /^\s*50%\s+(\S+)/m),
    p99Ms: timeIn(text, /^\s*99%\s+(\S+)/m),
    maxMs: timeIn(text, /^\s*Latency\s+\S+\s+\S+\s+(\S+)/m),
  };
}

function timeIn(text: string, pattern: RegExp): number {
  const [, value, unit = ''] = /^([\d.]+)(us|ms|s|m)$/.exec(pattern.exec(text)?.[1] ?? '') ?? [];
  return value === undefined ? Number.NaN : Number(value) * (UNITS_MS[unit] ?? Number.NaN);
}
