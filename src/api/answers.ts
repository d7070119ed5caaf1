/** How answers get onto their connections: whole, and so that who was refused hears it. Knows nothing of routes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hasBody } from './body.ts';
import { PROBLEM } from './problem.ts';
import type { Reply } from './route.ts';

/** What is still sent to a request that was answered is read for so long, so that the answer arrives. */
const LINGER_MS = 1_000;

/** The whole answer. */
export function send(response: ServerResponse, { status, headers = {}, body }: Reply, type: string): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(body === undefined ? {} : { 'content-type': type }),
    ...(status === 204 || status === 304 ? {} : { 'content-length': Buffer.byteLength(text) }),
    ...headers,
  });
  response.end(text);
}

/**
 * Whoever was answered and still sends a body is cut soon after: Node reads on for as long as he likes, and a connection
 * that ends at once would take the answer with it.
 */
export function linger(request: IncomingMessage): void {
  if (!hasBody(request.headers) || request.complete) return;
  const { socket } = request;
  const timer = setTimeout(() => {
    if (!request.complete) socket.destroy();
  }, LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  request.resume();
}

/** To what is no HTTP, too much of it, or too slow. */
export function refuseClient(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const known = {
    HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'too-large', 'the headers are too large'],
    ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'too-slow', 'the headers did not come in time'],
  }[error.code ?? ''] ?? ['400 Bad Request', 'usage', 'that is no HTTP request'];
  const [status = '', code, detail] = known;
  const [, number, title] = /^(\d+) (.*)$/.exec(status) ?? [];
  const body = JSON.stringify({ title, status: Number(number), detail, code, retryable: false });
  const head = `content-type: ${PROBLEM}\r\ncontent-length: ${body.length}\r\nconnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`, () => socket.destroy());
}
