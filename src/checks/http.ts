/**
 * One HTTP question to a container: no retries, no redirects, no kept connection, and one deadline from the first byte
 * to the last. Never throws; what went wrong is told. A host asks this for months, many times a second
 * (docs/decisions/0001, got): without TLS by a socket and a parser alone.
 */
import {
  type Answer,
  answered,
  CLOSED,
  failed,
  type Hearer,
  type HttpQuestion,
  TIMED_OUT,
  type Way,
} from './http-answer.ts';
import { askTls } from './http-tls.ts';
import { authority, GIVEN_UP, hostInUrl, type Seen } from './saw.ts';

export type { HttpQuestion } from './http-answer.ts';

/** More of an answer's body is not read: status and beginning are known, the rest proves nothing. */
const BODY_CAP_BYTES = 64 * 1024;
/** More of it than is ever shown is not kept. */
const KEPT_BYTES = 1024;
const DEFAULT_PORTS = { http: 80, https: 443 } as const;
/** What is asked for exactly as it is written. */
const PLAIN_PATH = /^\/(?:[\w~-][\w.~-]*\/)*(?:[\w~-][\w.~-]*)?$/;

let plain: Way | undefined;

/** Passes on 2xx with a body that ends (or exceeds the cap) within the deadline. */
export function askHttp(question: HttpQuestion, signal: AbortSignal): Promise<Seen> {
  if (question.scheme === 'https') return ask(question, askTls, signal);
  return plain === undefined
    ? plainWay().then((way) => ask(question, way, signal))
    : ask(question, plain, signal);
}

/** Whoever asks nobody need not load its parser. */
async function plainWay(): Promise<Way> {
  plain = (await import('./http-plain.ts')).askPlain;
  return plain;
}

function ask(question: HttpQuestion, way: Way, signal: AbortSignal): Promise<Seen> {
  if (signal.aborted) return Promise.resolve(GIVEN_UP);
  return new Promise((resolve) => new Asking(question, signal, resolve).start(way));
}

/** One question under way; it ends once, whatever comes first. */
class Asking implements Hearer {
  readonly #question: HttpQuestion;
  readonly #place: string;
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #resolve: (seen: Seen) => void;
  readonly #answer: Answer = { chunks: [] };
  readonly #began = performance.now();
  readonly #onAbort = () => this.#end(GIVEN_UP);
  #breakOff: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(question: HttpQuestion, signal: AbortSignal, resolve: (seen: Seen) => void) {
    this.#question = question;
    this.#place = authority(question.host, question.port);
    this.#url = `${question.scheme}://${this.#place}${question.path}`;
    this.#signal = signal;
    this.#resolve = resolve;
  }

  start(way: Way): void {
    const { scheme, method, host, port, verify, path } = this.#question;
    this.#timer = setTimeout(() => this.fail(TIMED_OUT), this.#question.timeoutMs);
    this.#signal.addEventListener('abort', this.#onAbort);
    try {
      const hostField = port === DEFAULT_PORTS[scheme] ? hostInUrl(host) : this.#place;
      const said = PLAIN_PATH.test(path) ? path : saidInHttp(this.#url);
      this.#breakOff = way({ method, host, port, verify, path: said, hostField }, this);
    } catch (error) {
      this.fail(error); // a path that cannot be said in HTTP
    }
  }

  head(status: number, location?: string): void {
    this.#answer.status = status;
    this.#answer.location = location;
  }

  body(part: Buffer): void {
    if (this.#bytes < KEPT_BYTES) this.#answer.chunks.push(Buffer.from(part.subarray(0, KEPT_BYTES)));
    this.#bytes += part.length;
    if (this.#bytes >= BODY_CAP_BYTES) this.told();
  }

  told(): void {
    if (this.#timer === undefined) return;
    this.#end(answered(this.#url, this.#answer, performance.now() - this.#began));
  }

  fail(error: unknown = CLOSED): void {
    if (this.#timer === undefined) return;
    this.#end(failed(this.#url, this.#place, this.#answer, this.#question.timeoutMs, error));
  }

  #end(seen: Seen): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#breakOff?.();
    this.#resolve(seen);
  }
}

function saidInHttp(url: string): string {
  const { pathname, search } = new URL(url);
  return `${pathname}${search}`;
}
