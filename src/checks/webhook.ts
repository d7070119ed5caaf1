/**
 * One POST of JSON to an address that an operator chose, through got: no redirects, no kept connection, one deadline,
 * and little of the answer is read. Never throws; what went wrong is told, without what the address may keep secret.
 */
import { createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Request } from 'got';
import { codeOf } from '../errors.ts';
import { VERSION } from '../version.ts';

export interface Post {
  readonly url: string;
  readonly body: string;
  /** As `failed-deploy`. */
  readonly event: string;
  /** The same for each try: whoever is told can tell that he has been. */
  readonly delivery: string;
  /** undefined: not signed. */
  readonly secret: Buffer | undefined;
}

export type Posted =
  | { readonly ok: true }
  /** `again`: another try may do better. `why`: a fragment for people. */
  | { readonly ok: false; readonly again: boolean; readonly why: string };

export const POST_TIMEOUT_MS = 10_000;
const GIVEN_UP: Posted = { ok: false, again: true, why: 'it was given up' };
const AGAIN_STATUS = new Set([408, 425, 429]);

export async function post(given: Post, signal: AbortSignal): Promise<Posted> {
  const { default: got } = await import('got');
  if (signal.aborted) return GIVEN_UP;
  // As a stream: else it would wait for the end of the answer's body.
  const request = got.stream.post(given.url, optionsFor(given));
  const onAbort = () => request.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return judged(await statusOf(request));
  } catch (error) {
    return signal.aborted ? GIVEN_UP : trouble(error);
  } finally {
    signal.removeEventListener('abort', onAbort);
    request.destroy();
  }
}

/** It says all: a body that is long, or does not end, changes nothing. What goes wrong later is nobody's any more. */
function statusOf(request: Request): Promise<number> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.once('response', ({ statusCode }: { readonly statusCode: number }) => resolve(statusCode));
    request.once('close', () => reject(new Error('the connection was closed')));
  });
}

/** Of a body: what a receiver compares `X-Gantryd-Signature` with, in constant time. */
export function signatureOf(body: string, secret: Buffer): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}

function optionsFor({ body, event, delivery, secret }: Post) {
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'user-agent': `gantryd/${VERSION}`,
      'x-gantryd-event': event,
      'x-gantryd-delivery': delivery,
      ...(secret === undefined ? {} : { 'x-gantryd-signature': signatureOf(body, secret) }),
    },
    retry: { limit: 0 },
    throwHttpErrors: false,
    followRedirect: false,
    decompress: false,
    timeout: { request: POST_TIMEOUT_MS },
    agent: { http: new http.Agent({ keepAlive: false }), https: new https.Agent({ keepAlive: false }) },
  };
}

function judged(status: number): Posted {
  if (status >= 200 && status < 300) return { ok: true };
  if (status >= 300 && status < 400)
    return { ok: false, again: false, why: `it answered ${status}, and redirects are not followed` };
  return { ok: false, again: status >= 500 || AGAIN_STATUS.has(status), why: `it answered ${status}` };
}

/** Codes alone: what messages say may hold the whole address. */
function trouble(error: unknown): Posted {
  const code = codeOf(error);
  const why =
    code === 'ETIMEDOUT'
      ? `it did not answer within ${POST_TIMEOUT_MS} ms`
      : `it could not be reached${code === '' ? '' : ` (${code})`}`;
  return { ok: false, again: true, why };
}
