/**
 * One HTTP question to a container: no retries, no redirects, no kept connection, and one deadline from the first byte
 * to the last. Never throws; what went wrong is told. Straight on node:http: a host asks this for months, many times a
 * second (docs/decisions/0001, got).
 */
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { VERSION } from '../version.ts';
import { authority, GIVEN_UP, type Seen, trouble, withExcerpt } from './saw.ts';

export interface HttpQuestion {
  readonly method: 'GET' | 'POST';
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Whether the certificate must be valid for the host. */
  readonly verify: boolean;
  readonly timeoutMs: number;
}

/** More of an answer's body is not read: status and beginning are known, the rest proves nothing. */
const BODY_CAP_BYTES = 64 * 1024;

/** Passes on 2xx with a body that ends (or exceeds the cap) within the deadline. */
export function askHttp(question: HttpQuestion, signal: AbortSignal): Promise<Seen> {
  if (signal.aborted) return Promise.resolve(GIVEN_UP);
  return new Promise((resolve) => new Asking(question, signal, resolve).start());
}

interface Answer {
  readonly chunks: Buffer[];
  status?: number | undefined;
  location?: string | undefined;
}

/** One question under way; it ends once, whatever comes first. */
class Asking {
  readonly #question: HttpQuestion;
  readonly #place: string;
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #resolve: (seen: Seen) => void;
  readonly #answer: Answer = { chunks: [] };
  readonly #began = performance.now();
  readonly #onAbort = () => this.#end(GIVEN_UP);
  #request: ClientRequest | undefined;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(question: HttpQuestion, signal: AbortSignal, resolve: (seen: Seen) => void) {
    this.#question = question;
    this.#place = authority(question.host, question.port);
    this.#url = `${question.scheme}://${this.#place}${question.path}`;
    this.#signal = signal;
    this.#resolve = resolve;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#fail(TIMED_OUT), this.#question.timeoutMs);
    this.#signal.addEventListener('abort', this.#onAbort);
    try {
      this.#request = this.#send();
    } catch (error) {
      this.#fail(error); // a path that cannot be said in HTTP
    }
  }

  #send(): ClientRequest {
    const { method, scheme, host, port, verify } = this.#question;
    const { pathname, search } = new URL(this.#url);
    const client = scheme === 'https' ? https : http;
    const headers = { 'user-agent': `gantryd/${VERSION}`, ...(method === 'POST' && { 'content-length': 0 }) };
    const options = { method, host, port, path: `${pathname}${search}`, headers };
    const request = client.request(
      scheme === 'https'
        ? { ...options, agent: TLS_AGENT, rejectUnauthorized: verify }
        : { ...options, agent: AGENT },
    );
    request.on('error', (error) => this.#fail(error));
    request.once('response', (response) => this.#read(response));
    request.once('upgrade', ({ statusCode }) => {
      this.#answer.status = statusCode;
      this.#told();
    });
    request.once('close', () => this.#fail(CLOSED));
    return request.end();
  }

  #read(response: IncomingMessage): void {
    this.#answer.status = response.statusCode;
    this.#answer.location = response.headers.location;
    response.on('error', (error) => this.#fail(error));
    response.on('data', (chunk: Buffer) => this.#take(chunk));
    response.once('end', () => this.#told());
  }

  #take(chunk: Buffer): void {
    this.#answer.chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes >= BODY_CAP_BYTES) this.#told();
  }

  #told(): void {
    this.#end(answered(this.#url, this.#answer, performance.now() - this.#began));
  }

  #fail(error: unknown): void {
    this.#end(failed(this.#url, this.#place, this.#answer, this.#question.timeoutMs, error));
  }

  #end(seen: Seen): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#request?.destroy();
    this.#resolve(seen);
  }
}

/** A check that found a kept connection would not ask what the next client meets. */
const AGENT = new http.Agent({ keepAlive: false });
const TLS_AGENT = new https.Agent({ keepAlive: false, maxCachedSessions: 0 });
const CLOSED = Object.assign(new Error('closed'), { code: 'ECONNRESET' });
const TIMED_OUT = Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' });

function answered(url: string, answer: Answer, tookMs: number): Seen {
  const status = answer.status ?? 0;
  const redirect =
    status >= 300 && status < 400 && answer.location !== undefined
      ? ` (a redirect${withExcerpt(answer.location)}, not followed)`
      : '';
  const body = withExcerpt(Buffer.concat(answer.chunks));
  return {
    ok: status >= 200 && status < 300,
    status,
    saw: `${url} answered ${status} in ${Math.round(tookMs)} ms${redirect}${body}`,
  };
}

function failed(url: string, place: string, answer: Answer, timeoutMs: number, error: unknown): Seen {
  if (answer.status === undefined) return { ok: false, saw: trouble(error, url, place, timeoutMs) };
  const body = withExcerpt(Buffer.concat(answer.chunks));
  return {
    ok: false,
    status: answer.status,
    saw: `${url} answered ${answer.status}, but its body did not end within ${timeoutMs} ms or broke off${body}`,
  };
}
