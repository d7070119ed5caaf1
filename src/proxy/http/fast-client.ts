/**
 * An http client's connection whose requests are carried without a request or response object of Node: heads are parsed
 * once, changed as text and written at once, bodies go by as they come. One request after another; what is sent ahead
 * waits. Whoever asks for something out of the ordinary is declined with every byte of it, before any was answered.
 */
import type { Socket } from 'node:net';
import { MessageParser } from '../../llhttp.ts';
import { Inlet } from '../tcp/inlet.ts';
import { Outlet } from '../tcp/outlet.ts';
import type { Memory } from '../tcp/read-memory.ts';
import { FastExchange } from './fast-exchange.ts';
import { forwardedFor, plainRequest } from './heads.ts';
import type { HttpEntrance } from './http-client.ts';
import { linger } from './linger.ts';

/** A head in more pieces than this is a slow client's: not worth being parsed again with each piece. */
const MAX_HEAD_PIECES = 4;
/** Read of requests sent ahead: who is not read from cannot be seen to leave. */
const MOST_AHEAD_BYTES = 64 * 1024;

export interface FastTerms {
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** What an answer says of its connection's further use. */
  readonly keepAliveText: string;
}

export interface FastHost {
  /** Those in force now. */
  readonly terms: FastTerms;
  /** Somebody else is to read these bytes, and whatever comes after them. */
  declined(client: FastClient, bytes: Buffer): void;
  closed(client: FastClient): void;
}

export class FastClient {
  readonly socket: Socket;
  readonly outlet: Outlet;
  readonly #inlet: Inlet;
  readonly #entrance: HttpEntrance;
  readonly #host: FastHost;
  readonly #parser = new MessageParser('request');
  #forwarded: string | undefined;
  #exchange: FastExchange | undefined;
  /** The request that is parsed is not whole yet. */
  #uploading = false;
  /** Of requests that were sent ahead. */
  #ahead: Buffer | undefined;
  #idleSince = performance.now();
  #fresh = true;
  #closing = false;
  /** It is over but for what is still on its way here. */
  #lingering = false;
  readonly #onEnd = () => this.#ended();
  readonly #onClose = () => this.#closed();

  constructor(socket: Socket, entrance: HttpEntrance, host: FastHost) {
    this.socket = socket;
    this.#entrance = entrance;
    this.#host = host;
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
    socket.on('error', ignoreReset);
    this.outlet = new Outlet(socket, () => this.#exchange?.clientDrained());
    this.#inlet = new Inlet(socket, (bytes, length, memory) => {
      this.#read(bytes.subarray(0, length), memory);
      return true;
    });
  }

  get terms(): FastTerms {
    return this.#host.terms;
  }

  idleMs(now: number): number {
    return this.#exchange !== undefined || this.#uploading ? 0 : now - this.#idleSince;
  }

  /** Once a second: lets go of who sends no head, or no further request. */
  tick(now: number): void {
    const { headersTimeoutMs, keepAliveTimeoutMs } = this.terms;
    const idleMs = this.idleMs(now);
    const awaitsHead = this.#fresh || this.#parser.pieces > 0;
    const limitMs = awaitsHead ? headersTimeoutMs : keepAliveTimeoutMs;
    if (limitMs === 0 || idleMs < limitMs || this.#closing) return;
    if (awaitsHead) this.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
    this.close();
  }

  /** Once everything that was written is sent. */
  close(): void {
    if (this.#lingering) return;
    this.#lingering = this.#uploading && !this.#closing;
    this.#closing = true;
    if (this.#lingering) this.#linger();
    else if (this.outlet.isClear) this.socket.destroy();
    else this.socket.destroySoon();
  }

  /** Silence is told by the stream. */
  #linger(): void {
    this.#inlet.letGo();
    this.socket.on('data', drop);
    linger(this.socket, () => this.#exchange?.clientDrained());
  }

  write(text: string): void {
    this.outlet.text(text);
  }

  holdBack(): void {
    this.#inlet.pause();
  }

  goOn(): void {
    if (!this.#isAheadFull) this.#inlet.goOn();
  }

  /** Called by the exchange, once: the next request may come. */
  finished(): void {
    this.#exchange = undefined;
    this.#idleSince = performance.now();
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead !== undefined) this.#read(ahead, undefined);
    if (this.#inlet.isPaused) this.goOn();
  }

  #read(given: Buffer, memory: Memory | undefined): void {
    let bytes: Buffer | undefined = given;
    while (bytes !== undefined && !this.#closing) {
      if (this.#exchange !== undefined && !this.#uploading) return void this.#keepAhead(bytes);
      const parser = this.#parser;
      parser.execute(bytes);
      if (parser.failed) return void this.#unreadable();
      if (parser.head === undefined) return void this.#awaitHead();
      if (parser.headCame && !this.#begin()) return;
      this.#uploading = !parser.done;
      if (parser.spans.length > 0 || parser.done) this.#exchange?.upload(parser, memory);
      bytes = parser.rest;
      if (parser.done) parser.next();
    }
  }

  /** false: declined. */
  #begin(): boolean {
    const parser = this.#parser;
    const { remoteAddress, localPort } = this.socket;
    this.#forwarded ??= forwardedFor(remoteAddress, localPort);
    const request = parser.head === undefined ? undefined : plainRequest(parser.head, this.#forwarded);
    if (request === undefined) {
      this.#decline();
      return false;
    }
    this.#fresh = false;
    this.#uploading = true;
    this.#exchange = new FastExchange(this.#entrance, this, request);
    this.#exchange.start();
    return true;
  }

  #keepAhead(bytes: Buffer): void {
    this.#ahead = Buffer.concat(this.#ahead === undefined ? [bytes] : [this.#ahead, bytes]);
    if (this.#isAheadFull) this.holdBack();
  }

  get #isAheadFull(): boolean {
    return this.#ahead !== undefined && this.#ahead.length >= MOST_AHEAD_BYTES;
  }

  /** Time runs from the first piece. */
  #awaitHead(): void {
    if (this.#parser.pieces > MAX_HEAD_PIECES) return void this.#decline();
    if (this.#parser.pieces === 1 && !this.#fresh) this.#idleSince = performance.now();
  }

  /** A head that cannot be read is answered by who reads it again. */
  #unreadable(): void {
    if (!this.#uploading) return void this.#decline();
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.answered)
      this.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    this.#uploading = false;
    this.close();
  }

  #decline(): void {
    const { socket } = this;
    const bytes = Buffer.from(this.#parser.bytes);
    this.#inlet.letGo();
    this.outlet.letGo();
    socket.removeListener('end', this.#onEnd);
    socket.removeListener('close', this.#onClose);
    socket.removeListener('error', ignoreReset);
    this.#closing = true;
    this.#parser.free();
    this.#host.declined(this, bytes);
  }

  /** Who has nothing more to say does not wait for an answer either. */
  #ended(): void {
    this.#closing = true;
    this.#exchange?.abort();
    this.socket.destroySoon();
  }

  #closed(): void {
    this.#closing = true;
    this.#exchange?.abort();
    this.#parser.free();
    this.#host.closed(this);
  }
}

function drop(): void {}

/** A client may reset its connection at any time; what it held is let go on 'close'. */
function ignoreReset(): void {}
