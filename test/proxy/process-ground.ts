/**
 * What the tests of the proxy as a process stand on: a state directory of which no process is left after the test,
 * backends in the test's own process, and clients of every kind that notice when anything is lost.
 */
import assert from 'node:assert/strict';
import { once, setMaxListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net, { type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGantryError } from '../../src/errors.ts';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import type { RouteTable } from '../../src/proxy/tables/routes.ts';
import { ask, dial, freePort, freePorts, heard, ownAddress, tableOf, until } from './ground.ts';

/** A state directory whose proxy is gone after the test, whatever became of it. */
export async function stateDir(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  t.after(async () => {
    const client = new ProxyClient({ stateDir: folder });
    await until('the proxy is gone, and whoever would bring it back', async () => {
      await client.stop(true).catch(() => undefined);
      return processesOf(folder).length === 0;
    });
    await rm(folder, { recursive: true });
  });
  return folder;
}

export async function isGone(client: ProxyClient): Promise<boolean> {
  return client.status().then(
    () => false,
    (error) => isGantryError(error, 'proxy-unreachable'),
  );
}

/** The proxy's processes, and those that would start one; `program` is `node` or `flock`. */
export function processesOf(folder: string, program?: 'node' | 'flock'): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    const words = commandOf(pid);
    const isOurs = words[words.indexOf('--state-dir') + 1] === folder;
    return isOurs && (program === undefined || words[0]?.endsWith(program) === true);
  });
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

export interface Site {
  readonly url: string;
  readonly table: RouteTable;
  readonly address: string;
  readonly port: number;
}

/** A backend in this process and the table that leads to it. */
export async function site(t: TestContext, listener: http.RequestListener): Promise<Site> {
  const server = http.createServer(listener);
  const host = ownAddress();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port: containerPort } = server.address() as net.AddressInfo;
  const address = ownAddress();
  const port = await freePort(address);
  const table = tableOf([
    {
      component: 'web',
      listeners: [{ address, port, kind: 'http', containerPort }],
      backends: [{ id: 'a', host }],
    },
  ]);
  return { url: `http://${address}:${port}`, table, address, port };
}

export async function refused(
  promise: Promise<unknown>,
): Promise<{ code: string; message: string; retryable: boolean }> {
  const error = await promise.then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown,
  );
  assert.ok(isGantryError(error), String(error));
  return error;
}

/** A component with an http and a tcp port, and two containers that answer with their names. */
export interface Town {
  readonly url: string;
  readonly address: string;
  readonly httpPort: number;
  readonly tcpPort: number;
  /** The table that leads to one of the containers, `a` or `b`. */
  table(id: string): RouteTable;
}

const HTTP = 7_080;
const TCP = 7_081;

export async function town(t: TestContext): Promise<Town> {
  const hosts: Record<string, string> = { a: ownAddress(), b: ownAddress() };
  for (const [id, host] of Object.entries(hosts)) await container(t, id, host);
  const address = ownAddress();
  const [httpPort = 0, tcpPort = 0] = await freePorts(address, 2);
  return {
    url: `http://${address}:${httpPort}`,
    ...{ address, httpPort, tcpPort },
    table: (id) =>
      tableOf([
        {
          component: 'web',
          listeners: [
            { address, port: httpPort, kind: 'http', containerPort: HTTP },
            { address, port: tcpPort, kind: 'tcp', containerPort: TCP },
          ],
          backends: [{ id, host: hosts[id] ?? assert.fail(id) }],
        },
      ]),
  };
}

