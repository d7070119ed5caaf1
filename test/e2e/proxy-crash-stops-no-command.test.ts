/**
 * A proxy that is killed must not stop a command half way: it comes back by itself with its routes and the command
 * ends as it would have. (The connections through it die with it, but none that the kernel
 * leads.)
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROXY_TABLES } from '../../src/proxy/control/protocol.ts';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { openTcp } from '../ground/streams.ts';
import {
  carriesOn,
  exitedWith,
  getText,
  opened,
  openShop,
  type Shop,
  tells,
  version,
  WAIT_MS,
} from './shop.ts';

const skip = skipWithoutEngine;

test('killed at any step of an update, which goes through all the same', { skip }, async (t) => {
  const shop = await openShop(t, { web: { instances: 2 }, led: true });
  await shop.must('start', ...version('first'));
  for (const step of [
    'release-made',
    'container-created',
    'container-started',
    'switched',
    'drain-started',
  ]) {
    // Held by a stream, the update cannot be over before the proxy is killed.
    await opened(t, openTcp(shop.tcp));
    const led = shop.led === undefined ? undefined : await opened(t, openTcp(shop.led.tcp));
    const pid = await proxyPid(shop);
    const update = shop.begin('update', ...version(step));
    await tells(update, step);
    await kill(pid);
    if (led !== undefined) await carriesOn(led);
    await led?.stop();
    exitedWith(0, await update.ended);
    assert.equal(await getText(shop.http, '/version'), step);
    const rows = await shop.list();
    assert.deepEqual(
      rows.map(({ status }) => status),
      ['running', 'running'],
      step,
    );
  }
});

test('killed while nothing else runs: it is back by itself; with its tables lost, by who stays', {
  skip,
}, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  await kill(await proxyPid(shop));
  await untilServed(shop, 'v1');
  const told = async () => (await shop.list()).find((row) => row.connections !== undefined);
  const row = await until(told, { timeoutMs: WAIT_MS, what: 'the next proxy to answer commands too' });
  assert.deepEqual([row.status, row.connections?.open], ['running', 0]);
  const monitor = shop.begin('start', '-m', ...version('v1'));
  await tells(monitor, 'monitoring');
  const pid = await proxyPid(shop);
  await rm(join(shop.box.stateDir, PROXY_TABLES));
  await kill(pid);
  await untilServed(shop, 'v1');
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
});

test('killed while a container drains: what held it is gone, and so is the container', {
  skip,
}, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const stream = await opened(t, openTcp(shop.tcp));
  const stop = shop.begin('stop');
  await tells(stop, 'drain-started');
  assert.equal(stream.cutAt, undefined);
  await kill(await proxyPid(shop));
  exitedWith(0, await stop.ended);
  await shop.untilContainers([]);
});

async function untilServed(shop: Shop, text: string): Promise<void> {
  await until(async () => (await getText(shop.http, '/version')) === text, {
    timeoutMs: WAIT_MS,
    what: `${text} to be served`,
  });
}

async function proxyPid(shop: Shop): Promise<number> {
  return (await shop.box.proxy()).pid;
}

/** Returns once it is dead; its standby starts another. */
async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await until(() => !isAlive(pid), { timeoutMs: WAIT_MS, what: 'the proxy to be dead' });
}

/** A zombie, which only awaits its parent's look, has no command line any more. */
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}
