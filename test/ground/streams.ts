/**
 * Clients with one long connection: server-sent events, a WebSocket, a raw TCP stream. Opened once and never
 * again: an end that the test did not ask for is a cut, and is counted as failed.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { until } from './harness.ts';
import type { Place, Source } from './requests.ts';
import { Tally } from './tally.ts';

const OPEN_TIMEOUT_MS = 10_000;
const ECHO_TIMEOUT_MS = 10_000;
/** Between two messages of a stream. */
const TICK_MS = 100;

/** A source whose connection the test can watch. */
export interface Stream extends Source {
  /** Epoch milliseconds of an end nobody asked for; undefined while it is whole. */
  readonly cutAt: number | undefined;
}

/** Resolves once the first event is in. Every event must be the next in number. */
export async function openEvents(place: Place, tickMs = TICK_MS): Promise<Stream> {
  const watch = new Watch('events');
  const call = request({ ...place, path: `/events?every=${tickMs}`, agent: false });
  call.once('response', (answer) => {
    watch.container = String(answer.headers['x-container'] ?? '');
    if (answer.statusCode !== 200) watch.cut(new Error(`answered ${answer.statusCode}`));
    createInterface({ input: answer })
      .on('line', (line) => watch.event(line))
      .on('error', (error: Error) => watch.cut(error))
      .on('close', () => watch.cut('the event stream ended'));
    answer.on('error', (error) => watch.cut(error));
  });
  call.on('error', (error) => watch.cut(error));
  call.end();
  return watch.opened(async () => void call.destroy());
}

/** Resolves once the application has said its version; from then on echoes a message every tick. */
export async function openWebSocket(place: Place, tickMs = TICK_MS): Promise<Stream> {
  const watch = new Watch('websocket', tickMs);
  const socket = new WebSocket(`ws://${place.host}:${place.port}/ws`, { handshakeTimeout: OPEN_TIMEOUT_MS });
  socket.on('message', (data) => {
    const text = String(data);
    if (text.startsWith('{')) {
      const { version, hostname } = JSON.parse(text) as { version: string; hostname: string };
      watch.container = hostname;
      watch.hello(version, (message) => socket.send(message));
    } else watch.echo(watch.version, text);
  });
  socket.on('error', (error) => watch.cut(error));
  socket.on('close', (code) => watch.cut(`the WebSocket was closed with ${code}`));
  return watch.opened(async () => {
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close();
    await closed;
  });
}

/** Resolves once the application has said hello; from then on echoes a line every tick. */
export async function openTcp(place: Place, tickMs = TICK_MS): Promise<Stream> {
  const watch = new Watch('tcp', tickMs);
  const socket = connect(place);
  const lines = createInterface({ input: socket });
  lines.on('error', (error: Error) => watch.cut(error));
  lines.on('line', (line) => {
    const [version = '', text = '', container = ''] = line.split(' ');
    if (text === 'hello') {
      watch.container = container;
      watch.hello(version, (message) => void socket.write(`${message}\n`));
    } else watch.echo(version, text);
  });
  socket.on('error', (error) => watch.cut(error));
  socket.on('close', () => watch.cut('the TCP connection was closed'));
  return watch.opened(async () => {
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.end();
    await closed;
  });
}

/** What all three have in common: the count, the expected next message, and the difference of end and cut. */
class Watch {
  readonly tally: Tally;
  version = '';
  /** That answers; '': none has said so. */
  container = '';
  private readonly tickMs: number;
  private readonly since = Date.now();
  private cutAt: number | undefined;
  private closing = false;
  private number = 0;
  private expected: string | undefined;
  private sentAt = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(name: string, tickMs = TICK_MS) {
    this.tally = new Tally(name);
    this.tickMs = tickMs;
  }

  event(line: string): void {
    if (!line.startsWith('data: ') || this.closing) return;
    const { version, number } = JSON.parse(line.slice('data: '.length));
    this.number += 1;
    this.tally.sent += 1;
    if (number === this.number) this.tally.answered(version);
    else this.fail(new Error(`event ${number} came where ${this.number} was due`));
  }

  hello(version: string, send: (message: string) => void): void {
    this.version = version;
    this.say(send);
    this.timer = setInterval(() => this.say(send), this.tickMs);
  }

  echo(version: string, text: string): void {
    if (text === this.expected) this.tally.answered(version);
    else this.fail(new Error(`${text} came back where ${this.expected} was due`));
    this.expected = undefined;
  }

  cut(reason: unknown): void {
    if (this.closing || this.cutAt !== undefined) return;
    this.cutAt = Date.now();
    clearInterval(this.timer);
    this.fail(reason);
  }

  private fail(reason: unknown): void {
    this.tally.fail(reason, this.since, this.container || undefined);
  }

  async opened(end: () => Promise<void>): Promise<Stream> {
    const { tally } = this;
    const what = `the first answer on ${tally.name}`;
    await until(() => tally.ok + tally.failed > 0, { timeoutMs: OPEN_TIMEOUT_MS, what }).catch((error) => {
      this.cut(error);
      this.closing = true;
      void end();
    });
    const cutAt = () => this.cutAt;
    return {
      tally,
      stop: () => this.stop(end),
      get cutAt() {
        return cutAt();
      },
    };
  }

  /** The last echo is awaited, so that after an orderly end sent = ok + failed. */
  private async stop(end: () => Promise<void>): Promise<void> {
    clearInterval(this.timer);
    if (this.closing || this.cutAt !== undefined) return;
    const settled = () => this.expected === undefined || this.cutAt !== undefined;
    await until(settled, { timeoutMs: ECHO_TIMEOUT_MS, what: `the last echo on ${this.tally.name}` }).catch(
      (error) => this.fail(error),
    );
    this.closing = true;
    if (this.cutAt === undefined) await end();
  }

  private say(send: (message: string) => void): void {
    if (this.expected !== undefined) {
      this.complainWhenLate();
      return;
    }
    this.number += 1;
    this.expected = `message-${this.number}`;
    this.sentAt = performance.now();
    this.tally.sent += 1;
    send(this.expected);
  }

  private complainWhenLate(): void {
    if (performance.now() - this.sentAt > ECHO_TIMEOUT_MS)
      this.cut(new Error(`no echo of ${this.expected} within ${ECHO_TIMEOUT_MS} ms`));
  }
}
