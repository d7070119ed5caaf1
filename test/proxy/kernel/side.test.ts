import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isGantryError } from '../../../src/errors.ts';
import { SILENT } from '../../../src/log.ts';
import type { Change } from '../../../src/proxy/control/protocol.ts';
import { weightsOf } from '../../../src/proxy/kernel/entries.ts';
import type { KernelFlow } from '../../../src/proxy/kernel/plane.ts';
import { DataPlane } from '../../../src/proxy/proxy.ts';
import { type Backend, DEFAULT_LIMITS, type Listener, type Route } from '../../../src/proxy/tables/routes.ts';
import { OWNER, ownAddress, until } from '../ground.ts';
import { type MemoryKernel, memoryKernel } from '../memory-kernel.ts';

const HERE = process.pid;
const A: Backend = { id: 'a', host: '172.30.0.2', pid: HERE };
const B: Backend = { id: 'b', host: '172.30.0.3', pid: HERE };
const C: Backend = { id: 'c', host: '172.30.0.4', pid: HERE };

interface Scene {
  readonly plane: DataPlane;
  readonly kernel: MemoryKernel;
  readonly listener: Listener;
  readonly tablesPath: string;
  readonly idle: string[];
  route(backends: readonly Backend[], change?: Partial<Route>): Promise<void>;
  /** Of a client that was led to this backend. */
  flow(backend: Backend, client: string, change?: Partial<KernelFlow>): KernelFlow;
  open(of: string): number | undefined;
}

async function scene(t: TestContext, kernel = memoryKernel()): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-kernel-'));
  const tablesPath = join(folder, 'tables.json');
  const plane = new DataPlane({ tablesPath, log: SILENT, openKernel: kernel.open });
  t.after(async () => {
    await plane.close();
    await rm(folder, { recursive: true });
  });
  await plane.start();
  const idle: string[] = [];
  plane.subscribe((_, { kind, backend }: Change) => void (kind === 'idle' && idle.push(backend ?? '')));
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const listener: Listener = {
    address: ownAddress(),
    port,
    kind: 'tcp',
    containerPort: 5432,
    plane: 'kernel',
  };
  return {
    ...{ plane, kernel, listener, tablesPath, idle },
    async route(backends, change = {}) {
      const { revision } = plane.table(OWNER);
      const route: Route = { component: 'db', listeners: [listener], backends, ...change };
      await plane.put(OWNER, { ifRevision: revision, table: { routes: [route], limits: DEFAULT_LIMITS } });
    },
    flow: ({ host }, client, change = {}) => ({
      ...{ protocol: 'tcp', client, listenerPort: port, host, port: 5432, bytes: 10 },
      ...change,
    }),
    open: (of) => plane.status().backends.find(({ id }) => id === of)?.open,
  };
}

const targets = (kernel: MemoryKernel) => kernel.entries.map((e) => e.targets.map(({ id }) => id));

test('the kernel leads before the doors do, and what it refuses leaves the old table in force', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  assert.deepEqual(targets(s.kernel), [['a']]);
  const { apply } = s.kernel;
  let ledByDoors: unknown;
  s.kernel.apply = async (entries) => {
    ledByDoors = s.plane.table(OWNER).table.routes[0]?.backends;
    await apply(entries);
  };
  await s.route([B]);
  assert.deepEqual(ledByDoors, [A]);
  assert.deepEqual(targets(s.kernel), [['b']]);

  s.kernel.failure = new Error('nft is not well');
  await assert.rejects(s.route([A]), /nft is not well/);
  assert.deepEqual(s.plane.table(OWNER).table.routes[0]?.backends, [B]);
  assert.deepEqual(targets(s.kernel), [['b']]);
  const [listener] = s.plane.status().listeners;
  assert.deepEqual([listener?.plane, listener?.planeWhy], ['kernel', undefined]);
});

test('a route without backends has no entry: its door answers', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  await s.route([]);
  assert.deepEqual(s.kernel.entries, []);
});

