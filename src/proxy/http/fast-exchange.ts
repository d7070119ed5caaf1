/**
 * One request of a FastClient on its way to a backend and the answer on its way back. The rules are those of
 * HttpExchange: retries only what cannot have been acted upon, holds the backend up to the last byte, and never lets
 * half an answer look like a whole one.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import type { MessageHead, MessageParser } from '../../llhttp.ts';
import type { LiveBackend } from '../backends/backend.ts';
import { Dispatch, type DispatchOutcome } from '../backends/dispatch.ts';
import type { Carrier, Hold } from '../backends/hold.ts';
import type { TrafficTally } from '../backends/traffic.ts';
import type { Outlet } from '../tcp/outlet.ts';
import type { Memory } from '../tcp/read-memory.ts';
import { httpDate } from './date.ts';
import { EventBoundaries } from './event-stream.ts';
import type { FastClient } from './fast-client.ts';
import { END_OF_HEAD, type Framed, framed, LAST_CHUNK, writeFramed } from './framing.ts';
import { interimText, type PlainRequest, plainAnswer, trailerText } from './heads.ts';
import type { HttpEntrance } from './http-client.ts';
import { IDLE_UPSTREAM_MS } from './idle-pool.ts';
import { Upstream, type UpstreamUser } from './upstream.ts';

/** Kept shorter than the backend says, for the time a request is on its way. */
const KEEP_ALIVE_MARGIN_MS = 1_000;
/** Reads of a request's body while there is nobody to send it to: who is not read from cannot be seen to leave. */
const MOST_EARLY_PARTS = 8;
const FIRST_INTERIM = 100;
const FIRST_FINAL = 200;
const SWITCHING_PROTOCOLS = 101;

export class FastExchange implements DispatchOutcome, Carrier, UpstreamUser {
  readonly #entrance: HttpEntrance;
  readonly #client: FastClient;
  readonly #request: PlainRequest;
  readonly #dispatch: Dispatch;
  readonly #since = performance.now();
  /** Where it is counted, once. */
  #traffic: TrafficTally;
  #counted = false;
  /** The last one that was asked for; used from `found` on. */
  #upstream: Upstream | undefined;
  #hold: Hold | undefined;
  #reused = false;
  #retried = false;
  /** Of the request's body, while there is nobody to send it to. */
  #early: Framed[] = [];
  #uploaded = false;
  /** Its head is on its way to the client. */
  #answered = false;
  /** So is its end. */
  #whole = false;
  #chunked = false;
  #close: boolean;
  #keepMs = IDLE_UPSTREAM_MS;
  /** Of an answer that may be ended early. */
  #events: EventBoundaries | undefined;
  #leaving = false;
  #over = false;

  constructor(entrance: HttpEntrance, client: FastClient, request: PlainRequest) {
    this.#entrance = entrance;
    this.#traffic = entrance.unserved;
    this.#client = client;
    this.#request = request;
    this.#close = request.close;
    this.#dispatch = new Dispatch(entrance, 'request', client.socket, this);
  }

  get answered(): boolean {
    return this.#answered;
  }

  start(): void {
    this.#dispatch.next(this.#request.replayable);
  }

  idle(backend: LiveBackend, containerPort: number): Socket | undefined {
    this.#upstream = backend.takeUpstream(containerPort);
    return this.#upstream?.socket;
  }

  dial(options: TcpNetConnectOpts): Socket {
    this.#upstream = new Upstream(options);
    return this.#upstream.socket;
  }

