/** A container that is to go must stay until its last connection has closed, and not longer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import WebSocket from 'ws';
import { freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { openTcp, openWebSocket } from '../ground/streams.ts';
import { carriesOn, exitedWith, getText, opened, openShop, tells, version, WAIT_MS, waits } from './shop.ts';

const skip = skipWithoutEngine;

test('stop takes no new clients and waits until the WebSocket closes', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start');
  const socket = await opened(t, openWebSocket(shop.http));
  const stop = shop.begin('stop');
  await waits(stop, /1 connection/);
  await assert.rejects(getText(shop.http, '/version'), 'the port is closed');
  assert.deepEqual(
    (await shop.list()).map((row) => [row.status, row.connections?.open]),
    [['draining', 1]],
  );
  await carriesOn(socket);
  await socket.stop();
  exitedWith(0, await stop.ended);
  await shop.untilContainers([]);
});

test('an interrupted stop drains on, and the next command on the component ends it', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start');
  const [container] = await shop.containers();
  const tcp = await opened(t, openTcp(shop.tcp));
  const stop = shop.begin('stop');
  await waits(stop, /1 connection/);
  stop.interrupt();
  exitedWith(1, await stop.ended);
  await carriesOn(tcp);
  const again = shop.begin('stop');
  await waits(again, /1 connection/);
  await shop.untilContainers([container?.id ?? '']);
  await tcp.stop();
  exitedWith(0, await again.ended);
  await shop.untilContainers([]);
});

test('kill waits for nobody, also for what drains already', { skip }, async (t) => {
  const signal = { kind: 'exec', command: ['/bin/node', '-e', ''] };
  const shop = await openShop(t, { web: { terminationSignals: [signal], stopTimeout: 60_000 } });
  await shop.must('start', ...version('v1'));
  const old = await opened(t, openTcp(shop.tcp));
  await shop.must('update', '--detach', ...version('v2'));
  const now = await opened(t, openWebSocket(shop.http));
  const kill = shop.begin('kill');
  exitedWith(0, await kill.ended);
  assert.equal(kill.events('container-killed').length, 2);
  assert.deepEqual(kill.events('signals-sent'), []);
  for (const stream of [old, now]) await until(() => stream.cutAt, { timeoutMs: WAIT_MS, what: 'the cut' });
  await shop.untilContainers([]);
});

test('drainTimeout cuts what is still open and says how many', { skip }, async (t) => {
  const shop = await openShop(t, { web: { drainTimeout: 1_500 } });
  await shop.must('start', ...version('v1'));
  const streams = [await opened(t, openWebSocket(shop.http)), await opened(t, openTcp(shop.tcp))];
  const old = (await shop.containers()).map((c) => c.id);
  const update = shop.begin('update', ...version('v2'));
  exitedWith(0, await update.ended);
  const cuts = update.events('drain-cut').map(({ container, connections }) => [container, connections]);
  assert.deepEqual(cuts, [[old[0], 2]]);
  // From the switch on: the beginning of the drain is told only once it is written to disk.
  const drained = at(update.events('container-stopping')[0]) - at(update.events('switched')[0]);
  assert.ok(drained >= 1_500, `cut after ${drained} ms`);
  for (const stream of streams) await until(() => stream.cutAt, { timeoutMs: WAIT_MS, what: 'the cut' });
  assert.equal(await getText(shop.http, '/version'), 'v2');
});

test('closeSpread asks its clients to leave, idleTimeout ends who says nothing, and so its drain', {
  skip,
}, async (t) => {
  const shop = await openShop(t, { web: { closeSpread: 300, idleTimeout: 1_500 } });
  await shop.must('start', ...version('v1'));
  const socket = new WebSocket(`ws://${shop.http.host}:${shop.http.port}/ws`);
  t.after(() => socket.terminate());
  await once(socket, 'message');
  const silent = connect(shop.tcp);
  t.after(() => void silent.destroy());
  await once(silent, 'data');
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const late = request({ ...shop.http, path: '/echo', method: 'POST', agent });
  const answered = once(late, 'response') as Promise<[IncomingMessage]>;
  late.write('begun');
  const soon = { signal: AbortSignal.timeout(WAIT_MS) };
  const [left, ended] = [once(socket, 'close', soon), once(silent, 'end', soon)];
  const update = shop.begin('update', ...version('v2'));
  await tells(update, 'switched');
  late.end();
  const [answer] = await answered;
  assert.deepEqual([answer.headers['x-version'], answer.headers.connection], ['v1', 'close']);
  answer.resume();
  assert.deepEqual((await left)[0], 1012);
  await ended;
  exitedWith(0, await update.ended);
  assert.deepEqual(update.events('drain-cut'), [], 'nobody held it to its end');
});

test('stopTimeout ends a container that does not heed SIGTERM', { skip }, async (t) => {
  const shop = await openShop(t, { web: { stopTimeout: 1_000 } });
  await shop.must('start', '--set', 'environmentVariables.IGNORE_SIGTERM=1');
  const began = performance.now();
  await shop.must('stop');
  assert.ok(performance.now() - began >= 1_000, 'it had its time');
  await shop.untilContainers([]);
});

test('a listener that a release drops closes, and its connections live on', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start');
  const socket = await opened(t, openWebSocket(shop.http));
  const tcp = await opened(t, openTcp(shop.tcp));
  const moved = { host: '127.0.0.1', port: await freePort() };
  const ports = JSON.stringify([{ external: moved.port, container: 8080, kind: 'http' }]);
  const update = shop.begin('update', ...version('v2'), '--set', `ports=${ports}`);
  await waits(update, /2 connections/);
  assert.equal(await getText(moved, '/version'), 'v2');
  await assert.rejects(getText(shop.http, '/version'), 'the old port is closed');
  await carriesOn(socket);
  await carriesOn(tcp);
  await Promise.all([socket.stop(), tcp.stop()]);
  exitedWith(0, await update.ended);
});

test('a second interrupted command changes nothing about a drain', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const socket = await opened(t, openWebSocket(shop.http));
  const first = shop.begin('update', ...version('v2'));
  await waits(first, /1 connection/);
  first.interrupt();
  exitedWith(0, await first.ended);
  const second = shop.begin('update', ...version('v3'));
  await tells(second, 'release-proven');
  second.interrupt('SIGKILL');
  await second.ended;
  await carriesOn(socket);
  assert.equal(await getText(shop.http, '/version'), 'v3');
  await socket.stop();
  await shop.must('stop');
  await shop.untilContainers([]);
});

function at(event: { readonly [field: string]: unknown } | undefined): number {
  return Number(event?.at);
}
