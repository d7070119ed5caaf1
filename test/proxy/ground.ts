/**
 * What the proxy's tests stand on: a data plane in this process, backends and clients on real
 * sockets, each on a loopback address of its own so that no two tests meet. Everything made is
 * undone after the test, and the counts must be back at zero by then.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http, { type IncomingHttpHeaders, type RequestListener } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { SILENT } from '../../src/log.ts';
import type { HttpPath } from '../../src/proxy/http/http.ts';
import { DataPlane } from '../../src/proxy/proxy.ts';
import {
  DEFAULT_LIMITS,
  type ProxyLimits,
  type Route,
  type RouteKind,
  type RouteTable,
} from '../../src/proxy/tables/routes.ts';
import { tryHandles } from '../../src/proxy/tcp/handle-trial.ts';
import { NO_KERNEL } from './memory-kernel.ts';

export const OWNER = 'shop';
const WAIT_MS = 8_000;

/** Listens with the shortest queue there is and then never runs again. */
const NEVER_ACCEPTS = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ ...workerData, backlog: 1 }, () => {
    parentPort.postMessage('listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;

export async function until(what: string, check: () => unknown, timeoutMs = WAIT_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) assert.fail(`waited ${timeoutMs} ms in vain until ${what}`);
    await sleep(5);
  }
}

/** An address of this host that no other test uses. */
export function ownAddress(): string {
  const part = () => 1 + Math.floor(Math.random() * 253);
  return `127.${part()}.${part()}.${part()}`;
}

export const HTTP_PATHS: readonly HttpPath[] = ['fast', 'http-proxy'];
const pathOf = new WeakMap<object, HttpPath>();

/** One test for each path that http takes through the proxy, side by side; `ground` knows on which it stands. */
export function onBothPaths(name: string, check: (t: TestContext) => Promise<void>): void {
  test(name, { concurrency: true }, async (t) => {
    const on = (path: HttpPath) =>
      t.test(path, (each) => {
        pathOf.set(each, path);
        return check(each);
      });
    await Promise.all(HTTP_PATHS.map(on));
  });
}

export interface TestBackend {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** Connections it has now. */
  readonly sockets: ReadonlySet<Socket>;
  /** Connections it ever had. */
  readonly accepted: () => number;
  close(): void;
}

export interface Ground {
  readonly plane: DataPlane;
  readonly httpPath: HttpPath;
  readonly address: string;
  readonly port: number;
  readonly containerPort: number;
  readonly url: string;
  http(id: string, listener: RequestListener, tune?: (server: http.Server) => void): Promise<TestBackend>;
  tcp(id: string, listener: (socket: Socket) => void): Promise<TestBackend>;
  /** A backend whose queue is full: the kernel leaves every dial without an answer. */
  silent(id: string): Promise<TestBackend>;
  /** A backend that nobody answers for. */
  dead(id: string): TestBackend;
  route(
    backends: readonly TestBackend[],
    change?: { kind?: RouteKind; limits?: Partial<ProxyLimits> } & Pick<
      Route,
      'hold' | 'leave' | 'slowStartMs'
    >,
  ): Promise<void>;
  /** A client connection to the listener. */
  dial(): Promise<Socket>;
}

