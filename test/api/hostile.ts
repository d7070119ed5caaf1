/**
 * Requests that nobody means well, drawn from a seed and made of the API's own routes: wrong types, unknown fields, odd
 * paths and headers, spoilt bytes. And what makes one request look like two, or none.
 */
import { connect, type Socket } from 'node:net';
import type { Route } from '../../src/api/route.ts';
import type { seeded } from '../agent/world.ts';

const ANSWER_MS = 2_000;

const NAMES = ['shop', 'web', 'db', 'run-1', 'h1', 'nightly', '1', 'ci'];
const HOSTILE = [
  ...['..', '%2e%2e', '%2f', '..%2f..%2fetc', 'a%00', '%', '%zz', '%ff', '__proto__', 'constructor', 'a b'],
  ...['%0d%0aset-cookie:x', '%E2%80%AE', 'a'.repeat(400), '-', '*', '?', '#', '%5c', ';', 'a%252fb'],
];
const VALUES: readonly unknown[] = [
  ...[null, 0, -1, 1e300, 1.5, '', 'x', 'shop', '60s', true, [], [null], {}, [[]], ['web'], '__proto__'],
  ...[
    { name: 'web', repo: 'web' },
    { components: [{ name: 'a', repo: 'b' }] },
    'a'.repeat(5_000),
    '\u0000',
    '🚢',
  ],
];
const HEADERS = [
  ...['expect: 100-continue', 'transfer-encoding: chunked', 'content-length: 7', 'content-length: -1'],
  ...[
    'content-encoding: gzip',
    'content-type: text/xml',
    'if-match: "1"',
    'if-match: *',
    'connection: upgrade',
  ],
  ...[
    'upgrade: websocket',
    'expect: 200-ok',
    'x-a: \tb',
    'x-b:',
    'last-event-id: ..',
    'range: bytes=0-',
    'host: other',
    'te: trailers',
  ],
];

type Random = ReturnType<typeof seeded>;

/** Requests of one seed, one after the other. */
export class HostileRequests {
  readonly #random: Random;
  readonly #routes: readonly Route[];
  readonly #tokenFor: (route: Route) => string;

  constructor(random: Random, routes: readonly Route[], tokenFor: (route: Route) => string) {
    this.#random = random;
    this.#routes = routes;
    this.#tokenFor = tokenFor;
  }

  /** The bytes of one request, mostly well formed. */
  request(): Buffer {
    const route = this.#one(this.#routes);
    const method = this.#chance(0.9) ? route.method : this.#one(['GET', 'PUT', 'OPTIONS', 'TRACE', 'BREW']);
    const body = this.#chance(0.8)
      ? JSON.stringify(this.#value(route))
      : this.#one(['', '{', '[1,', '"', '\u0000']);
    const hasBody = route.body !== undefined ? this.#chance(0.9) : this.#chance(0.1);
    const lines = [
      `${method} ${this.#path(route)}${this.#query(route)} HTTP/1.1`,
      'host: 127.0.0.1',
      `authorization: Bearer ${this.#chance(0.97) ? this.#tokenFor(route) : 'gantryd_x_y'}`,
      ...(hasBody ? ['content-type: application/json', `content-length: ${this.#length(body)}`] : []),
      ...(this.#chance(0.15) ? [this.#one(HEADERS)] : []),
    ];
    return this.#spoilt(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${hasBody ? body : ''}`));
  }

  #length(body: string): number {
    const right = Buffer.byteLength(body);
    return this.#chance(0.95) ? right : right + this.#whole(10);
  }

  #path({ path }: Route): string {
    const parts = path.split('/').map((part) => {
      if (!part.startsWith(':')) return this.#chance(0.98) ? part : this.#one(HOSTILE);
      return this.#chance(0.8) ? this.#one(NAMES) : this.#one(HOSTILE);
    });
    return parts.join('/');
  }

  #query({ query = {} }: Route): string {
    if (this.#chance(0.5)) return '';
    const names = [...Object.keys(query), ...(this.#chance(0.1) ? ['x', '__proto__'] : [])];
    const words = names.filter(() => this.#chance(0.4)).map((name) => `${name}=${this.#word(name)}`);
    return words.length === 0 ? '' : `?${words.join('&')}`;
  }

  /** Nothing is waited for: what hangs would be the test's own doing. */
  #word(name: string): string {
    if (name === 'wait') return this.#one(['1ms', '0', 'soon', '-1', '']);
    if (name === 'follow' || name === 'f') return this.#one(['0', 'false', 'maybe']);
    return this.#one([
      '0',
      '1',
      '-1',
      'true',
      '1:0',
      'x',
      '%00',
      '%zz',
      '999999999999',
      'a'.repeat(3_000),
      '',
    ]);
  }