test('a table that the kernel has no part in does not ask it', async (t) => {
  const s = await scene(t);
  await s.route([A], { listeners: [{ ...s.listener, plane: 'userspace' }] });
  assert.equal(s.kernel.events, undefined);
});

test('a host that cannot refuses kernel, and takes auto in userspace with the reason', async (t) => {
  const s = await scene(t);
  s.kernel.ables = { can: false, why: 'This host has no nft.', hint: 'Install nftables.' };
  await assert.rejects(s.route([A]), (error) => {
    assert.ok(isGantryError(error, 'plane-unavailable'));
    assert.match(
      error.message,
      /^db asks for the kernel plane on \S+, which this host cannot: This host has no nft/,
    );
    assert.equal(error.hint, 'Install nftables.');
    return true;
  });
  assert.deepEqual(s.plane.status().listeners, []);
  await s.route([A], { listeners: [{ ...s.listener, plane: 'auto' }] });
  const [listener] = s.plane.status().listeners;
  assert.equal(listener?.plane, undefined);
  assert.match(listener?.planeWhy ?? '', /no nft/);
  assert.deepEqual(s.kernel.entries, []);
});

test('containers on the network of the host are not led to by the kernel', async (t) => {
  const s = await scene(t);
  const local = { id: 'a', host: '127.0.0.1' };
  await assert.rejects(s.route([local]), /is on the network of the host/);
  await s.route([local], { listeners: [{ ...s.listener, plane: 'auto' }] });
  assert.deepEqual(s.kernel.entries, []);
});

test('what the kernel carries holds a backend that left, until the last connection ends', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  s.kernel.carried = [s.flow(A, '10.0.0.1:1000'), s.flow(A, '10.0.0.1:1001')];
  await s.route([B]);
  assert.equal(s.open('a'), 2);
  await s.plane.kernel.counted();
  const report = s.plane.status().backends.find(({ id }) => id === 'a');
  assert.deepEqual([report?.routed, report?.tcp, report?.kernel], [false, 2, 2]);
  assert.deepEqual(
    report?.peers.map(({ client, kind, bytes }) => [client, kind, bytes]),
    [
      ['10.0.0.1:1000', 'tcp', 10],
      ['10.0.0.1:1001', 'tcp', 10],
    ],
  );
  assert.deepEqual(
    s.plane.counts().drains.map(({ backend }) => backend),
    ['a'],
  );
  assert.equal(s.plane.status().listeners[0]?.connections, 2);
  s.kernel.carried = s.kernel.carried.slice(1);
  await until('one is counted', () => s.open('a') === 1);
  assert.deepEqual(s.idle, []);
  s.kernel.carried = [];
  await until('it is idle', () => s.idle.length > 0);
  assert.deepEqual([s.idle, s.open('a')], [['a'], undefined]);
});

test('silent connections of a backend that left end after idleTimeout, others stay', async (t) => {
  const s = await scene(t);
  const leave = { idleTimeoutMs: 600, closeSpreadMs: 0 };
  await s.route([A], { leave });
  const [quiet, busy] = [s.flow(A, '10.0.0.1:1'), s.flow(A, '10.0.0.1:2')];
  s.kernel.carried = [quiet, busy];
  let bytes = 10;
  s.kernel.flows = async () =>
    s.kernel.carried.map((flow) => (flow.client === busy.client ? { ...flow, bytes: bytes++ } : flow));
  await s.route([B], { leave });
  await until('the quiet one is ended', () => s.kernel.ended.length > 0);
  assert.deepEqual(
    s.kernel.ended.map(({ client }) => client),
    [quiet.client],
  );
  assert.equal(s.kernel.carried.length, 1);
});

test('closeSpread ends what is left one by one until its time is over', async (t) => {
  const s = await scene(t);
  const leave = { idleTimeoutMs: 0, closeSpreadMs: 1_500 };
  await s.route([A], { leave });
  s.kernel.carried = [1, 2, 3, 4].map((n) => s.flow(A, `10.0.0.1:${n}`));
  const began = performance.now();
  const times: number[] = [];
  const { end } = s.kernel;
  s.kernel.end = async (flows, pid) => {
    times.push(performance.now() - began);
    return end(flows, pid);
  };
  await s.route([B], { leave });
  await until('all are ended', () => s.kernel.ended.length === 4);
  assert.equal(times.length, 4, 'one by one');
  assert.ok((times[3] ?? 0) < 2_500, `${times}`);
});

