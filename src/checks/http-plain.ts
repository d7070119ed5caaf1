/**
 * The way to ask over HTTP without TLS: what is said is one write, and what comes goes from one buffer through the parser.
 * Node's own client has a request, an answer, their streams and an agent around the same, which costs twice as much.
 */
import net from 'node:net';
import { type MessageHead, MessageParser } from '../llhttp.ts';
import { VERSION } from '../version.ts';
import { CLOSED, type Hearer, isRedirect, type Request } from './http-answer.ts';

/** What all connections are read into: whoever is called with it has taken what he needs when he returns. */
const READ_BYTES = 64 * 1024;
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
const SWITCHING = 101;
const FINAL = 200;
const NOT_HTTP = Object.assign(new Error('not HTTP'), { code: 'HPE_INVALID' });

export function askPlain(request: Request, hearer: Hearer): () => void {
  const asking = new Plain(request, hearer);
  return () => asking.breakOff();
}

class Plain {
  readonly #hearer: Hearer;
  readonly #socket: net.Socket;
  #parser: MessageParser | undefined;

  constructor(request: Request, hearer: Hearer) {
    this.#hearer = hearer;
    const { host, port } = request;
    const callback = (bytes: number) => {
      this.#read(buffer.subarray(0, bytes));
      return true;
    };
    this.#socket = net.connect({ host, port, onread: { buffer, callback } });
    this.#socket.on('error', (error) => hearer.fail(error));
    this.#socket.once('end', () => this.#finish());
    this.#socket.once('close', () => hearer.fail(CLOSED));
    this.#socket.write(textOf(request), 'latin1');
    this.#parser = new MessageParser('response');
  }

  breakOff(): void {
    this.#socket.destroy();
    this.#parser?.free();
    this.#parser = undefined;
  }

  #read(bytes: Buffer): void {
    for (let rest: Buffer | undefined = bytes; rest !== undefined && this.#parser !== undefined; ) {
      const parser: MessageParser = this.#parser;
      parser.execute(rest);
      rest = parser.rest;
      this.#heard(parser);
    }
  }

  /** The end of the connection may be that of the body. */
  #finish(): void {
    this.#parser?.finish();
    if (this.#parser !== undefined) this.#heard(this.#parser);
  }

  #heard(parser: MessageParser): void {
    const { head } = parser;
    if (parser.failed && head === undefined) this.#hearer.fail(NOT_HTTP);
    else if (head !== undefined && !isInterim(head.status)) this.#pass(parser, head);
    else if (parser.done) parser.next();
  }

  #pass({ bytes, spans, headCame, failed, done }: MessageParser, head: MessageHead): void {
    if (headCame) this.#hearer.head(head.status, locationOf(head));
    for (let at = 0; at < spans.length; at += 2) this.#hearer.body(bytes.subarray(spans[at], spans[at + 1]));
    if (failed) this.#hearer.fail(NOT_HTTP);
    else if (done || head.status === SWITCHING) this.#hearer.told();
  }
}

function textOf({ method, path, hostField }: Request): string {
  const length = method === 'POST' ? 'Content-Length: 0\r\n' : '';
  return `${method} ${path} HTTP/1.1\r\nHost: ${hostField}\r\nUser-Agent: gantryd/${VERSION}\r\n${length}Connection: close\r\n\r\n`;
}

/** Another answer follows. */
function isInterim(status: number): boolean {
  return status < FINAL && status !== SWITCHING;
}

function locationOf({ status, fields }: MessageHead): string | undefined {
  if (!isRedirect(status)) return undefined;
  const at = fields.findIndex((field, place) => place % 2 === 0 && field.toLowerCase() === 'location');
  return at < 0 ? undefined : fields[at + 1];
}