  found(socket: Socket, hold: Hold, reused: boolean): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return void socket.destroy();
    hold.carriedBy(this);
    this.#traffic = hold.backend.traffic;
    this.#hold = hold;
    this.#reused = reused;
    if (this.#request.body !== 'none') upstream.readOn();
    upstream.user = this;
    upstream.parser.next();
    upstream.parser.noBody = this.#request.method === 'HEAD';
    upstream.outlet.text(this.#request.text);
    if (this.#early.length > 0) this.#sendEarly(upstream.outlet);
  }

  notFound(dialled: number): void {
    this.#traffic = this.#entrance.unserved;
    this.#upstream = undefined;
    if (dialled === 0) this.#answer(503, 'No server is ready for this request.\n', 'Retry-After: 1\r\n');
    else this.#answer(502, 'No server could be reached for this request.\n');
  }

  /** The client is gone: nobody waits for the answer. */
  abort(): void {
    if (this.#over) return;
    this.#drop();
    this.#finish();
  }

  /** Parts of the request's body, and its end. */
  upload(parser: MessageParser, memory: Memory | undefined): void {
    const { body, hasTrailers } = this.#request;
    this.#uploaded = parser.done;
    if (body !== 'none' && !this.#over) {
      const chunked = body === 'chunked';
      const trailers = hasTrailers ? trailerText(parser.trailers) : '';
      const after = chunked && parser.done ? `${LAST_CHUNK}${trailers}\r\n` : '';
      const { bytes, spans } = parser;
      const owned = memory !== undefined && this.#hold !== undefined;
      this.#send(framed('', { bytes, spans, chunked, owned }, after), owned ? memory : undefined);
    }
    if (this.#uploaded && this.#whole) this.#answerEnded();
  }

  #send(part: Framed, memory: Memory | undefined): void {
    if (part.length === 0) return;
    if (this.#hold === undefined) {
      if (this.#early.push(part) >= MOST_EARLY_PARTS) this.#client.holdBack();
      return;
    }
    const upstream = this.#upstream;
    if (upstream !== undefined && !writeFramed(upstream.outlet, part, memory)) this.#client.holdBack();
  }

  #sendEarly(outlet: Outlet): void {
    let goesOn = true;
    for (const part of this.#early.splice(0)) goesOn = writeFramed(outlet, part, undefined);
    if (goesOn) this.#client.goOn();
  }

  /** The backend takes more of the request. */
  drained(): void {
    this.#client.goOn();
  }

  /** The client takes more of the answer. */
  clientDrained(): void {
    if (this.#whole) this.#settle();
    else this.#upstream?.goOn();
  }

  received(given: Buffer, memory: Memory | undefined): boolean {
    for (let bytes: Buffer | undefined = given; bytes !== undefined; ) {
      const parser = this.#upstream?.parser;
      if (parser === undefined || this.#whole) return this.#unexpected();
      parser.execute(bytes);
      if (parser.failed) return this.#broken();
      if (parser.head === undefined) break;
      if (parser.head.status >= FIRST_FINAL) return this.#relay(parser, parser.head, memory);
      bytes = parser.rest;
      if (!this.#relayInterim(parser, parser.head)) return this.#broken();
    }
    return this.#client.outlet.isClear;
  }

  /** An interim answer has no body, and another one after it. */
  #relayInterim(parser: MessageParser, head: MessageHead): boolean {
    const text = interimText(head);
    if (text !== '') this.#client.write(text);
    if (parser.done) parser.next();
    return head.status >= FIRST_INTERIM && head.status !== SWITCHING_PROTOCOLS;
  }

  /** false: the client takes no more for now. */
  #relay(parser: MessageParser, head: MessageHead, memory: Memory | undefined): boolean {
    const before = parser.headCame ? this.#answerHead(head) : '';
    const { bytes, spans, done } = parser;
    const leaves = this.#events !== undefined && this.#seeEvents(this.#events, bytes, spans);
    const ends = done || leaves;
    const after = ends && this.#chunked ? `${LAST_CHUNK}${trailerText(parser.trailers)}\r\n` : '';
    const owned = memory !== undefined;
    const data = framed(before, { bytes, spans, chunked: this.#chunked, owned }, after);
    const goesOn = writeFramed(this.#client.outlet, data, memory);
    if (!ends) return goesOn;
    if (done) this.#answerCame(parser);
    else this.#leave();
    return true;
  }

  #answerHead(head: MessageHead): string {
    const hold = this.#hold;
    const { status } = head;
    this.#answered = true;
    hold?.answer?.began(status);
    this.#count(status);
    const answer = plainAnswer(head);
    this.#keepMs = Math.min(this.#keepMs, answer.keepMs - KEEP_ALIVE_MARGIN_MS);
    this.#close ||= this.#entrance.retiring || hold?.backend.dismissing === true;
    this.#chunked = !answer.hasLength && this.#request.method !== 'HEAD' && status !== 204 && status !== 304;
    if (answer.eventStream && this.#chunked) this.#mayLeave();
    const date = answer.hasDate ? '' : httpDate();
    const chunks = this.#chunked ? 'Transfer-Encoding: chunked\r\n' : '';
    return `${answer.text}${date}${this.#connection()}${chunks}${END_OF_HEAD}`;
  }

  #connection(): string {
    if (this.#close) return 'Connection: close\r\n';
    return this.#client.terms.keepAliveText;
  }

  /** From the backend, whole. */
  #answerCame(parser: MessageParser): void {
    this.#whole = true;
    const isOver = this.#close && !this.#uploaded;
    if (isOver || parser.rest !== undefined || !keepsAlive(parser, this.#request)) this.#drop();
    this.#answerEnded();
  }

  /** Lets go of the backend once the client has everything and the backend has, or nobody takes it any more. */
  #answerEnded(): void {
    if (this.#over) return;
    const upstream = this.#upstream;
    if (upstream !== undefined && this.#uploaded) {
      this.#upstream = undefined;
      this.#hold?.backend.keepUpstream(upstream, this.#keepMs);
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#over || this.#upstream !== undefined) return;
    const { socket, outlet } = this.#client;
    if (this.#close) this.#client.close();
    if (outlet.isClear || socket.destroyed) return void this.#finish();
    // Most of what is written is sent in that instant.
    if (!this.#close) outlet.tellWhenClear();
  }

  /** The backend ended its connection, or it broke. */
  lost(ended: boolean, error: Error | undefined): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (this.#over || upstream === undefined) return;
    if (this.#whole) return void this.#settle();
    const { parser } = upstream;
    if (ended && parser.head !== undefined && !parser.failed) parser.finish();
    if (!parser.done) return void this.#failed(error ?? new Error('the server closed the connection'));
    if (this.#chunked) this.#client.write(`${LAST_CHUNK}\r\n`);
    this.#whole = true;
    this.#settle();
  }

  /** What cannot be read as an answer. */
  #broken(): boolean {
    this.#drop();
    this.#failed(new Error('the server does not speak HTTP'));
    return true;
  }

  /** More than an answer: the connection cannot be used again. */
  #unexpected(): boolean {
    this.#drop();
    if (!this.#over) this.#answerEnded();
    return true;
  }

  #failed(error: Error): void {
    if (this.#over) return;
    const hold = this.#hold;
    const reused = this.#reused;
    if (this.#answered) return void this.#cut();
    if (this.#request.replayable && (reused || !this.#retried)) return void this.#again();
    hold?.answer?.broke();
    if (!reused && hold !== undefined) this.#entrance.reached(hold.backend, error);
    this.#answer(502, 'The server closed the connection without an answer.\n');
  }

  /** A reused connection may have been closed by the backend as the request left: that says nothing about the backend. */
  #again(): void {
    const hold = this.#hold;
    if (!this.#reused && hold !== undefined) {
      hold.answer?.broke();
      this.#retried = true;
      this.#dispatch.avoid(hold.backend);
    }
    this.#drop();
    this.#hold = undefined;
    this.#dispatch.cancel();
    this.#dispatch.next(false);
  }

  #cut(): void {
    this.#hold?.answer?.broke();
    this.#drop();
    this.#client.socket.destroy();
  }

  #answer(status: number, text: string, more = ''): void {
    if (this.#over) return;
    this.#drop();
    this.#dispatch.cancel();
    this.#count(status);
    this.#close ||= this.#entrance.retiring;
    this.#answered = this.#whole = true;
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n`;
    const length = `Content-Length: ${text.length}\r\n${more}${httpDate()}${this.#connection()}\r\n`;
    this.#client.write(`${head}${length}${this.#request.method === 'HEAD' ? '' : text}`);
    this.#settle();
  }

  #mayLeave(): void {
    const hold = this.#hold;
    if (hold === undefined || (hold.backend.leave?.closeSpreadMs ?? 0) === 0) return;
    this.#events = new EventBoundaries();
    hold.carriedBy({ end: () => this.end(), ask: () => this.#ask() });
  }

  #ask(): void {
    this.#leaving = true;
    if (this.#whole || this.#events?.atBoundary !== true) return;
    this.#client.write(`${LAST_CHUNK}\r\n`);
    this.#leave();
  }

  /** true: it leaves, and what is after the event is taken out of the spans. */
  #seeEvents(events: EventBoundaries, bytes: Buffer, spans: number[]): boolean {
    for (let at = 0; at + 1 < spans.length; at += 2) {
      const part = bytes.subarray(spans[at], spans[at + 1]);
      for (let seen = 0; seen < part.length; ) {
        seen = events.advance(part, seen);
        if (!this.#leaving || !events.atBoundary) continue;
        spans.length = at + 2;
        spans[at + 1] = (spans[at] ?? 0) + seen;
        return true;
      }
    }
    return false;
  }

  /** The answer is whole as it is, and the client asks again for its next events. The backend sees its client go. */
  #leave(): void {
    this.#whole = true;
    this.#drop();
    this.#settle();
  }

  /** From here, and no fault of the backend's. */
  end(): void {
    if (this.#over) return;
    if (!this.#answered) return void this.#answer(504, 'This request was ended before it was answered.\n');
    this.#drop();
    this.#client.socket.destroy();
  }

  #count(status: number): void {
    if (this.#counted) return;
    this.#counted = true;
    this.#traffic.answered(status, performance.now() - this.#since);
  }

  /** Nobody takes the rest of an upload any more; left unread it would block the client's connection. */
  #drop(): void {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream === undefined) return;
    upstream.user = undefined;
    upstream.socket.destroy();
    if (!this.#uploaded) this.#client.goOn();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#counted) this.#traffic.left();
    this.#dispatch.cancel();
    this.#client.finished();
  }
}

function keepsAlive(parser: MessageParser, request: PlainRequest): boolean {
  // llhttp takes the end of an answer to HEAD for that of the connection.
  return (
    parser.keepAlive || (request.method === 'HEAD' && parser.head?.version === 11 && !saysClose(parser.head))
  );
}

function saysClose({ fields }: MessageHead): boolean {
  return fields.some(
    (value, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === 'connection' && /close/i.test(value),
  );
}
