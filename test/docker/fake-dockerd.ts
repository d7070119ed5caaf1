/**
 * A Docker engine's socket without an engine: answers as a test says, hangs, or breaks off.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface FakeDockerd {
  readonly address: string;
  /** `METHOD /path` without version and query, to what is answered. Without an entry: 404. */
  readonly answers: Map<string, Answer>;
  /** Requests seen, as the keys of `answers`. */
  readonly seen: string[];
  /** The last path with version and query. */
  readonly urls: string[];
  readonly open: () => number;
  /** Cuts every connection, as a daemon that dies. */
  cut(): void;
  close(): Promise<void>;
}

export function json(value: unknown, status = 200): Answer {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
}

/** Takes the request and never answers. */
export const HANG: Answer = () => {};

/** Sends the headers and half a body, then dies. */
export const BREAK_OFF: Answer = (_request, response) => {
  response.writeHead(200, { 'content-length': 1000 });
  response.write('{"half": ', () => setTimeout(() => response.socket?.destroy(), 20));
};

/** Sends the headers and half a body, and leaves it there. */
export const STALL: Answer = (_request, response) => {
  response.writeHead(200, { 'content-length': 1000 }).write('{"half": ');
};

export async function fakeDockerd(
  version: unknown = { Version: 'x', ApiVersion: '1.44', MinAPIVersion: '1.24' },
) {
  const folder = mkdtempSync(join(tmpdir(), 'gantryd-dockerd-'));
  const path = join(folder, 'docker.sock');
  const answers = new Map<string, Answer>([['GET /version', json(version)]]);
  const seen: string[] = [];
  const urls: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    const key = `${request.method} ${url.replace(/^\/v1\.\d+/, '').replace(/\?.*$/, '')}`;
    seen.push(key);
    urls.push(url);
    (answers.get(key) ?? json({ message: `page not found: ${key}` }, 404))(request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    cut();
    await closed;
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    address: `unix://${path}`,
    answers,
    seen,
    urls,
    open: () => sockets.size,
    cut,
    close,
  } satisfies FakeDockerd;
}