test('one connection is cut by its client, and others stay', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  s.kernel.carried = [s.flow(A, '10.0.0.1:1'), s.flow(A, '10.0.0.1:2')];
  await s.plane.kernel.counted();
  assert.equal(await s.plane.cut({ owner: OWNER, backend: 'a', client: '10.0.0.1:2' }), 1);
  assert.deepEqual(
    s.kernel.ended.map(({ client }) => client),
    ['10.0.0.1:2'],
  );
  assert.equal(s.open('a'), 1);
});

test('a process that has ended gets nothing until its container has another', async (t) => {
  const s = await scene(t);
  await s.route([A, B]);
  const [first] = s.kernel.entries[0]?.targets ?? [];
  assert.ok(first !== undefined);
  const pokes: Change[] = [];
  s.plane.subscribe((_, change) => void pokes.push(change));
  s.kernel.carried = [s.flow(A, '10.0.0.1:1')];
  s.kernel.events?.targetGone({ ...first, pid: 1_000_000 });
  assert.equal(pokes.length, 0, 'an older process of the container');
  await s.route([{ ...A, pid: 999_999 }, B]);
  pokes.length = 0;
  s.kernel.events?.targetGone({ ...first, pid: 999_999 });
  assert.equal(pokes.length, 1);
  assert.equal(s.plane.status().backends.find(({ id }) => id === 'a')?.gone, true);
  await until('what it carried is ended', () => s.kernel.ended.length === 1);
  await s.route([{ ...A, pid: 999_999 }, B], { slowStartMs: 1 });
  assert.deepEqual(targets(s.kernel), [['b']]);
  await s.route([A, B]);
  assert.deepEqual(targets(s.kernel), [['a', 'b']]);
});

test('who comes to a door is not led to a process that has ended, also when there is no other', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  const [target] = s.kernel.entries[0]?.targets ?? [];
  assert.ok(target !== undefined);
  s.kernel.events?.targetDead(target);
  const began = performance.now();
  const client = connect({ host: s.listener.address, port: s.listener.port });
  client.on('error', () => {});
  await once(client, 'close');
  const tookMs = performance.now() - began;
  assert.ok(tookMs < DEFAULT_LIMITS.connectTimeoutMs / 2, `refused after ${tookMs} ms`);
});

test('a put does not wait until the kernel is read, and who left counts as held until then', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  const { flows } = s.kernel;
  let read: () => void = () => {};
  s.kernel.flows = async () => {
    await new Promise<void>((resolve) => {
      read = resolve;
    });
    return flows();
  };
  await s.route([B]);
  assert.equal(s.open('a'), 1);
  assert.deepEqual(s.idle, []);
  s.kernel.flows = flows;
  read();
  await until('it is known that nothing holds it', () => s.idle.includes('a'));
  assert.equal(s.open('a'), undefined);
});

test('however many tables were put while the kernel was read, it is read once more', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  const { flows } = s.kernel;
  const reads: (() => void)[] = [];
  s.kernel.flows = async () => {
    await new Promise<void>((resolve) => void reads.push(resolve));
    return flows();
  };
  for (let put = 0; put < 10; put++) await s.route([put % 2 === 0 ? B : A]);
  await until('it is read', () => reads.length === 1);
  reads[0]?.();
  await until('it is read again', () => reads.length === 2);
  reads[1]?.();
  await until('it is known that nothing holds who left', () => s.idle.includes('b'));
  assert.equal(reads.length, 2);
});

test('what is read counts although other tables were put meanwhile', async (t) => {
  const s = await scene(t);
  await s.route([A, B]);
  const { flows } = s.kernel;
  let puts = 0;
  s.kernel.flows = async () => {
    const seen = await flows();
    const before = puts;
    await until('another table was put', () => puts > before || s.idle.includes('a'));
    return seen;
  };
  await s.route([B]);
  for (; !s.idle.includes('a') && puts < 50; puts++) await s.route(puts % 2 === 0 ? [B, C] : [B]);
  assert.ok(s.idle.includes('a'), 'a backend that nothing holds was not let go');
  s.kernel.flows = flows;
  puts += 1;
});

