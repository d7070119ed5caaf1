/**
 * Connections that go over to another protocol (RFC 9110, 7.8). A request that offers one which a route speaks is
 * answered like any other until the route agrees; who offers another one, as Java's HttpClient does with h2c, is
 * answered as if he had not: Node would leave his request unread.
 */
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Refusal } from './problem.ts';
import type { Route } from './route.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** What came behind the head of a request that offers one of our protocols. */
const BEHIND = new WeakMap<IncomingMessage, Buffer>();
const OF_UPGRADE = /^(upgrade|http2-settings)$/i;

export function acceptUpgrades(server: Server, routes: readonly Route[], answer: Answer): void {
  const ours = new Set(routes.flatMap(({ upgrade }) => upgrade ?? []));
  if (ours.size === 0) return; // Node passes over the offers
  server.on('upgrade', (request, socket, behind) => {
    if (waits(request)) return void socket.destroy(); // nobody offers one before he was answered
    if (!ours.has(offeredIn(request))) return askAgain(server, request, socket, behind);
    BEHIND.set(request, behind);
    socket.on('error', () => socket.destroy()); // whoever has it by then sees it close
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(request.socket);
    response.once('finish', () => request.socket.destroySoon());
    answer(request, response);
  });
}

/** How the route agrees: from then on the connection is its own. Throws usage where none was offered. */
export function upgradeOf(
  { upgrade = '' }: Route,
  request: IncomingMessage,
  response: ServerResponse,
): () => Duplex {
  const behind = BEHIND.get(request);
  if (behind === undefined || offeredIn(request) !== upgrade)
    throw new Refusal('usage', `this needs a connection that goes over to ${upgrade}`, {
      hint: `Send \`Connection: Upgrade\` and \`Upgrade: ${upgrade}\`.`,
      headers: { upgrade },
    });
  return () => {
    const { socket } = request;
    response.removeAllListeners('finish');
    response.writeHead(101, { connection: 'Upgrade', upgrade }).flushHeaders();
    response.detachSocket(socket);
    if (behind.length > 0) socket.unshift(behind);
    return socket;
  };
}

/** For the answers to requests before it, on the same connection. */
function waits(request: IncomingMessage): boolean {
  const response = new ServerResponse(request);
  try {
    response.assignSocket(request.socket);
  } catch {
    return true;
  }
  response.detachSocket(request.socket);
  return false;
}

function offeredIn({ headers }: IncomingMessage): string {
  return (headers.upgrade ?? '').toLowerCase();
}

/** The same request on the same connection, without the offer. */
function askAgain(server: Server, request: IncomingMessage, socket: Duplex, behind: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (OF_UPGRADE.test(name)) continue;
    lines.push(`${name}: ${/^connection$/i.test(name) ? withoutOffer(value) : value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), behind]));
  server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket);
}

function withoutOffer(connection: string): string {
  const words = connection.split(',').map((word) => word.trim());
  return words.filter((word) => !OF_UPGRADE.test(word)).join(', ');
}
