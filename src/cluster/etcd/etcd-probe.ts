/**
 * Which of the two languages a port speaks: asked only when a connection ended so early that the two sides may
 * differ in it.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Endpoint } from '../options.ts';

const PROBE_TIMEOUT_MS = 500;

/** undefined: neither, or nobody answers. Never throws. */
export async function spokenAt(endpoint: Endpoint): Promise<'tls' | 'plain' | undefined> {
  if (await speaksTls(endpoint)) return 'tls';
  return (await speaksPlain(endpoint)) ? 'plain' : undefined;
}

/** Trusts nobody and sends nothing: only whether a handshake comes about. */
function speaksTls({ host, port }: Endpoint): Promise<boolean> {
  const name = isIP(bare(host)) === 0 ? { servername: host } : {};
  const socket = connectTls({ host: bare(host), port, rejectUnauthorized: false, ...name });
  return answered(socket, 'secureConnect');
}

/** etcd answers HTTP/1 beside gRPC. */
function speaksPlain({ host, port }: Endpoint): Promise<boolean> {
  const socket = connectPlain({ host: bare(host), port });
  socket.once('connect', () =>
    socket.write(`GET /version HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
  );
  return answered(socket, 'data', (chunk) => String(chunk).startsWith('HTTP/'));
}

function answered(
  socket: Socket,
  event: string,
  is: (seen: unknown) => boolean = () => true,
): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    socket.once(event, (seen: unknown) => resolve(is(seen)));
    for (const end of ['error', 'close', 'timeout']) socket.once(end, () => resolve(false));
    socket.setTimeout(PROBE_TIMEOUT_MS);
  }).finally(() => socket.destroy());
}

/** Without the brackets of an IPv6 address. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
