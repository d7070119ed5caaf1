/**
 * One HTTP question to a container, through got: no retries, no redirects, no kept connection, and one
 * deadline from the first byte to the last. Never throws; what went wrong is told.
 */
import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
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

/** Loading the client takes longer than most answers: whoever knows that it will ask loads it meanwhile. */
export async function loadHttpClient(): Promise<void> {
  await import('got');
}

/** Passes on 2xx with a body that ends (or exceeds the cap) within the deadline. */
export async function askHttp(question: HttpQuestion, signal: AbortSignal): Promise<Seen> {
  const { default: got } = await import('got');
  if (signal.aborted) return GIVEN_UP;
  const place = authority(question.host, question.port);
  const url = `${question.scheme}://${place}${question.path}`;
  const began = performance.now();
  const answer: Answer = { chunks: [] };
  try {
    const stream = got.stream(url, optionsFor(question));
    stream.once('response', (response: http.IncomingMessage) => {
      answer.status = response.statusCode;
      answer.location = response.headers.location;
    });
    await readCapped(stream, answer.chunks, signal);
  } catch (error) {
    if (signal.aborted) return GIVEN_UP;
    return failed(url, place, answer, question.timeoutMs, error);
  }
  return answered(url, answer, performance.now() - began);
}

interface Answer {
  readonly chunks: Buffer[];
  status?: number | undefined;
  location?: string | undefined;
}

function optionsFor(question: HttpQuestion) {
  return {
    method: question.method,
    // An empty body, said explicitly: without it got waits for one to be written to the stream.
    ...(question.method === 'POST' && { body: '' }),
    headers: { 'user-agent': `gantryd/${VERSION}` },
    retry: { limit: 0 },
    throwHttpErrors: false,
    followRedirect: false,
    decompress: false,
    timeout: { request: question.timeoutMs },
    https: { rejectUnauthorized: question.verify },
    agent: { http: new http.Agent({ keepAlive: false }), https: new https.Agent({ keepAlive: false }) },
  };
}

/**
 * The signal is not given to got, which keeps listening to it after a finished request and then emits an
 * error nobody can catch.
 */
async function readCapped(stream: Readable, chunks: Buffer[], signal: AbortSignal): Promise<void> {
  const onAbort = () => stream.destroy(new Error('given up'));
  signal.addEventListener('abort', onAbort, { once: true });
  stream.on('error', () => undefined); // the loop throws it; one that comes later has nothing left to say
  try {
    let bytes = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= BODY_CAP_BYTES) return;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    stream.destroy();
  }
}

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
