/**
 * Ports on the plane of the kernel: what the proxy promises must hold where no process sees a byte, for clients on
 * the host and for those that come from elsewhere.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { dockerCall } from '../ground/docker.ts';
import { farHost, skipWithoutKernel } from '../ground/far.ts';
import { type Cleanup, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import type { Place } from '../ground/requests.ts';
import { openTcp } from '../ground/streams.ts';
import { carriesOn, openShop, type Shop, type ShopOptions, tells, version } from './shop.ts';

const run = promisify(execFile);
const WAIT_MS = 20_000;
const skip = skipWithoutEngine || skipWithoutKernel;

/** Answers each datagram with its version. */
const UDP_ECHO = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (_, from) => socket.send(process.env.VERSION, from.port, from.address));
  process.on('SIGTERM', () => process.exit());
  socket.bind(5353);`;

test('an update leaves connections where they are, and leads new ones to the new container', {
  skip,
  timeout: 90_000,
}, async (t) => {
  const before = await ruleset();
  const shop = await openKernelShop(t);
  await shop.must('start', ...version('v1'));
  const far = await farHost(t);
  const near = await openTcp(shop.tcp);
  t.after(() => near.stop());
  const remote = far.client(shop.tcp.port);
  await remote.untilSays('v1');
  assert.match(await listText(shop), /The kernel leads 0\.0\.0\.0:/);

  const [old] = (await shop.containers()).map(({ id }) => id);
  const update = shop.begin('update', ...version('v2'));
  await tells(update, 'switched');
  assert.deepEqual([await hello(shop.tcp), await far.hello(shop.tcp.port)], ['v2', 'v2']);
  await carriesOn(near);
  assert.equal(near.tally.versions.has('v2'), false);
  const held = await until(async () => (await shop.list()).find((row) => row.id === old), {
    timeoutMs: WAIT_MS,
    what: 'the old container in the list',
  });
  assert.deepEqual([held.status, held.connections?.open], ['draining', 2]);

  const { pid } = await shop.box.proxy();
  process.kill(pid, 'SIGKILL');
  assert.equal(await hello(shop.tcp), 'v2', 'also while no proxy lives');
  await until(async () => (await shop.box.proxy()).pid !== pid, {
    timeoutMs: WAIT_MS,
    what: 'the next proxy',
  });
  await carriesOn(near);
  const open = async () => (await shop.list()).find((row) => row.id === old)?.connections?.open;
  assert.equal(await open(), 2, 'the next proxy knows who holds it');
  assert.equal((await shop.box.gantryd(['proxy', 'upgrade'])).code, 0);
  assert.deepEqual([await open(), await hello(shop.tcp)], [2, 'v2'], 'counted once by all generations');

  await remote.leave();
  await until(async () => (await open()) === 1, { timeoutMs: WAIT_MS, what: 'one connection' });
  await near.stop();
  assert.equal((await update.ended).code, 0);
  assert.equal((await shop.containers()).length, 1);

  await shop.must('stop');
  const stopped = await shop.box.gantryd(['proxy', 'stop', '--purge', '--force']);
  assert.equal(stopped.code, 0, stopped.stderr);
  assert.equal(await ruleset(), before);
});

test('a killed container gets no new connection after 50 ms; without any, clients are refused at once', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const shop = await openKernelShop(t, { instances: 2 });
  await shop.must('start', ...version('v1'));
  const [first] = await shop.containers();
  const { State } = (await dockerCall('GET', `/containers/${first?.id}/json`)) as { State: { Pid: number } };
  process.kill(State.Pid, 'SIGKILL');
  await sleep(50);
  const answers = await Promise.all(Array.from({ length: 50 }, () => hello(shop.tcp, 1_000)));
  assert.deepEqual(new Set(answers), new Set(['v1']));

  const stopped = await shop.box.gantryd(['proxy', 'stop']);
  assert.match(stopped.stdout, /The kernel leads 0\.0\.0\.0:\d+, .* on, and nobody watches it/);
  assert.equal(await hello(shop.tcp), 'v1');
  await shop.must('stop');
  const began = performance.now();
  await assert.rejects(hello(shop.tcp));
  assert.ok(performance.now() - began < 1_000);
  await shop.box.gantryd(['proxy', 'stop', '--purge', '--force']);
});

test('datagrams stay with their container over an update, and move when it has gone', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const port = await freePort();
  const shop = await openKernelShop(t, {
    ports: [{ external: port, container: 5353, kind: 'udp' }],
    command: ['/bin/node', '-e', UDP_ECHO],
    readyChecks: [],
    drainTimeout: 1_500,
  });
  await shop.must('start', ...version('v1'));
  const [old, fresh] = [await asker(t, port), await asker(t, port)];
  await until(async () => (await old()) === 'v1', { timeoutMs: WAIT_MS, what: 'an answer' });
  const update = shop.begin('update', ...version('v2'));
  await tells(update, 'switched');
  await until(async () => (await fresh()) === 'v2', { timeoutMs: WAIT_MS, what: 'the new container' });
  assert.equal(await old(), 'v1');
  assert.equal((await update.ended).code, 0);
  await until(async () => (await old()) === 'v2', { timeoutMs: WAIT_MS, what: 'the old exchange to move' });
  await shop.must('stop');
  await shop.box.gantryd(['proxy', 'stop', '--purge', '--force']);
});

async function openKernelShop(t: Cleanup, web: ShopOptions['web'] = {}): Promise<Shop> {
  const shop = await openShop(t, { web, led: true });
  return { ...shop, ...shop.led };
}

async function listText(shop: Shop): Promise<string> {
  return (await shop.must('list')).toString();
}

/** The version that a new connection is greeted with. */
async function hello({ host, port }: Place, timeoutMs = 5_000): Promise<string> {
  const socket = connect({ host, port });
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`silent for ${timeoutMs} ms`)));
  try {
    const [line] = await once(socket, 'data');
    return String(line).split(' ')[0] ?? '';
  } finally {
    socket.destroy();
  }
}

/** Without what only counts. */
async function ruleset(): Promise<string> {
  const { stdout } = await run('nft', ['list', 'ruleset']);
  return stdout.replaceAll(/packets \d+ bytes \d+/g, '');
}

/** Asks from one port, again and again until it is answered. */
async function asker(t: Cleanup, port: number): Promise<() => Promise<string>> {
  const socket: Socket = createSocket('udp4');
  t.after(() => void socket.close());
  return async () => {
    socket.send('?', port, '127.0.0.1');
    const [answer] = await Promise.race([once(socket, 'message'), sleep(500, ['nobody'], { ref: false })]);
    return String(answer);
  };
}
