/**
 * A TCP line to etcd that a test can cut, mend, and make deaf: what is sent still arrives, but no answer comes back.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Cleanup } from '../ground/harness.ts';

export interface Line {
  /** As `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** From now on answers are held back, without anybody being told. */
  deafen(): void;
  /** What was held back arrives, and all that follows. */
  hear(): void;
}

/** `target`: as `http://host:port`. */
export async function lineTo(t: Cleanup, target: string): Promise<Line> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let deaf = false;
  let server: Server | undefined;
  let own = 0;

  function joined(client: Socket): void {
    const etcd = connect({ host: hostname, port: Number(port) });
    for (const [socket, peer] of [
      [client, etcd],
      [etcd, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        peer.destroy();
      });
    }
    client.pipe(etcd);
    etcd.pipe(client);
    if (deaf) client.cork();
  }

  async function mend(): Promise<void> {
    const opened = createServer(joined);
    server = opened;
    await new Promise<void>((resolve, reject) => {
      opened.once('error', reject).listen(own, '127.0.0.1', resolve);
    });
    const address = opened.address();
    own = typeof address === 'object' && address !== null ? address.port : own;
  }

  async function cut(): Promise<void> {
    const closed = new Promise((resolve) => (server?.listening ? server.close(resolve) : resolve(undefined)));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  await mend();
  t.after(cut);
  const server2client = () => [...sockets].filter((socket) => socket.localPort === own);
  return {
    endpoint: `http://127.0.0.1:${own}`,
    cut,
    mend,
    deafen() {
      deaf = true;
      for (const socket of server2client()) socket.cork();
    },
    hear() {
      deaf = false;
      for (const socket of server2client()) socket.uncork();
    },
  };
}
