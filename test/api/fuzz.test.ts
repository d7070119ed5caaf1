/**
 * Whatever is sent to any route: the answer is one of HTTP, never a 500, the server lives, and its memory is bounded.
 * GANTRYD_FUZZ_MS makes it longer, GANTRYD_FUZZ_SEED another one.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { apiRoutes } from '../../src/api/routes.ts';
import type { Bounds } from '../../src/api/server.ts';
import { seeded } from '../agent/world.ts';
import { tempFolder, until } from '../ground/harness.ts';
import { apiGround, type Ground } from './api-ground.ts';
import { answerTo, HostileRequests, smuggled, statusOf } from './hostile.ts';

const FUZZ_MS = Number(process.env.GANTRYD_FUZZ_MS || 3_000);
const SEED = Number(process.env.GANTRYD_FUZZ_SEED || 7);
const AT_ONCE = 16;
/** What is asked for while something else is made hard. */
const FAIR_MS = 2_000;
/** Of those who are in no hurry: longer than any test takes that ends well. */
const PATIENCE_MS = 60_000;
/** Of a head, after which a slow one is sent away. */
const SOON_MS = 2_000;
const SLOW = 200;
const SLOW_HEADS = ['GET /v1/projects HTTP/1.1\r\nhost: x\r\n', 'POST /v1/tokens HTTP/1.1\r\nhost: x\r\n'];
const MAX_GROWTH = 192 * 1024 * 1024;
const MEGABYTE = Buffer.alloc(1024 * 1024, '[');

interface Hardened extends Ground {
  readonly admin: string;
  readonly defects: unknown[];
}

/** Those who mean well may be slow too, on a busy machine: the bounds are the product's own but for what is given. */
async function hardened(t: TestContext, more: Partial<Bounds> = {}): Promise<Hardened> {
  const defects: unknown[] = [];
  const many = { perSecond: 1e9, burst: 1e9 };
  const bounds = { rate: many, refusedRate: many, ...more };
  const around = { stateDir: await tempFolder(t), host: 'h1', project: 'shop' };
  const ground = await apiGround(t, { around, bounds, onDefect: (error) => defects.push(error) });
  const admin = await ground.token('admin');
  const components = [
    { name: 'web', repo: 'web' },
    { name: 'db', repo: 'db' },
  ];
  const { status } = await ground.ask('PUT', '/v1/projects/shop/config', {
    token: admin,
    body: { components },
  });
  assert.equal(status, 200);
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
  const sender = new HostileRequests(seeded(SEED), apiRoutes(api.around), () => api.admin);
  const lag = monitorEventLoopDelay({ resolution: 5 });
  lag.enable();
  const before = process.memoryUsage().rss;
  const statuses = new Map<number, number>();
  const end = performance.now() + FUZZ_MS;
  const one = async () => {
    while (performance.now() < end) {
      const bytes = sender.request();
      const answer = await answerTo(api.api, (socket) => socket.end(bytes));
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
    answerTo(api.api, flood(head('content-length: 104857600'), MEGABYTE)),
    answerTo(api.api, flood(head('content-length: 104857600'), MEGABYTE)),
    answerTo(api.api, flood(head('transfer-encoding: chunked'), chunked)),
  ]);
  assert.deepEqual(answers.map(statusOf), [413, 413, 413]);
  assert.ok(process.memoryUsage().rss - before < MAX_GROWTH);
  await isFair(api);
});

test('those who send slowly keep nobody from being answered', async (t) => {
  const api = await hardened(t, { headersMs: PATIENCE_MS });
  const slow = dripping(t, api, SLOW_HEADS);
  await until(() => slow.connected === SLOW, { timeoutMs: PATIENCE_MS, what: 'all of them to send' });
  const { status } = await api.ask('GET', '/v1/projects/shop/components', { token: api.admin });
  assert.deepEqual([status, slow.gone], [200, 0]);
});

test('those who send slowly are sent away', async (t) => {
  const api = await hardened(t, { headersMs: SOON_MS });
  const began = performance.now();
  const statuses = new Set((await dripping(t, api, [...SLOW_HEADS, 'G']).answers).map(statusOf));
  // A cut may take the answer along.
  assert.deepEqual(
    [...statuses].filter((status) => ![0, 400, 408].includes(status)),
    [],
  );
  assert.ok(performance.now() - began < PATIENCE_MS, 'somebody went by itself');
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
    // Of this process alone: other tests may have the machine meanwhile.
    const before = process.cpuUsage();
    const { status } = await api.ask('PUT', '/v1/projects/shop/config', { token: api.admin, body });
    const { user, system } = process.cpuUsage(before);
    const took = Math.round((user + system) / 1_000);
    t.diagnostic(`${status} in ${took} ms`);
    assert.ok(status === 422 && took < FAIR_MS, `${status} after ${took} ms`);
  }
});

test('of a request that could be read as two one is answered, or none', async (t) => {
  const api = await hardened(t);
  for (const [name, bytes] of Object.entries(smuggled(api.admin))) {
    let all = '';
    await answerTo(api.api, (socket) => {
      socket.removeAllListeners('data');
      socket.on('data', (chunk) => {
        all += chunk.toString('latin1');
      });
      socket.end(bytes, 'latin1');
    });
    const statuses = [...all.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
    assert.deepEqual(
      [statuses.length, (statuses[0] ?? 0) >= 400],
      [1, true],
      `${name}: ${all.slice(0, 300)}`,
    );
  }
  assert.deepEqual(api.defects, []);
});

/** SLOW of them, each a head byte by byte, until they are sent away or the test ends. */
function dripping(t: TestContext, { api }: Hardened, heads: readonly string[]) {
  const ended = new AbortController();
  t.after(() => ended.abort());
  const drip = async (socket: Socket) => {
    for (let i = 0; !socket.destroyed; i++) {
      socket.write('x-a: b\r\n'.charAt(i % 8));
      await delay(50);
    }
  };
  const seen = { connected: 0, gone: 0 };
  const one = async (_: unknown, i: number) => {
    const send = (socket: Socket) => {
      ended.signal.addEventListener('abort', () => socket.destroy(), { once: true });
      seen.connected++;
      socket.write(heads[i % heads.length] ?? '');
      void drip(socket);
    };
    const answer = await answerTo(api, send, PATIENCE_MS);
    seen.gone++;
    return answer;
  };
  return Object.assign(seen, { answers: Promise.all(Array.from({ length: SLOW }, one)) });
}