  #value({ body }: Route): unknown {
    if (typeof body !== 'object' || this.#chance(0.15)) return this.#one(VALUES);
    const { properties = {} } = body.schema as { readonly properties?: object };
    const names = [...Object.keys(properties), ...(this.#chance(0.1) ? ['more', '__proto__'] : [])];
    const fields = names.filter(() => this.#chance(0.6)).map((name) => [name, this.#one(VALUES)] as const);
    return Object.fromEntries(fields);
  }

  #spoilt(bytes: Buffer): Buffer {
    if (this.#chance(0.93)) return bytes;
    if (this.#chance(0.5)) return bytes.subarray(0, this.#whole(bytes.length));
    const spoilt = Buffer.from(bytes);
    for (let i = 0; i < 3; i++) spoilt[this.#whole(spoilt.length)] = this.#whole(256);
    return spoilt;
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #whole(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #one<T>(all: readonly T[]): T {
    return all[this.#whole(all.length)] as T;
  }
}

const HIDDEN = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n';

/** By name, each with one more request hidden behind or in it, which is not to be answered. */
export function smuggled(token: string): Readonly<Record<string, string>> {
  const post = (lines: readonly string[], body: string) =>
    [
      'POST /v1/projects/play/update HTTP/1.1',
      ...['host: x', `authorization: Bearer ${token}`, 'content-type: application/json', ...lines],
      ...['', body],
    ].join('\r\n');
  const size = `content-length: ${HIDDEN.length + 5}`;
  const coded = 'transfer-encoding: chunked';
  const ended = `0\r\n\r\n${HIDDEN}`;
  return {
    'length and coding': post([size, coded], ended),
    'coding and length': post([coded, size], ended),
    'two lengths': post(['content-length: 0', size], ended),
    'a list of lengths': post([`content-length: 0, ${HIDDEN.length}`], HIDDEN),
    'the same length twice': post([size, size], ended),
    'a length with a sign': post(['content-length: +0'], HIDDEN),
    'a length in hex': post(['content-length: 0x0'], HIDDEN),
    'a coding that is none': post(['transfer-encoding: xchunked', size], ended),
    'chunked before another': post(['transfer-encoding: chunked, identity'], ended),
    'chunked twice': post([coded, coded], ended),
    'a folded coding': post(['transfer-encoding:', ' chunked', size], ended),
    'a folded header': post(['x-a: b', ' content-length: 0', size], ended),
    'a blank before the colon': post(['transfer-encoding : chunked', size], ended),
    'a blank before the name': post([' transfer-encoding: chunked', size], ended),
    'a bare LF in the head': post([`x-a: b\n${coded}`, size], ended),
    'a bare CR in the head': post([`x-a: b\r${coded}`, size], ended),
    'NUL in a header': post([`x-a: b\u0000`, size], ended),
    'a chunk whose size is none': post([coded], `z\r\n${HIDDEN}`),
    'a chunk that is too long': post([coded], `ffffffffffffffff0\r\n${HIDDEN}`),
    'a chunk with a sign': post([coded], `-1\r\n${HIDDEN}`),
    'a chunk that ends in LF': post([coded], `1\n{\n0\n\n${HIDDEN}`),
    'an endless chunk extension': post([coded], `1;${'a'.repeat(64 * 1024)}\r\n{\r\n${ended}`),
    'too many headers': post([...Array.from({ length: 3_000 }, (_, i) => `x-${i}: 1`), size], ended),
    'a large header': post([`x-a: ${'a'.repeat(64 * 1024)}`, size], ended),
    'a line without a version': `GET /healthz\r\n\r\n${HIDDEN}`,
    'another version': `GET /healthz HTTP/3.0\r\nhost: x\r\n\r\n${HIDDEN}`,
    'no HTTP': `\u0016\u0003\u0001\u0002\u0000${HIDDEN}`,
  };
}

export interface Target {
  /** Default: this machine. */
  readonly host?: string;
  readonly port: number;
}

/** What is answered to the bytes; '': nothing, as to a request that never ends. */
export function answerTo(
  { host = '127.0.0.1', port }: Target,
  send: (socket: Socket) => void,
  answerMs = ANSWER_MS,
): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, host, () => send(socket));
    const timer = setTimeout(() => socket.destroy(), answerMs);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1').slice(0, 1_000);
      if (/\r\n\r\n/.test(text.replace(/^HTTP\/1.1 100 [\s\S]*?\r\n\r\n/, ''))) socket.destroy();
    });
    socket.on('error', () => {}); // of the far end, which may cut what it refuses
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text.replace(/^HTTP\/1.1 100 [\s\S]*?\r\n\r\n/, ''));
    });
  });
}

/** 0: of no answer. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}