test('the next proxy leads by the tables on disk, and still holds what the kernel carries', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  s.kernel.carried = [s.flow(A, '10.0.0.1:1')];
  await s.route([B]);
  const kernel = memoryKernel();
  kernel.carried = s.kernel.carried;
  s.plane.handOver();
  assert.equal(s.kernel.closed, true);
  assert.equal(s.open('a'), undefined, 'the older one counts nothing of it any more');
  const next = new DataPlane({ tablesPath: s.tablesPath, log: SILENT, openKernel: kernel.open });
  t.after(() => next.close());
  await next.start();
  assert.deepEqual(targets(kernel), [['b']]);
  const report = next.status().backends.find(({ id }) => id === 'a');
  assert.deepEqual([report?.routed, report?.open], [false, 1]);
  const idle: Change[] = [];
  next.subscribe((_, change) => void idle.push(change));
  kernel.carried = [];
  await until('it is idle', () => idle.some(({ backend }) => backend === 'a'));
});

test('what was read before its rules are in force lets nobody go whom an earlier proxy held', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  s.kernel.carried = [s.flow(A, '10.0.0.1:1')];
  await s.route([B]);
  s.plane.handOver();
  const kernel = memoryKernel();
  const { apply } = kernel;
  const steps = { apply: () => {}, reads: [] as (() => void)[] };
  kernel.apply = async (entries) => {
    await new Promise<void>((resolve) => {
      steps.apply = resolve;
    });
    await apply(entries);
  };
  kernel.flows = async () => {
    const { carried } = kernel;
    await new Promise<void>((resolve) => void steps.reads.push(resolve));
    return carried;
  };
  const next = new DataPlane({ tablesPath: s.tablesPath, log: SILENT, openKernel: kernel.open });
  t.after(() => next.close());
  const starting = next.start();
  await until('its kernel is asked', () => kernel.events !== undefined);
  const cutting = next.kernel.cut({ owner: OWNER, backend: 'a' });
  await until('it is read', () => steps.reads.length === 1);
  kernel.carried = [s.flow(A, '10.0.0.1:1'), s.flow(A, '10.0.0.1:2')];
  steps.apply();
  await starting;
  steps.reads[0]?.();
  await cutting;
  await until('it is read again', () => steps.reads.length === 2);
  const open = () => next.status().backends.find(({ id }) => id === 'a')?.open;
  assert.equal(open(), 1);
  steps.reads[1]?.();
  await until('both are known', () => open() === 2);
  kernel.flows = async () => [];
  for (const read of steps.reads) read();
});

test('after another start of the host nobody is led by what is on disk, until a table says so anew', async (t) => {
  const s = await scene(t);
  const C: Backend = { id: 'c', host: '172.30.0.4' };
  await s.route([A]);
  const { revision } = s.plane.table('other');
  const place = { ...s.listener, plane: 'userspace', port: s.listener.port - 1 } as const;
  const other: Route = { component: 'web', listeners: [place], backends: [C] };
  await s.plane.put('other', {
    ifRevision: revision,
    table: { routes: [other], limits: DEFAULT_LIMITS },
  });
  s.plane.handOver();
  const saved = JSON.parse(await readFile(s.tablesPath, 'utf8'));
  await writeFile(s.tablesPath, JSON.stringify({ ...saved, boot: 'the one before' }));
  const kernel = memoryKernel();
  const next = new DataPlane({ tablesPath: s.tablesPath, log: SILENT, openKernel: kernel.open });
  t.after(() => next.close());
  await next.start();
  assert.deepEqual(kernel.entries, []);
  const gone = () => next.status().backends.map(({ id, gone }) => [id, gone]);
  assert.deepEqual(gone(), [
    ['a', true],
    ['c', undefined],
  ]);
  const { table, revision: present } = next.table(OWNER);
  const routes = table.routes.map((route) => ({ ...route, backends: [{ ...A, pid: process.ppid }] }));
  await next.put(OWNER, { ifRevision: present, table: { ...table, routes } });
  assert.deepEqual(targets(kernel), [['a']]);
  assert.deepEqual(gone()[0], ['a', undefined]);
});

