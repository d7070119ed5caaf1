/**
 * The API of the agent that executes a run, as a command asks it. Every failure is output-gone: retryable when the agent
 * does not answer, or answers another token than the one its key in etcd had, for it may be starting.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { codeOf, GantryError, isGantryError, messageOf } from '../../errors.ts';
import type { ReadEntry } from '../../jobs/disk/run-log.ts';
import { VERSION } from '../../version.ts';
import { errorIn, HEARTBEAT_MS, type LogQuery, logLineOf, MAX_LINE_BYTES, runPath } from '../wire.ts';

const ANSWER_TIMEOUT_MS = 10_000;
/** A follower's connection on which nothing came for so long is dead. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** Node says that it was aborted, that a socket hung up, or ECONNRESET. */
const CUT = 'the connection was cut';
const MAX_ERROR_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** What the key of a host that runs jobs says of its API. */
export interface Peer {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly token: string;
  /** What is asked for there, for messages. Absent: the log and output of a run. */
  readonly has?: string;
}

/** The entries of a run's log as they come; ends when the log has. */
export async function* readLog(
  peer: Peer,
  run: string,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  for await (const text of readLines(peer, runPath(run, 'log', query), signal)) {
    const line = logLineOf(text);
    if (line === undefined) throw new GantryError('output-gone', `${peer.host} sent what is no log`);
    if ('end' in line) return;
    yield line;
  }
}

/** Lines as the API streams them, without heartbeats, to the one that says that it is the last. */
export async function* readLines(
  peer: Peer,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const answer = await got(peer, call(peer, 'GET', path, signal), SILENCE_MS);
  try {
    for await (const text of linesOf(peer, answer)) if (text !== '') yield text;
  } catch (error) {
    throw isGantryError(error) ? error : away(peer, error);
  } finally {
    answer.destroy();
  }
  throw away(peer, new Error(CUT));
}

/** The bytes of a run's output. `size`: how many there are; the stream fails when fewer come. */
export async function readOutput(
  peer: Peer,
  run: string,
  signal: AbortSignal,
): Promise<{ readonly bytes: Readable; readonly size: number }> {
  const answer = await got(peer, call(peer, 'GET', runPath(run, 'output'), signal), SILENCE_MS);
  return { bytes: answer, size: Number(answer.headers['content-length'] ?? 0) };
}

/** Gives a run what its first step reads. Rejects with what the stream failed with, too. */
export async function sendInput(
  peer: Peer,
  run: string,
  bytes: Readable,
  signal: AbortSignal,
): Promise<void> {
  const sending = call(peer, 'PUT', runPath(run, 'input'), signal);
  // As long as bytes move; the answer comes when all are on disk there.
  const answered = got(peer, sending, SILENCE_MS).catch((error: unknown) => ({ error }));
  const sent = pipeline(told(bytes), sending).catch((error: unknown) => ({ error }));
  const answer = await answered;
  if ('error' in answer) bytes.destroy();
  else answer.resume();
  const failed = await sent;
  if (failed !== undefined && isGantryError(failed.error)) throw failed.error;
  if ('error' in answer) throw answer.error;
  if (failed !== undefined) throw away(peer, failed.error);
}

/** What the source itself fails with is not the peer's fault. */
async function* told(bytes: Readable): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* bytes;
  } catch (cause) {
    throw new GantryError('usage', `the input cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function call(peer: Peer, method: string, path: string, signal: AbortSignal): ClientRequest {
  const { address: host, port, token } = peer;
  const made = request({
    ...{ host, port, method, path, signal, agent: false },
    headers: { authorization: `Bearer ${token}` },
  });
  if (method === 'GET') made.end();
  return made;
}

/** The answer, when it is a success. From then on the connection ends when nothing moves for `silenceMs`. */
function got(peer: Peer, made: ClientRequest, silenceMs: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(isGantryError(error) ? error : away(peer, error));
    made.setTimeout(Math.max(ANSWER_TIMEOUT_MS, silenceMs), () =>
      made.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)),
    );
    made.once('error', fail);
    made.once('response', (answer) => {
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) resolve(answer);
      else refusal(peer, answer).then(reject, fail);
    });
  });
}

export async function refusal(peer: Peer, answer: IncomingMessage): Promise<GantryError> {
  let text = '';
  for await (const part of answer.setEncoding('utf8') as AsyncIterable<string>) {
    text += part;
    if (text.length > MAX_ERROR_BYTES) break;
  }
  const told = errorIn(text);
  if (told?.code === 'no-token') return startedAnew(told);
  const isUnknown = told?.code === 'not-found' || told?.code === 'method-unknown';
  // A route that speaks another protocol than was offered says which.
  if (isUnknown || answer.headers.upgrade !== undefined) return otherVersion(peer);
  if (told !== undefined) return told;
  return new GantryError(
    'output-gone',
    `${peer.host} (${peer.address}:${peer.port}) answers ${answer.statusCode}, as no agent does`,
    { hint: 'Something else listens at the address that the host told: see its --api-address.' },
  );
}

function otherVersion(peer: Peer): GantryError {
  return new GantryError(
    'output-gone',
    `${peer.host}, which has ${hasOf(peer)}, has a gantryd of another version than this one (${VERSION}): it does not know what is asked`,
    {
      hint: 'There, `gantryd --version` tells which. Upgrade the older of the two, then start its agent again; `gantryd install` does both.',
    },
  );
}

function hasOf({ has = "the run's log and output" }: Peer): string {
  return has;
}

/** Or starting: its key in etcd has another token by then. */
function startedAnew({ message, hint = '' }: GantryError): GantryError {
  return new GantryError('output-gone', message, { hint, retryable: true });
}

/** Without their ends. What follows the last end is no line. */
async function* linesOf(peer: Peer, answer: IncomingMessage): AsyncGenerator<string, void, undefined> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...parts, chunk.subarray(start, end)]).toString('utf8');
      parts = [];
      held = 0;
      start = end + 1;
    }
    parts.push(chunk.subarray(start));
    held += chunk.length - start;
    if (held > MAX_LINE_BYTES)
      throw new GantryError('output-gone', `${peer.host} sent a line of more than ${MAX_LINE_BYTES} bytes`);
  }
}

export function away(peer: Peer, cause: unknown): GantryError {
  const why = codeOf(cause) === 'ECONNRESET' ? CUT : messageOf(cause);
  return new GantryError(
    'output-gone',
    `${peer.host}, which has ${hasOf(peer)}, does not answer at ${peer.address}:${peer.port}: ${why}`,
    {
      hint: 'Its agent must run, and its API be reachable from here: see --api-address and --api-port of gantryd run.',
      retryable: true,
      cause,
    },
  );
}
