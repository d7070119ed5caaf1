/** Real servers on port 0 and the surroundings probes need; all closed when the test ends. */
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { Check } from '../../src/checks/check.ts';
import type { Surroundings } from '../../src/checks/probes.ts';
import { TEST_CERTIFICATE, TEST_KEY } from './certificate.ts';

export const NEVER = new AbortController().signal;

export function check(fields: Partial<Check>): Check {
  const defaults = { kind: 'http', intervalMs: 20, timeoutMs: 2000, fall: 3, rise: 1 } as const;
  return { id: fields.kind ?? 'http', ...defaults, ...fields };
}

export function target(host = '127.0.0.1') {
  return { container: 'c0ffee', host };
}

export function surroundings(fields: Partial<Surroundings> = {}): Surroundings {
  return {
    exec: async () => ({ exitCode: 0, output: '' }),
    connections: async () => 0,
    now: () => Date.now(),
    ...fields,
  };
}

export function httpServer(t: TestContext, answer: http.RequestListener, host?: string): Promise<number> {
  return listening(t, http.createServer(answer), host);
}

export function httpsServer(t: TestContext, answer: http.RequestListener): Promise<number> {
  return listening(t, https.createServer({ cert: TEST_CERTIFICATE, key: TEST_KEY }, answer));
}

export function tcpServer(t: TestContext, accept: (socket: net.Socket) => void): Promise<number> {
  return listening(t, net.createServer(accept));
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  const port = await listen(server, '127.0.0.1');
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until `condition` holds; fails with `what` after the bound. */
export async function until(condition: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function listening(t: TestContext, server: net.Server, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await listen(server, host);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return port;
}

function listen(server: net.Server, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}