test('what the kernel refuses at the start is tried again, and the doors serve meanwhile', async (t) => {
  const s = await scene(t);
  await s.route([A]);
  s.plane.handOver();
  const kernel = memoryKernel();
  kernel.failure = new Error('nft is not well');
  const next = new DataPlane({ tablesPath: s.tablesPath, log: SILENT, openKernel: kernel.open });
  t.after(() => next.close());
  await next.start();
  assert.equal(next.status().listeners[0]?.plane, undefined);
  await next.leadKernel();
  assert.deepEqual(targets(kernel), [['a']]);
  assert.equal(next.status().listeners[0]?.plane, 'kernel');
});

test('a udp port is kept, beside a tcp port of the same number, and refused when it is taken', async (t) => {
  const s = await scene(t);
  const { plane: _, ...tcp } = s.listener;
  const udp: Listener = { ...tcp, kind: 'udp' };
  const other = createSocket('udp4').bind(udp.port, udp.address);
  await once(other, 'listening');
  await assert.rejects(s.route([A], { listeners: [tcp, udp] }), /^GantryError: udp port \d+ of db is taken/);
  assert.deepEqual(s.plane.status().listeners, []);
  other.close();
  await once(other, 'close');
  await s.route([A], { listeners: [tcp, udp] });
  assert.deepEqual(
    s.kernel.entries.map(({ protocol }) => protocol),
    ['udp'],
  );
  assert.deepEqual(
    s.plane.status().listeners.map(({ kind, plane }) => [kind, plane]),
    [
      ['tcp', undefined],
      ['udp', 'kernel'],
    ],
  );
  const late = createSocket('udp4').bind(udp.port, udp.address);
  const [refused] = await once(late, 'error');
  assert.equal(refused.code, 'EADDRINUSE');
  late.close();
  s.kernel.carried = [s.flow(A, '10.0.0.1:9', { protocol: 'udp' })];
  await s.route([], { listeners: [tcp] });
  assert.equal(s.plane.status().backends[0]?.udp, 1);
  const freed = createSocket('udp4').bind(udp.port, udp.address);
  await once(freed, 'listening');
  freed.close();
});

test('a rehearsal finds what would be refused, and changes nothing', async (t) => {
  const s = await scene(t);
  const table = {
    routes: [{ component: 'db', listeners: [s.listener], backends: [] }],
    limits: DEFAULT_LIMITS,
  };
  await s.plane.put(OWNER, { ifRevision: 0, table, dryRun: true });
  s.kernel.ables = { can: false, why: 'This host has no nft.', hint: '' };
  await assert.rejects(s.plane.put(OWNER, { ifRevision: 0, table, dryRun: true }), /no nft/);
  assert.equal(s.kernel.applied.length, 0);
  const server = createServer().listen(s.listener.port, s.listener.address);
  await once(server, 'listening');
  server.close();
});

test('a canary has its share of the connections, however many containers there are', () => {
  const of = (ids: string, tried: string, percent: number) =>
    weightsOf(
      [...ids].map((id) => ({ id })),
      { id: 'x', backends: [...tried], percent },
    );
  assert.deepEqual(of('abc', '', 10), [1, 1, 1]);
  const share = (weights: readonly number[], at: readonly number[]) =>
    at.reduce((sum, i) => sum + (weights[i] ?? 0), 0) / weights.reduce((sum, w) => sum + w, 0);
  assert.ok(Math.abs(share(of('abcd', 'd', 10), [3]) - 0.1) < 0.01);
  assert.ok(Math.abs(share(of('abcde', 'de', 50), [3, 4]) - 0.5) < 0.01);
  assert.ok(share(of('ab', 'b', 1), [1]) < 0.02);
});
