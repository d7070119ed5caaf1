/**
 * Asks a running proxy over its control socket. Every call has a deadline, and whatever goes
 * wrong is a GantryError: proxy-unreachable when nothing answers, else what the proxy said.
 */
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { ERROR_CODES, GantryError, isGantryError, messageOf } from '../../errors.ts';
import { LastRead } from '../../last-read.ts';
import {
  type Change,
  type CutAnswer,
  type CutRequest,
  type FollowRequest,
  type GenerationReport,
  type HoldReport,
  type OwnedTable,
  PROXY_SOCKET,
  type ProxyMetrics,
  type ProxyProblem,
  type ProxyStatus,
  type PutTable,
  type StopRequest,
  type UpgradeAnswer,
  type UpgradeRequest,
} from './protocol.ts';

/** Generous: the proxy answers at once but for binding sockets and flushing the tables to disk. */
const CALL_DEADLINE_MS = 15_000;
/** Three of the proxy's signs of life. */
const SILENCE_DEADLINE_MS = 45_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** What the kernel leaves for a path in sockaddr_un. */
const MAX_SOCKET_PATH_BYTES = 107;

export type ProxyClientOptions = {
  /** Whose proxy is asked: the one that serves. */
  readonly stateDir: string;
  readonly deadlineMs?: number;
  /** Instead of it, the process with this control socket. */
  readonly socketPath?: string;
};

export class ProxyClient {
  readonly socketPath: string;
  readonly #deadlineMs: number;
  readonly #told = new LastRead((text) => parse<ProxyStatus>(200, text));

  /** Throws GantryError state-dir when the path is too long for a socket. */
  constructor({ stateDir, deadlineMs = CALL_DEADLINE_MS, socketPath }: ProxyClientOptions) {
    this.socketPath = socketPath ?? socketPathIn(stateDir);
    this.#deadlineMs = deadlineMs;
  }

  /** Of one owner, or of all. */
  status(owner?: string): Promise<ProxyStatus> {
    const read = (status: number, text: string) =>
      status === 200 ? this.#told.of(text) : parse<never>(status, text);
    return this.#call('GET', `/v1/status${ofOwner(owner)}`, undefined, read);
  }

  /** Revision 0 and an empty table when the owner has none. */
  table(owner: string): Promise<OwnedTable> {
    return this.#call('GET', `/v1/owners/${encodeURIComponent(owner)}`);
  }

  /** Replaces the owner's table; when it resolves, nothing new goes to a backend that is not in it. */
  put(owner: string, put: PutTable): Promise<OwnedTable> {
    return this.#call('PUT', `/v1/owners/${encodeURIComponent(owner)}`, put);
  }

  /** Resolves when the proxy has agreed to stop; it is gone when `status` finds it unreachable. */
  async stop(force = false, purge = false): Promise<void> {
    await this.#call('POST', '/v1/stop', { force, purge } satisfies StopRequest);
  }

  /** Resolves when the successor serves. Throws GantryError proxy-failed when it cannot; nothing has changed then. */
  upgrade(request: UpgradeRequest): Promise<UpgradeAnswer> {
    return this.#call('POST', '/v1/upgrade', request);
  }

  /** Every connection of every backend, the oldest first; of one owner, or of all. */
  holds(owner?: string): Promise<HoldReport[]> {
    return this.#call('GET', `/v1/holds${ofOwner(owner)}`);
  }

  /** What was counted since the proxy began; of one owner, or of all. Refused (proxy-failed) by an older proxy. */
  metrics(owner?: string): Promise<ProxyMetrics> {
    return this.#call('GET', `/v1/metrics${ofOwner(owner)}`);
  }

  /** Ends what holds a backend, at once. */
  cut(request: CutRequest): Promise<CutAnswer> {
    return this.#call('POST', '/v1/cut', request);
  }

  /** Of an older generation. */
  follow(request: FollowRequest): Promise<GenerationReport> {
    return this.#call('POST', '/v1/follow', request);
  }

  /**
   * Calls the listener on every change of the owner until the signal aborts. Rejects with
   * proxy-unreachable when the stream is lost. Changes in between streams are not told.
   */
  async changes(owner: string, listener: (change: Change) => void, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const path = `/v1/owners/${encodeURIComponent(owner)}/changes`;
    try {
      const res = await this.#open('GET', path, undefined, SILENCE_DEADLINE_MS, signal);
      for await (const line of linesOf(res)) if (line !== '') listener(JSON.parse(line) as Change);
    } catch (error) {
      if (signal.aborted) return;
      throw this.#unreachable(error);
    }
    if (!signal.aborted) throw this.#unreachable(new Error('the proxy ended the stream'));
  }

  async #call<T>(method: string, path: string, body?: unknown, read = parse<T>): Promise<T> {
    const signal = AbortSignal.timeout(this.#deadlineMs);
    let status = 0;
    let text = '';
    try {
      const res = await this.#open(method, path, body, this.#deadlineMs, signal);
      status = res.statusCode ?? 0;
      text = await textOf(res);
    } catch (error) {
      throw this.#unreachable(signal.aborted ? new Error(`no answer within ${this.#deadlineMs} ms`) : error);
    }
    return read(status, text);
  }

  #open(
    method: string,
    path: string,
    body: unknown,
    silenceMs: number,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'Content-Length': Buffer.byteLength(text) };
    return new Promise((resolve, reject) => {
      const req = request(
        { socketPath: this.socketPath, method, path, headers, agent: false, signal },
        resolve,
      );
      req.setTimeout(silenceMs, () => req.destroy(new Error(`silent for ${silenceMs} ms`)));
      req.once('error', reject);
      req.end(text);
    });
  }

  #unreachable(cause: unknown): GantryError {
    const message = `the proxy does not answer on ${this.socketPath}: ${messageOf(cause)}`;
    return new GantryError('proxy-unreachable', message, {
      retryable: true,
      hint: 'Any command that routes starts it; proxy.log beside the socket says what it met.',
      cause,
    });
  }
}

/** Nobody listens there (any more), which is something else than somebody not answering. */
export function isAbsent(error: unknown): boolean {
  if (!isGantryError(error, 'proxy-unreachable')) return false;
  const { code } = error.cause as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ECONNRESET';
}

export function socketPathIn(stateDir: string): string {
  const path = join(stateDir, PROXY_SOCKET);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  throw new GantryError('state-dir', `the path ${path} is too long for a unix socket`, {
    hint: `Choose a state directory that leaves it at most ${MAX_SOCKET_PATH_BYTES} bytes.`,
  });
}

function ofOwner(owner: string | undefined): string {
  return owner === undefined ? '' : `?owner=${encodeURIComponent(owner)}`;
}

function parse<T>(status: number, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GantryError('proxy-failed', `the proxy answered ${status} with something else than JSON`, {
      cause,
    });
  }
  if (status >= 400) throw refusal(value as ProxyProblem);
  return value as T;
}

function refusal({ code, message, hint, retryable }: ProxyProblem): GantryError {
  const known = code in ERROR_CODES ? code : 'proxy-failed';
  return new GantryError(known, message, {
    retryable: retryable === true,
    ...(hint === undefined ? {} : { hint }),
  });
}

async function textOf(res: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of res as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function* linesOf(res: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of res as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}
