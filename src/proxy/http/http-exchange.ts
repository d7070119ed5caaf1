/**
 * One http request on its way to a backend and its response on the way back. Retries only what
 * cannot have been acted upon: a dial that failed, or a request safe to repeat of which no byte
 * of an answer came.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Dispatch, type DispatchOutcome } from '../backends/dispatch.ts';
import type { Carrier, Hold } from '../backends/hold.ts';
import type { TrafficTally } from '../backends/traffic.ts';
import { isReset, readOn } from './broken-off.ts';
import { EventBoundaries, isEventStream } from './event-stream.ts';
import { type ExchangeEvents, forward, relay, relayInterim } from './hardening.ts';
import { hasBody, isReplayable, keepAliveHintMs, requestHeaders } from './headers.ts';
import type { HttpClient, HttpEntrance, Work } from './http-client.ts';
import { IDLE_UPSTREAM_MS } from './idle-pool.ts';
import { linger } from './linger.ts';
import { StoppablePipe } from './stoppable.ts';

/** Kept shorter than the backend says, for the time a request is on its way. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

export class HttpExchange implements Work, DispatchOutcome, Carrier {
  readonly #entrance: HttpEntrance;
  readonly #client: HttpClient;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #dispatch: Dispatch;
  readonly #replayable: boolean;
  readonly #headers: IncomingMessage['headers'];
  readonly #since = performance.now();
  /** Where it is counted, once. */
  #traffic: TrafficTally;
  #counted = false;
  #upstream: ClientRequest | undefined;
  #answered = false;
  /** The backend has said everything. */
  #whole = false;
  /** Ended from here before it was whole. */
  #left = false;
  #retried = false;
  #over = false;

  constructor(entrance: HttpEntrance, client: HttpClient, req: IncomingMessage, res: ServerResponse) {
    this.#entrance = entrance;
    this.#traffic = entrance.unserved;
    this.#client = client;
    this.#req = req;
    this.#res = res;
    this.#replayable = isReplayable(req);
    this.#headers = requestHeaders(req);
    this.#dispatch = new Dispatch(entrance, 'request', req.socket, this);
  }

  start(): void {
    this.#client.begin(this);
    this.#mayLinger();
    this.#res.once('close', () => this.#responseClosed());
    this.#dispatch.next(this.#replayable);
  }

  /** Node's server closes the connection of its last answer by this. */
  #mayLinger(): void {
    const { socket } = this.#req;
    if (!hasBody(this.#req)) return;
    socket.destroySoon = () => {
      Reflect.deleteProperty(socket, 'destroySoon');
      if (this.#req.complete) socket.destroySoon();
      else linger(socket);
    };
  }

  found(socket: Socket, hold: Hold, reused: boolean): void {
    hold.carriedBy(this);
    this.#traffic = hold.backend.traffic;
    if (hasBody(this.#req)) readOn(socket);
    let current: ClientRequest | undefined;
    const events: ExchangeEvents = {
      request: (upstream) => {
        current = upstream;
        this.#watch(upstream, socket, hold);
      },
      failed: (error) => {
        if (current === this.#upstream) this.#failed(error, hold, reused);
      },
    };
    forward(this.#req, this.#res, { socket, headers: this.#headers }, events);
  }

  notFound(dialled: number): void {
    this.#traffic = this.#entrance.unserved;
    if (dialled === 0) this.#answer(503, 'No server is ready for this request.\n', { 'Retry-After': '1' });
    else this.#answer(502, 'No server could be reached for this request.\n');
  }

  /** The client is gone: nobody waits for the answer. */
  abort(): void {
    if (this.#over) return;
    this.#upstream?.destroy();
    this.#finish();
  }

  #watch(upstream: ClientRequest, socket: Socket, hold: Hold): void {
    this.#upstream = upstream;
    let keepMs = IDLE_UPSTREAM_MS;
    upstream.on('information', ({ statusCode, headers }) => relayInterim(statusCode, headers, this.#res));
    upstream.once('response', (from) => {
      keepMs = Math.min(keepMs, (keepAliveHintMs(from) ?? Number.POSITIVE_INFINITY) - KEEP_ALIVE_MARGIN_MS);
      from.once('end', () => {
        this.#whole = true;
        keepDraining(upstream, socket);
      });
      if (!isFramed(from)) this.#watchEnd(from, socket, hold);
      this.#respond(from, hold);
    });
    upstream.once('close', () => this.#upstreamClosed(upstream));
    socket.once('free', () => hold.backend.keepIdle(socket, keepMs));
  }

  /** Of an answer that is whole when its connection ends. */
  #watchEnd(from: IncomingMessage, socket: Socket, hold: Hold): void {
    const ended = () => {
      if (isReset(socket)) this.#cut(hold);
    };
    socket.prependOnceListener('end', ended);
    from.once('end', () => socket.removeListener('end', ended));
  }

  #respond(from: IncomingMessage, hold: Hold): void {
    if (this.#over) return;
    this.#answered = true;
    hold.answer?.began(from.statusCode ?? 502);
    this.#count(from.statusCode ?? 502);
    // Half an answer must not look like a whole one.
    from.once('error', () => {
      if (!this.#left) this.#cut(hold);
    });
    try {
      relay(from, this.#res, this.#entrance.retiring || hold.backend.dismissing);
    } catch {
      return void this.#cut(hold);
    }
    const closeSpreadMs = hold.backend.leave?.closeSpreadMs ?? 0;
    if (closeSpreadMs > 0 && isEventStream(from)) this.#mayLeave(from, hold);
  }

  #mayLeave(from: IncomingMessage, hold: Hold): void {
    const pipe = new StoppablePipe(from, this.#res, new EventBoundaries());
    hold.carriedBy({ end: () => this.end(), ask: () => pipe.stop(() => this.#leave()) });
  }

  /** The response is whole as it is, and the client asks again for its next events. The backend sees its client go. */
  #leave(): void {
    const upstream = this.#upstream;
    this.#left = true;
    this.#upstream = undefined;
    this.#res.end();
    this.#discardBody();
    upstream?.destroy();
  }

  /** From here, and no fault of the backend's. */
  end(): void {
    if (this.#over) return;
    const upstream = this.#upstream;
    this.#left = true;
    if (this.#answered) this.#closeClient();
    else this.#answer(504, 'This request was ended before it was answered.\n');
    upstream?.destroy();
  }

  #failed(error: Error, hold: Hold, reused: boolean): void {
    if (this.#over) return;
    this.#upstream?.destroy();
    if (this.#whole) return void this.#discardBody();
    if (this.#answered) return void this.#cut(hold);
    if (this.#replayable && (reused || !this.#retried)) return void this.#again(hold, reused);
    hold.answer?.broke();
    if (!reused) this.#entrance.reached(hold.backend, error);
    this.#answer(502, 'The server closed the connection without an answer.\n');
  }

  /** A reused connection may have been closed by the backend as the request left: that says nothing about the backend. */
  #again(hold: Hold, reused: boolean): void {
    if (!reused) {
      hold.answer?.broke();
      this.#retried = true;
      this.#dispatch.avoid(hold.backend);
    }
    this.#upstream = undefined;
    this.#dispatch.cancel();
    this.#dispatch.next(false);
  }

  #answer(status: number, text: string, headers: Record<string, string> = {}): void {
    if (this.#over) return;
    this.#upstream = undefined;
    this.#dispatch.cancel();
    this.#count(status);
    if (this.#entrance.retiring) this.#res.setHeader('Connection', 'close');
    this.#res.writeHead(status, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(text),
      ...headers,
    });
    this.#res.end(text);
    this.#discardBody();
  }

  #count(status: number): void {
    if (this.#counted) return;
    this.#counted = true;
    this.#traffic.answered(status, performance.now() - this.#since);
  }

  #cut(hold: Hold): void {
    if (!this.#over) hold.answer?.broke();
    this.#upstream?.destroy();
    this.#closeClient();
  }

  /** A reset where only the end of the connection ends the body, else the client could not tell. */
  #closeClient(): void {
    if (this.#req.httpVersion === '1.0') this.#req.socket.resetAndDestroy();
    else this.#req.socket.destroy();
  }

  #responseClosed(): void {
    if (!this.#res.writableFinished) return void this.abort();
    if (this.#upstream === undefined) this.#finish();
  }

  #upstreamClosed(upstream: ClientRequest): void {
    if (upstream !== this.#upstream) return;
    this.#upstream = undefined;
    this.#discardBody();
    if (this.#res.writableFinished) this.#finish();
  }

  /** Nobody takes the rest of an upload any more; left unread it would block the client's connection. */
  #discardBody(): void {
    if (this.#req.complete) return;
    this.#req.unpipe();
    this.#req.resume();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#counted) this.#traffic.left();
    this.#dispatch.cancel();
    this.#client.end(this);
  }
}

/** Whether it says itself where it ends. */
function isFramed({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** Node stops telling a request about its socket once the answer is whole, even if the upload is not. */
function keepDraining(upstream: ClientRequest, socket: Socket): void {
  if (upstream.writableFinished) return;
  const drained = () => void upstream.emit('drain');
  socket.on('drain', drained);
  upstream.once('close', () => socket.removeListener('drain', drained));
}
