/**
 * Whatever is sent to any route: the answer is one of HTTP, never a 500, the server lives, and its memory is bounded.
 * GANTRYD_FUZZ_MS makes it longer, GANTRYD_FUZZ_SEED another one.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Route } from '../../src/api/route.ts';
import { apiRoutes } from '../../src/api/routes.ts';
import { seeded } from '../agent/world.ts';
import { tempFolder } from '../ground/harness.ts';
import { apiGround, type Ground } from './api-ground.ts';

const FUZZ_MS = Number(process.env.GANTRYD_FUZZ_MS || 3_000);
const SEED = Number(process.env.GANTRYD_FUZZ_SEED || 7);
const AT_ONCE = 16;
const ANSWER_MS = 2_000;
/** What is asked for while something else is made hard. */
const FAIR_MS = 2_000;
const MAX_GROWTH = 192 * 1024 * 1024;
const MEGABYTE = Buffer.alloc(1024 * 1024, '[');

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

class Sender {
  readonly #random: Random;
  readonly #routes: readonly Route[];
  readonly #token: string;

  constructor(random: Random, routes: readonly Route[], token: string) {
    this.#random = random;
    this.#routes = routes;
    this.#token = token;
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
      `authorization: Bearer ${this.#chance(0.97) ? this.#token : 'gantryd_x_y'}`,
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

/** What is answered to the bytes; '': nothing, as to a request that never ends. */
function answerTo(port: number, send: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => send(socket));
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
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

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

interface Hardened extends Ground {
  readonly admin: string;
  readonly defects: unknown[];
}

async function hardened(t: TestContext): Promise<Hardened> {
  const defects: unknown[] = [];
  const many = { perSecond: 1e9, burst: 1e9 };
  const bounds = { rate: many, refusedRate: many, headersMs: 500, stallMs: 200, totalMs: 1_000 };
  const around = { stateDir: await tempFolder(t), host: 'h1', project: 'shop' };
  const ground = await apiGround(t, { around, bounds, onDefect: (error) => defects.push(error) });
  const admin = await ground.token('admin');
  const components = [
    { name: 'web', repo: 'web' },
    { name: 'db', repo: 'db' },
  ];
  await ground.ask('PUT', '/v1/projects/shop/config', { token: admin, body: { components } });
  return { ...ground, admin, defects };
}

/** Of somebody who means well. */
async function isFair({ ask, admin }: Hardened): Promise<void> {
  const began = performance.now();
  const { status } = await ask('GET', '/v1/projects/shop/components', { token: admin });
  const took = performance.now() - began;
  assert.ok(status === 200 && took < FAIR_MS, `${status} after ${took} ms`);
}

test('whatever is sent is answered, and never with a 500', async (t) => {
  const api = await hardened(t);
  const sender = new Sender(seeded(SEED), apiRoutes(api.around), api.admin);
  const lag = monitorEventLoopDelay({ resolution: 5 });
  lag.enable();
  const before = process.memoryUsage().rss;
  const statuses = new Map<number, number>();
  const end = performance.now() + FUZZ_MS;
  const one = async () => {
    while (performance.now() < end) {
      const bytes = sender.request();
      const answer = await answerTo(api.api.port, (socket) => socket.end(bytes));
      const status = statusOf(answer);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      assert.notEqual(status, 500, `${bytes.toString('latin1').slice(0, 2_000)}\n${answer}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  lag.disable();
  const grown = process.memoryUsage().rss - before;
  t.diagnostic(`statuses ${JSON.stringify(Object.fromEntries([...statuses].sort()))}`);
  t.diagnostic(`lag p99 ${(lag.percentile(99) / 1e6).toFixed(1)} ms; grown by ${Math.round(grown / 1e6)} MB`);
  assert.deepEqual(api.defects, []);
  assert.ok(grown < MAX_GROWTH, `it grew by ${grown} bytes`);
  assert.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(422) ?? 0) > 0);
  await isFair(api);
});

test('a body of 100 MB is refused at the cost of its headers, and one that does not say so at that of its bound', async (t) => {
  const api = await hardened(t);
  const before = process.memoryUsage().rss;
  const head = (rest: string) =>
    `POST /v1/projects/shop/update HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.admin}\r\ncontent-type: application/json\r\n${rest}\r\n\r\n`;
  const flood = (first: string, chunk: Buffer) => (socket: Socket) => {
    socket.write(first);
    let left = 100;
    const more = () => {
      while (left-- > 0 && !socket.destroyed)
        if (!socket.write(chunk)) return void socket.once('drain', more);
    };
    more();
  };
  const chunked = Buffer.concat([Buffer.from('100000\r\n'), MEGABYTE, Buffer.from('\r\n')]);
  const answers = await Promise.all([
    answerTo(api.api.port, flood(head('content-length: 104857600'), MEGABYTE)),
    answerTo(api.api.port, flood(head('content-length: 104857600'), MEGABYTE)),
    answerTo(api.api.port, flood(head('transfer-encoding: chunked'), chunked)),
  ]);
  assert.deepEqual(answers.map(statusOf), [413, 413, 413]);
  assert.ok(process.memoryUsage().rss - before < MAX_GROWTH);
  await isFair(api);
});

test('those who send slowly are sent away, and keep nobody from being answered', async (t) => {
  const api = await hardened(t);
  const heads = ['GET /v1/projects HTTP/1.1\r\nhost: x\r\n', 'POST /v1/tokens HTTP/1.1\r\nhost: x\r\n', 'G'];
  const drip = async (socket: Socket) => {
    for (let i = 0; i < 100 && !socket.destroyed; i++) {
      socket.write('x-a: b\r\n'.charAt(i % 8));
      await delay(50);
    }
  };
  const began = performance.now();
  const slow = Array.from({ length: 200 }, (_, i) =>
    answerTo(api.api.port, (socket) => {
      socket.write(heads[i % heads.length] ?? '');
      void drip(socket);
    }),
  );
  await isFair(api);
  const statuses = new Set((await Promise.all(slow)).map(statusOf));
  // A cut may take the answer along.
  assert.deepEqual(
    [...statuses].filter((status) => ![0, 400, 408].includes(status)),
    [],
  );
  assert.ok(performance.now() - began < 5_000);
  await isFair(api);
});

test('the worst config that fits is answered soon', async (t) => {
  const api = await hardened(t);
  const fields = Array.from({ length: 50_000 }, (_, i) => [`environmentVariable${i}`, 1] as const);
  const worst = [
    { components: [{ name: 'web', repo: 'web', ...Object.fromEntries(fields) }] },
    { components: Array.from({ length: 50_000 }, () => 1) },
    Object.fromEntries(fields),
  ];
  for (const body of worst) {
    const began = performance.now();
    const { status } = await api.ask('PUT', '/v1/projects/shop/config', { token: api.admin, body });
    const took = performance.now() - began;
    t.diagnostic(`${status} in ${Math.round(took)} ms`);
    assert.ok(status === 422 && took < FAIR_MS);
  }
});
