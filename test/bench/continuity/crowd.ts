/**
 * Thousands of open connections, half WebSockets, half raw TCP, half of those led by the kernel where it can, opened once and never again. Each proves every few
 * seconds that it lives: what it says must come back from the same release, unchanged and in time. Otherwise it is cut.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { type Cleanup, until } from '../../ground/harness.ts';
import type { Place } from '../../ground/requests.ts';

const ROUND_MS = 5_000;
const TICK_MS = 50;
/** An echo that is not there by then never comes. */
const ECHO_MS = 30_000;
const OPEN_MS = 30_000;
const AT_ONCE = 50;
const KEPT_REASONS = 5;

export interface Round {
  readonly alive: number;
  readonly cut: number;
  /** Of those that are cut, those that the kernel led. */
  readonly cutLed: number;
  /** The slowest echo since the round before. */
  readonly slowestMs: number;
}

export class Crowd {
  /** Why the first ones were cut. */
  readonly reasons: string[] = [];
  readonly #members: Member[] = [];
  #cut = 0;
  #led = 0;
  #cutLed = 0;
  #slowestMs = 0;
  #next = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(t: Cleanup) {
    t.after(() => this.close());
  }

  get size(): number {
    return this.#members.length;
  }

  /** Throws when one cannot be opened. */
  async open({ http, tcp, led, count }: Places & { readonly count: number }): Promise<void> {
    const turns = [openSocket, openSocket, openLines, openLines];
    const places = [http, http, tcp, led ?? tcp];
    let left = count;
    const opening = async () => {
      while (left > 0) {
        const turn = --left % turns.length;
        const isLed = led !== undefined && places[turn] === led;
        const open = turns[turn] ?? openLines;
        if (isLed) this.#led += 1;
        this.#members.push(await open(places[turn] ?? tcp, isLed ? this.#seenLed : this.#seen));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, opening));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** How many the kernel leads. */
  get led(): number {
    return this.#led;
  }

  /** How many each container holds, as it told when they were opened. */
  holders(): ReadonlyMap<string, number> {
    const held = new Map<string, number>();
    for (const { container } of this.#members) held.set(container, (held.get(container) ?? 0) + 1);
    return held;
  }

  /** Resolves once every connection that is not cut has answered what it was asked from now on. */
  async round(): Promise<Round> {
    const from = performance.now();
    const proven = () => this.#members.every((member) => member.isCut || member.provenAt > from);
    await until(proven, { timeoutMs: ROUND_MS + 2 * ECHO_MS, what: 'an answer on every connection' });
    const slowestMs = this.#slowestMs;
    this.#slowestMs = 0;
    return { alive: this.size - this.#cut, cut: this.#cut, cutLed: this.#cutLed, slowestMs };
  }

  close(): void {
    clearInterval(this.#timer);
    for (const member of this.#members) member.close();
  }

  /** Their turns are spread evenly over a round. */
  #tick(): void {
    const now = performance.now();
    const due = Math.ceil((this.size * TICK_MS) / ROUND_MS);
    for (let i = 0; i < due; i++) this.#members[this.#next++ % this.size]?.ask(now);
  }

  readonly #seen: Seen = {
    cut: (reason) => {
      this.#cut += 1;
      if (this.reasons.length < KEPT_REASONS) this.reasons.push(reason);
    },
    echo: (tookMs) => {
      this.#slowestMs = Math.max(this.#slowestMs, tookMs);
    },
  };

  readonly #seenLed: Seen = {
    cut: (reason) => {
      this.#cutLed += 1;
      this.#seen.cut(`led by the kernel: ${reason}`);
    },
    echo: (tookMs) => this.#seen.echo(tookMs),
  };
}

export interface Places {
  readonly http: Place;
  readonly tcp: Place;
  /** Of raw TCP, led by the kernel. */
  readonly led: Place | undefined;
}

interface Seen {
  cut(reason: string): void;
  echo(tookMs: number): void;
}

class Member {
  readonly container: string;
  isCut = false;
  /** When what was last answered was asked. */
  provenAt = 0;
  readonly #name: string;
  readonly #seen: Seen;
  readonly #send: (text: string) => void;
  readonly #end: () => void;
  #number = 0;
  #expected: string | undefined;
  #askedAt = 0;
  #closing = false;

  constructor(name: string, container: string, seen: Seen, send: (text: string) => void, end: () => void) {
    this.container = container;
    this.#name = name;
    this.#seen = seen;
    this.#send = send;
    this.#end = end;
  }

  ask(now: number): void {
    if (this.isCut) return;
    if (this.#expected !== undefined) {
      if (now - this.#askedAt > ECHO_MS) this.cut(`no echo within ${ECHO_MS} ms`);
      return;
    }
    this.#number += 1;
    this.#expected = `${this.#number}`;
    this.#askedAt = now;
    this.#send(this.#expected);
  }

  heard(text: string): void {
    if (text === this.#expected) {
      this.#expected = undefined;
      this.provenAt = this.#askedAt;
      this.#seen.echo(performance.now() - this.#askedAt);
    } else this.cut(`${text} came where ${this.#expected} was due`);
  }

  cut(reason: unknown): void {
    if (this.isCut || this.#closing) return;
    this.isCut = true;
    this.#seen.cut(`${this.#name} at ${new Date().toISOString()}: ${String(reason)}`);
  }

  close(): void {
    this.#closing = true;
    this.#end();
  }
}

/** The first message tells the container. */
function openSocket({ host, port }: Place, seen: Seen): Promise<Member> {
  return new Promise((resolve, reject) => {
    const options = { perMessageDeflate: false, handshakeTimeout: OPEN_MS };
    const socket = new WebSocket(`ws://${host}:${port}/ws`, options);
    let member: Member | undefined;
    const failed = (reason: Error) => (member === undefined ? reject(reason) : member.cut(reason));
    socket.on('error', failed).on('close', (code) => failed(new Error(`closed with ${code}`)));
    socket.on('message', (data) => {
      const text = String(data);
      if (member !== undefined) return member.heard(text);
      const { hostname } = JSON.parse(text) as { hostname: string };
      const end = () => socket.terminate();
      member = new Member('WebSocket', hostname, seen, (said) => socket.send(said), end);
      resolve(member);
    });
  });
}

/** The first line is `VERSION hello CONTAINER`, any other the version and what was said. */
function openLines(place: Place, seen: Seen): Promise<Member> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...place, noDelay: true });
    let member: Member | undefined;
    let release = '';
    const failed = (reason: Error) => (member === undefined ? reject(reason) : member.cut(reason));
    socket.setTimeout(OPEN_MS, () => failed(new Error('no word in time')));
    socket.on('error', failed).on('close', () => failed(new Error('closed')));
    createInterface({ input: socket })
      .on('error', failed)
      .on('line', (line) => {
        const [version = '', text = '', container = ''] = line.split(' ');
        if (member !== undefined) return member.heard(version === release ? text : line);
        release = version;
        socket.setTimeout(0);
        member = new Member(
          'TCP',
          container,
          seen,
          (said) => void socket.write(`${said}\n`),
          () => socket.destroy(),
        );
        resolve(member);
      });
  });
}
