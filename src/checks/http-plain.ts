/**
 * The way to ask over HTTP without TLS: what is said is one write, and what comes goes from one buffer through the parser.
 * Node's own client has a request, an answer, their streams and an agent around the same, which costs twice as much. Each
 * question has a connection of its own (a kept one would not ask what the next client meets); what Node and the parser
 * have around a connection is used again for the next one.
 */
import net from 'node:net';
import { type MessageHead, MessageParser } from '../llhttp.ts';
import { VERSION } from '../version.ts';
import { CLOSED, type Hearer, isRedirect, type Request } from './http-answer.ts';

/** What all connections are read into: whoever is called with it has taken what he needs when he returns. */
const READ_BYTES = 64 * 1024;
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
/** As many as a host asks at one moment; a connection more is made anew. */
const MOST_LINES = 64;
const SWITCHING = 101;
const FINAL = 200;
const NOT_HTTP = Object.assign(new Error('not HTTP'), { code: 'HPE_INVALID' });

/** Closed, and as good as new. */
const free: Line[] = [];

export function askPlain(request: Request, hearer: Hearer): () => void {
  const line = free.pop() ?? new Line();
  line.ask(request, hearer);
  return () => line.breakOff();
}

/**
 * One connection after another. INVARIANT: it is free from when its socket has told that it is closed, not before; and
 * never after a name was asked for: Node connects with the answer to a look-up that was given up, if the socket is
 * connecting again by then.
 */
class Line {
  readonly #socket: net.Socket;
  readonly #parser = new MessageParser('response');
  #hearer: Hearer | undefined;
  #text = '';
  #isNamed = false;

  constructor() {
    const callback = (bytes: number) => {
      this.#read(buffer.subarray(0, bytes));
      return true;
    };
    const reading: net.ConnectOpts = { onread: { buffer, callback } };
    this.#socket = new net.Socket(reading as object); // its types know it of `connect` alone
    this.#socket.on('connect', () => this.#socket.write(this.#text, 'latin1'));
    this.#socket.on('error', (error) => this.#hearer?.fail(error));
    this.#socket.on('end', () => this.#finish());
    this.#socket.on('close', () => this.#closed());
  }

  ask(request: Request, hearer: Hearer): void {
    this.#text = textOf(request);
    this.#isNamed = net.isIP(request.host) === 0;
    this.#socket.connect({ host: request.host, port: request.port });
    this.#hearer = hearer;
  }

  breakOff(): void {
    this.#hearer = undefined;
    this.#socket.destroy();
  }

  #closed(): void {
    this.#hearer?.fail(CLOSED);
    this.#parser.next();
    if (free.length < MOST_LINES && !this.#isNamed) free.push(this);
    else this.#parser.free();
  }

  #read(bytes: Buffer): void {
    for (let rest: Buffer | undefined = bytes; rest !== undefined && this.#hearer !== undefined; ) {
      this.#parser.execute(rest);
      rest = this.#parser.rest;
      this.#heard(this.#hearer);
    }
  }

  /** The end of the connection may be that of the body. */
  #finish(): void {
    if (this.#hearer === undefined) return;
    this.#parser.finish();
    this.#heard(this.#hearer);
  }

  #heard(hearer: Hearer): void {
    const { head, failed, done } = this.#parser;
    if (failed && head === undefined) hearer.fail(NOT_HTTP);
    else if (head !== undefined && !isInterim(head.status)) this.#pass(hearer, head);
    else if (done) this.#parser.next();
  }

  #pass(hearer: Hearer, head: MessageHead): void {
    const { bytes, spans, headCame, failed, done } = this.#parser;
    if (headCame) hearer.head(head.status, locationOf(head));
    for (let at = 0; at < spans.length; at += 2) hearer.body(bytes.subarray(spans[at], spans[at + 1]));
    if (failed) hearer.fail(NOT_HTTP);
    else if (done || head.status === SWITCHING) hearer.told();
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