export async function ground(t: TestContext, path?: HttpPath): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-proxy-'));
  const httpPath = path ?? pathOf.get(t) ?? 'fast';
  const plane = new DataPlane({
    tablesPath: join(folder, 'tables.json'),
    log: SILENT,
    httpPath,
    ...NO_KERNEL,
  });
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })];
  t.after(async () => {
    for (const step of undo.reverse()) await step();
  });
  await plane.start();
  undo.push(() => plane.close());
  // Its doors begin it, and do not wait.
  await tryHandles();
  const address = ownAddress();
  // Below the ports that outgoing connections get: those would be in the way of a wildcard address.
  const containerPort = 10_000 + Math.floor(Math.random() * 10_000);
  const port = containerPort + 10_000;

  async function serve(id: string, server: net.Server): Promise<TestBackend> {
    const host = ownAddress();
    const sockets = new Set<Socket>();
    let accepted = 0;
    server.on('connection', (socket: Socket) => {
      accepted += 1;
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(containerPort, host, resolve);
    });
    const close = () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    };
    undo.push(close);
    return { id, host, port: containerPort, sockets, accepted: () => accepted, close };
  }

  return {
    plane,
    httpPath,
    address,
    port,
    containerPort,
    url: `http://${address}:${port}`,
    http: (id, listener, tune) => {
      const server = http.createServer(listener);
      tune?.(server);
      return serve(id, server);
    },
    tcp: (id, listener) => serve(id, net.createServer({ allowHalfOpen: true }, listener)),
    dead: (id) => ({
      id,
      host: ownAddress(),
      port: containerPort,
      sockets: new Set(),
      accepted: () => 0,
      close() {},
    }),
    silent: async (id) => {
      const host = ownAddress();
      const worker = new Worker(NEVER_ACCEPTS, { eval: true, workerData: { host, port: containerPort } });
      undo.push(() => worker.terminate());
      await once(worker, 'message');
      const fillers = [1, 2, 3, 4].map(() => net.connect(containerPort, host).on('error', () => {}));
      undo.push(() => fillers.map((filler) => filler.destroy()));
      await until('the queue is full', () => fillers.filter((filler) => !filler.connecting).length === 2);
      return { id, host, port: containerPort, sockets: new Set(), accepted: () => 0, close() {} };
    },
    route: async (backends, { kind = 'http', limits = {}, ...terms } = {}) => {
      const listeners = [{ address, port, kind, containerPort }];
      const table = tableOf([{ component: 'web', listeners, backends, ...terms }], limits);
      await plane.put(OWNER, { ifRevision: plane.table(OWNER).revision, table });
    },
    dial: () => dial(address, port, undo),
  };
}

export function tableOf(
  routes: readonly (Omit<Route, 'backends'> & { backends: readonly { id: string; host: string }[] })[],
  limits: Partial<ProxyLimits> = {},
): RouteTable {
  return {
    routes: routes.map((route) => ({
      ...route,
      backends: route.backends.map(({ id, host }) => ({ id, host })),
    })),
    limits: { ...DEFAULT_LIMITS, ...limits },
  };
}

export async function dial(host: string, port: number, undo: (() => unknown)[] = []): Promise<Socket> {
  const socket = net.connect({ host, port, allowHalfOpen: true });
  socket.on('error', () => {});
  undo.push(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
  return socket;
}

/** Everything the socket says, as it grows. */
export function heard(socket: Socket): { text: () => string; ended: () => boolean; closed: () => boolean } {
  let text = '';
  let ended = false;
  let closed = false;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('end', () => {
    ended = true;
  });
  socket.on('close', () => {
    closed = true;
  });
  return { text: () => text, ended: () => ended, closed: () => closed };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  readonly agent?: http.Agent;
}

/** One request; rejects when it fails or its answer is cut. */
export function ask(
  url: string,
  { method = 'GET', path = '/', headers = {}, body, agent }: Ask = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, path, headers, agent: agent ?? false });
    req.once('error', reject);
    req.once('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.once('error', reject);
      res.once('end', () =>
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          trailers: res.trailers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    req.end(body);
  });
}

export function openOn(plane: DataPlane, id: string): number {
  return plane.status().backends.find((backend) => backend.id === id)?.open ?? 0;
}

export async function untilIdle(plane: DataPlane): Promise<void> {
  await until('no backend is held', () => plane.open === 0);
  for (const { inFlight, upgraded, tcp, open } of plane.status().backends)
    assert.deepEqual([inFlight, upgraded, tcp, open], [0, 0, 0, 0]);
}

export async function freePort(host: string): Promise<number> {
  const [port = 0] = await freePorts(host, 1);
  return port;
}

/** No two of them are the same, as of ports that are looked for one after the other. */
export async function freePorts(host: string, count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => net.createServer());
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}
