/**
 * A unix socket in front of the engine's: passes everything on until it is cut, so that an engine can go away
 * and come back in the middle of a command without touching the engine itself.
 */
import { rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Cleanup } from './harness.ts';

export interface Relay {
  /** For `--docker` and DOCKER_HOST. */
  readonly address: string;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Answers again. */
  mend(): Promise<void>;
  /** Cuts when a request whose first line contains `words` arrives; that request does not get through. */
  cutAt(words: string): void;
  /** Settles once a cut that cutAt set has happened. */
  cutDone(): Promise<void>;
}

/** `target`: the engine's own address, `unix://…` or `tcp://host:port`. */
export async function relay(t: Cleanup, folder: string, target: string): Promise<Relay> {
  const path = join(folder, 'engine.sock');
  const sockets = new Set<Socket>();
  let trap: string | undefined;
  let sprung = () => {};
  let done = Promise.resolve();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect(where(target));
    for (const socket of [client, engine]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy()); // the other end sees a close, which is all a relay can tell
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('close', () => engine.destroy());
    engine.on('close', () => client.destroy());
    client.on('data', (chunk: Buffer) => {
      if (trap !== undefined && (chunk.toString('latin1').split('\r\n')[0] ?? '').includes(trap)) void cut();
      else engine.write(chunk);
    });
    client.on('end', () => engine.end());
    engine.pipe(client);
  });

  async function cut(): Promise<void> {
    trap = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
    await rm(path, { force: true });
    sprung();
  }

  async function mend(): Promise<void> {
    if (server.listening) return;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, resolve);
    });
  }

  await mend();
  t.after(cut);
  return {
    address: `unix://${path}`,
    cut,
    mend,
    cutAt(words) {
      trap = words;
      done = new Promise((resolve) => {
        sprung = resolve;
      });
    },
    cutDone: () => done,
  };
}

function where(address: string): { path: string } | { host: string; port: number } {
  if (address.startsWith('unix://')) return { path: address.slice('unix://'.length) };
  const { hostname, port } = new URL(address.replace(/^tcp:/, 'http:'));
  return { host: hostname, port: Number(port) || 2375 };
}