/** Answers its name; uploads with their length; /stream without an end; upgrades and tcp with what was sent. */
async function container(t: TestContext, id: string, host: string): Promise<void> {
  const web = http.createServer(async (req, res) => {
    if (req.url === '/stream') {
      const ticks = setInterval(() => res.write(`data: ${id}\n\n`), 20);
      res.once('close', () => clearInterval(ticks));
      return;
    }
    let bytes = 0;
    for await (const chunk of req) bytes += (chunk as Buffer).length;
    res.end(req.method === 'POST' ? String(bytes) : id);
  });
  web.on('upgrade', (_req, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
  const tcp = net.createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  const sockets = new Set<Socket>();
  for (const [server, port] of [
    [web, HTTP],
    [tcp, TCP],
  ] as const) {
    server.on('connection', (socket) => void sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(port, host, resolve));
    t.after(() => void server.close());
  }
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
}

/** A connection that stays, and shows that it lives. */
export interface Stream {
  readonly kind: string;
  /** Rejects when the connection is cut or says nothing. */
  lives(): Promise<void>;
  close(): void;
}

export async function openStreams(t: TestContext, { address, httpPort, tcpPort }: Town): Promise<Stream[]> {
  const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: town\r\n${more}\r\n`;
  const [events, websocket, tcp] = [
    await dial(address, httpPort),
    await dial(address, httpPort),
    await dial(address, tcpPort),
  ];
  for (const socket of [events, websocket, tcp]) t.after(() => void socket.destroy());
  events.write(get('/stream'));
  websocket.write(get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
  const streams = [
    stream('events', events, () => {}),
    stream('websocket', websocket, () => websocket.write('ping')),
    stream('tcp', tcp, () => tcp.write('ping')),
  ];
  await until('the websocket is one', () => websocket.bytesRead > 0);
  for (const each of streams) await each.lives();
  return streams;
}

function stream(kind: string, socket: Socket, poke: () => void): Stream {
  const seen = heard(socket);
  return {
    kind,
    async lives() {
      const before = seen.text().length;
      poke();
      await until(
        `${kind} says something`,
        () => seen.text().length > before || seen.closed() || seen.ended(),
      );
      assert.deepEqual([seen.closed(), seen.ended()], [false, false], `${kind} was cut`);
    },
    close: () => void socket.destroy(),
  };
}

export interface Load {
  /** Requests that were answered as they should. */
  readonly answered: () => number;
  /** Ends it, and throws for the first that failed. */
  end(): Promise<void>;
}

/** Clients with a connection each, some idle for longer than a retiring door leaves them; new connections; uploads. */
export function startLoad({ url }: Town): Load {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const failed: unknown[] = [];
  let answered = 0;
  async function client(pauseMs: number, keeps: boolean, body?: Buffer): Promise<void> {
    const agent = keeps ? new http.Agent({ keepAlive: true, maxSockets: 1 }) : undefined;
    while (!over.signal.aborted) {
      const how = { ...(agent === undefined ? {} : { agent }), ...(body === undefined ? {} : { body }) };
      try {
        const answer = await ask(url, { ...how, method: body === undefined ? 'GET' : 'POST' });
        const expected = body === undefined ? /^[ab]$/ : new RegExp(`^${body.length}$`);
        assert.match(`${answer.status} ${answer.body}`, new RegExp(`^200 ${expected.source.slice(1)}`));
        answered += 1;
      } catch (error) {
        failed.push(error);
      }
      await sleep(pauseMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
    agent?.destroy();
  }
  const upload = Buffer.alloc(300_000, 'x');
  const clients = [
    ...[1, 1, 5, 20, 50].map((pauseMs) => client(pauseMs, true)),
    ...[1_700, 1_900].map((pauseMs) => client(pauseMs, true)),
    ...[2, 5].map((pauseMs) => client(pauseMs, false)),
    ...[5, 20].map((pauseMs) => client(pauseMs, true, upload)),
  ];
  return {
    answered: () => answered,
    async end() {
      over.abort();
      await Promise.all(clients);
      assert.deepEqual(failed, []);
    },
  };
}

/** An upload of which the second half waits until it is told to go. */
export async function slowUpload({ url }: Town): Promise<{ finish(): Promise<string> }> {
  const half = Buffer.alloc(100_000, 'y');
  const req = http.request(url, { method: 'POST', agent: false, headers: { 'Content-Length': 200_000 } });
  await new Promise<void>((resolve) => req.write(half, () => resolve()));
  return {
    async finish() {
      req.end(half);
      const [res] = (await once(req, 'response')) as [http.IncomingMessage];
      let text = '';
      for await (const chunk of res) text += String(chunk);
      return `${res.statusCode} ${text}`;
    },
  };
}
