/**
 * Answers the control socket: HTTP + JSON on a unix socket that only its owner may open.
 * Translates between protocol.ts and DataPlane; decides nothing.
 */
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { GantryError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { VERSION } from '../version.ts';
import {
  PROTOCOL_VERSION,
  type ProxyProblem,
  type ProxyStatus,
  type PutTable,
  type StopRequest,
} from './protocol.ts';
import type { DataPlane } from './proxy.ts';
import { checkOwner, checkTable } from './table-check.ts';

const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Of a change stream whose reader is slow; then it is ended. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** How often a change stream says that it is alive. */
const ALIVE_MS = 15_000;

export interface ControlOptions {
  readonly socketPath: string;
  readonly proxy: DataPlane;
  readonly log: Log;
  /** Ends the process; what is open is cut if forced. */
  readonly stop: (force: boolean) => void;
}

export class Control {
  readonly #options: ControlOptions;
  readonly #server: Server;
  readonly #startedAt = new Date().toISOString();

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#server = createServer((req, res) => {
      this.#answer(req, res).catch((error) => this.#fail(res, error));
    });
  }

  /** INVARIANT: the caller holds the lock of the state directory; a socket file found there is a leftover. */
  async start(): Promise<void> {
    const { socketPath } = this.#options;
    await rm(socketPath, { force: true });
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(socketPath, resolve);
      });
    } finally {
      process.umask(mask);
    }
    await chmod(socketPath, 0o600);
    this.#server.on('error', (error) =>
      this.#options.log.error('the control socket failed', { why: error.message }),
    );
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.#options.socketPath, { force: true });
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '/', 'http://proxy');
    const owner = ownerIn(pathname);
    const asked = `${req.method} ${owner === undefined ? pathname : pathname.replace(OWNER_PATH, '/v1/owners/:owner$2')}`;
    if (asked === 'GET /v1/status')
      return json(res, 200, this.#status(searchParams.get('owner') ?? undefined));
    if (asked === 'POST /v1/stop') return this.#stop(await readJson(req), res);
    if (owner === undefined) return json(res, 404, problem(notFound(asked)));
    if (asked === 'GET /v1/owners/:owner') return json(res, 200, this.#options.proxy.table(owner));
    if (asked === 'PUT /v1/owners/:owner') return json(res, 200, await this.#put(owner, await readJson(req)));
    if (asked === 'GET /v1/owners/:owner/changes') return this.#changes(owner, res);
    json(res, 404, problem(notFound(asked)));
  }

  #status(owner: string | undefined): ProxyStatus {
    const { proxy } = this.#options;
    const self = {
      protocol: PROTOCOL_VERSION,
      version: VERSION,
      pid: process.pid,
      startedAt: this.#startedAt,
    };
    return { ...self, ...proxy.status(owner) };
  }

  #put(owner: string, body: unknown): Promise<unknown> {
    const { ifRevision, table, dryRun } = (body ?? {}) as Partial<PutTable>;
    const check = checkTable(table);
    const wrong = [checkOwner(owner) ?? [], check.problems ?? []].flat();
    if (!Number.isSafeInteger(ifRevision)) wrong.push('ifRevision must be a whole number');
    if (check.table === undefined || ifRevision === undefined || wrong.length > 0)
      throw new GantryError('proxy-failed', `the table is not valid: ${wrong.join('; ')}`);
    return this.#options.proxy.put(owner, { ifRevision, table: check.table, dryRun: dryRun === true });
  }

  #changes(owner: string, res: ServerResponse): void {
    res.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    res.flushHeaders();
    const alive = setInterval(() => res.write('\n'), ALIVE_MS);
    const unsubscribe = this.#options.proxy.subscribe((of, change) => {
      if (of !== owner) return;
      // Who does not read comes back and looks at everything anew.
      if (res.writableLength > MAX_UNREAD_BYTES) res.destroy();
      else res.write(`${JSON.stringify(change)}\n`);
    });
    res.once('close', () => {
      clearInterval(alive);
      unsubscribe();
    });
  }

  #stop(body: unknown, res: ServerResponse): void {
    const force = (body as Partial<StopRequest> | null)?.force === true;
    const { open } = this.#options.proxy;
    if (open > 0 && !force) throw inUse(open);
    res.once('finish', () => this.#options.stop(force));
    json(res, 200, {});
  }

  #fail(res: ServerResponse, error: unknown): void {
    if (res.headersSent || res.destroyed) return void res.destroy();
    const known = error instanceof GantryError ? error : new GantryError('internal', messageOf(error));
    if (known.code === 'internal') this.#options.log.error('a control call failed', { why: known.message });
    json(res, statusOf(known), problem(known));
  }
}

const OWNER_PATH = /^\/v1\/owners\/([^/]+)(\/changes)?$/;

function ownerIn(pathname: string): string | undefined {
  const name = OWNER_PATH.exec(pathname)?.[1];
  try {
    return name === undefined ? undefined : decodeURIComponent(name);
  } catch {
    return undefined;
  }
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new GantryError('proxy-failed', `a control call may have ${MAX_BODY_BYTES} bytes at most`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new GantryError('proxy-failed', `the body is not JSON: ${messageOf(cause)}`, { cause });
  }
}

function json(res: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}

function problem(error: GantryError): ProxyProblem {
  const { code, message, hint, retryable } = error;
  return { code, message, retryable, ...(hint === undefined ? {} : { hint }) };
}

function statusOf({ code }: GantryError): number {
  if (code === 'route-conflict' || code === 'port-taken' || code === 'proxy-failed') return 409;
  return 500;
}

function notFound(asked: string): GantryError {
  return new GantryError('proxy-failed', `this proxy (${VERSION}) does not know ${asked}`);
}

function inUse(open: number): GantryError {
  const what = open === 1 ? '1 connection is' : `${open} connections are`;
  return new GantryError('proxy-failed', `the proxy is in use: ${what} open`, {
    hint: 'Wait for them to end, or stop it with force to cut them.',
  });
}
