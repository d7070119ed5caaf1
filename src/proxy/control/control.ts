/**
 * Answers the control socket: HTTP + JSON on a unix socket that only its owner may open. Each process has one of its
 * own; PROXY_SOCKET is a link to that of the one that serves. Both are named from the state directory, which is the
 * working directory: the whole path may be too long for a socket. Translates between protocol.ts and Generation.
 */
import { chmod, readlink, rename, rm, symlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { GantryError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { VERSION } from '../../version.ts';
import { cutRequest } from '../backends/holds.ts';
import type { Generation } from '../generations/generation.ts';
import { checkOwner, checkTable } from '../tables/table-check.ts';
import { json, problem, readJson, statusOf } from './control-io.ts';
import {
  type FollowRequest,
  generationSocket,
  PROXY_SOCKET,
  type PutTable,
  type StopRequest,
  type UpgradeRequest,
} from './protocol.ts';

/** Of a change stream whose reader is slow; then it is ended. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** How often a change stream says that it is alive. */
const ALIVE_MS = 15_000;
/** How long a call that is being answered may hold up the end of the process. */
const LAST_ANSWER_MS = 1_000;

export interface ControlOptions {
  readonly generation: Generation;
  readonly log: Log;
}

export class Control {
  readonly #options: ControlOptions;
  readonly #server: Server;
  readonly #name = generationSocket(process.pid);
  readonly #streams = new Set<ServerResponse>();

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#server = createServer((req, res) => {
      this.#answer(req, res).catch((error) => this.#fail(res, error));
    });
  }

  /** Under its own name. A file found there is of a process that had the same number. */
  async start(): Promise<void> {
    await rm(this.#name, { force: true });
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(this.#name, resolve);
      });
    } finally {
      process.umask(mask);
    }
    await chmod(this.#name, 0o600);
    this.#server.on('error', (error) =>
      this.#options.log.error('the control socket failed', { why: error.message }),
    );
  }

  /** Makes it the one that clients find. INVARIANT: the caller holds the lock of the state directory. */
  async publish(): Promise<void> {
    const temporary = `.${PROXY_SOCKET}.${process.pid}`;
    await rm(temporary, { force: true });
    await symlink(this.#name, temporary);
    await rename(temporary, PROXY_SOCKET);
  }

  /** Whoever follows changes comes back, to the proxy that serves then. */
  endStreams(): void {
    for (const res of this.#streams) res.end();
  }

  async close(): Promise<void> {
    this.endStreams();
    const served = await readlink(PROXY_SOCKET).catch(() => undefined);
    if (served === this.#name) await rm(PROXY_SOCKET, { force: true });
    const late = setTimeout(() => this.#server.closeAllConnections(), LAST_ANSWER_MS);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    clearTimeout(late);
    await rm(this.#name, { force: true });
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '/', 'http://proxy');
    const owner = ownerIn(pathname);
    const asked = `${req.method} ${owner === undefined ? pathname : pathname.replace(OWNER_PATH, '/v1/owners/:owner$2')}`;
    const { generation } = this.#options;
    await generation.counted(TELLS_COUNTS.has(asked));
    if (asked === 'GET /v1/status')
      return json(res, 200, generation.status(searchParams.get('owner') ?? undefined));
    if (asked === 'POST /v1/stop') return this.#stop(await readJson(req), res);
    if (asked === 'POST /v1/upgrade') return json(res, 200, await this.#upgrade(await readJson(req)));
    if (asked === 'POST /v1/follow')
      return json(res, 200, await generation.follow((await readJson(req)) as FollowRequest));
    if (asked === 'GET /v1/metrics')
      return json(res, 200, generation.metrics(searchParams.get('owner') ?? undefined));
    if (asked === 'GET /v1/holds')
      return json(res, 200, await generation.holds(searchParams.get('owner') ?? undefined));
    if (asked === 'POST /v1/cut')
      return json(res, 200, await generation.cut(cutRequest(await readJson(req))));
    if (owner === undefined) return json(res, 404, problem(notFound(asked)));
    if (asked === 'GET /v1/owners/:owner') return json(res, 200, generation.table(owner));
    if (asked === 'PUT /v1/owners/:owner') return json(res, 200, await this.#put(owner, await readJson(req)));
    if (asked === 'GET /v1/owners/:owner/changes') return this.#changes(owner, res);
    json(res, 404, problem(notFound(asked)));
  }

  #put(owner: string, body: unknown): Promise<unknown> {
    const { ifRevision, table, dryRun } = (body ?? {}) as Partial<PutTable>;
    const check = checkTable(table);
    const wrong = [checkOwner(owner) ?? [], check.problems ?? []].flat();
    if (!Number.isSafeInteger(ifRevision)) wrong.push('ifRevision must be a whole number');
    if (check.table === undefined || ifRevision === undefined || wrong.length > 0)
      throw new GantryError('proxy-failed', `the table is not valid: ${wrong.join('; ')}`);
    return this.#options.generation.put(owner, { ifRevision, table: check.table, dryRun: dryRun === true });
  }

  #changes(owner: string, res: ServerResponse): void {
    res.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    res.flushHeaders();
    const alive = setInterval(() => res.write('\n'), ALIVE_MS);
    const unsubscribe = this.#options.generation.subscribe((of, change) => {
      if (of !== owner) return;
      // Who does not read comes back and looks at everything anew.
      if (res.writableLength > MAX_UNREAD_BYTES) res.destroy();
      else res.write(`${JSON.stringify(change)}\n`);
    });
    this.#streams.add(res);
    res.once('close', () => {
      this.#streams.delete(res);
      clearInterval(alive);
      unsubscribe();
    });
  }

  async #upgrade(body: unknown): Promise<unknown> {
    const { node, main } = (body ?? {}) as Partial<UpgradeRequest>;
    if (typeof node !== 'string' || typeof main !== 'string')
      throw new GantryError('proxy-failed', 'an upgrade names `node` and `main`');
    return await this.#options.generation.upgrade({ node, main });
  }

  #stop(body: unknown, res: ServerResponse): void {
    const { generation } = this.#options;
    const { force: asked, purge: asksToo } = (body ?? {}) as Partial<StopRequest>;
    const [force, purge] = [asked === true, asksToo === true];
    const open = generation.open(purge);
    if (open > 0 && !force && !generation.isElder) throw inUse(open);
    res.once('finish', () => generation.stop(force, purge));
    json(res, 200, {});
  }

  #fail(res: ServerResponse, error: unknown): void {
    if (res.headersSent || res.destroyed) return void res.destroy();
    const known = error instanceof GantryError ? error : new GantryError('internal', messageOf(error));
    if (known.code === 'internal') this.#options.log.error('a control call failed', { why: known.message });
    json(res, statusOf(known), problem(known));
  }
}

/** What is asked for here has, or depends on, what the kernel carries. */
const TELLS_COUNTS: ReadonlySet<string> = new Set([
  'GET /v1/status',
  'GET /v1/metrics',
  'GET /v1/holds',
  'POST /v1/cut',
  'POST /v1/stop',
]);

const OWNER_PATH = /^\/v1\/owners\/([^/]+)(\/changes)?$/;

function ownerIn(pathname: string): string | undefined {
  const name = OWNER_PATH.exec(pathname)?.[1];
  try {
    return name === undefined ? undefined : decodeURIComponent(name);
  } catch {
    return undefined;
  }
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
