/**
 * A total follows its hosts: when one is lost under load the others have all of it, with no request to them failed;
 * when it is back it has its share again, start-first. And what the command says. With the time that a host may be
 * gone by default only when asked for: GANTRYD_TEST_HOST_LOSS=default.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { keys } from '../../src/cluster/keys.ts';
import type { SharesValue } from '../../src/cluster/values.ts';
import { until } from '../ground/harness.ts';
import {
  type Agent,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { exitedWith, lostNothing } from './shop.ts';

/** The lease of a host that is gone ends by then. */
const HEARD_MS = 15_000;
const LOSS_MS = 3_000;
/** Of a component that says nothing of it. */
const DEFAULT_LOSS_MS = 30_000;
/** To start containers, on a busy machine. */
const START_MS = 10_000;
/** As often as it can be looked, the machine is busy with nothing else; a container drains for longer. */
const LOOK_EVERY_MS = 20;
/** Half a minute of waiting is not for every run. */
const skipDefaultLoss =
  process.env.GANTRYD_TEST_HOST_LOSS === 'default'
    ? false
    : 'GANTRYD_TEST_HOST_LOSS=default was not asked for';
const SIX = { instances: { total: 6 }, hostLossTimeout: LOSS_MS, update: { monitor: 0, keepOld: 0 } };

describe('a total of six on three hosts', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings);
  });
  after(() => endings.run());

  test('is on two when one is lost, and on three once it is back; what serves loses nothing', async (t) => {
    const [a, b, c] = (await shop.agents()) as [Agent, Agent, Agent];
    await shop.deploy('v1', SIX);
    await untilServing(shop, { a: 2, b: 2, c: 2 });
    const loads = await shop.loads(t, [a.host, b.host]);
    const lostAt = performance.now();
    await c.host.kill();
    await untilServing(shop, { a: 3, b: 3 });
    const tookMs = performance.now() - lostAt;
    assert.ok(tookMs < Math.max(HEARD_MS, LOSS_MS) + START_MS, `${Math.round(tookMs)} ms`);
    assert.match((await sharesOf(shop)).why, /^c is gone$/);

    await c.host.start();
    await shop.agent(c.host);
    const least = watched(async () => (await shares(shop, ['a', 'b', 'c'])).serving);
    await untilServing(shop, { a: 2, b: 2, c: 2 });
    assert.ok((await least()) >= 6, 'a container went before its successor served');
    for (const load of loads) await lostNothing(load);

    const nine = await shop.must('scale', 'web=total:9', '--wait', '--timeout', '60');
    assert.match(nine, /Component web -> 9 in all\n[\s\S]*web: 9 containers serve on 3 hosts/);
    await untilServing(shop, { a: 3, b: 3, c: 3 });
    assert.match(await shop.must('list'), /web +ready, scaled to 9 in all/);
    assert.match(
      await shop.must('why', '-c', 'web'),
      /its release says 6 in all[\s\S]* 3 of 3 containers serve/,
    );
    assert.match(await shop.must('list', '--hosts'), /serving 3\/3/);
    const plain = await shop.must('scale', 'web=1', '--wait');
    assert.match(plain, /Component web -> 1 on each host/);
    await untilServing(shop, { a: 1, b: 1, c: 1 });
    await shop.deploy('v2', { ...SIX, instances: { total: 3 } });
    assert.match(await shop.must('list'), /web +ready +/);
    exitedWith(2, await shop.gantryd('scale', 'web=x'));
    exitedWith(2, await shop.gantryd('scale', 'wbe=2'));
  });

  test('is on two in half a minute by default, and before an agent that takes its part along has ended', {
    skip: skipDefaultLoss,
  }, async (t) => {
    await shop.clear();
    const [a, b, c] = (await shop.agents()) as [Agent, Agent, Agent];
    await shop.deploy('v1', { instances: { total: 6 }, update: { monitor: 0, keepOld: 0 } });
    await untilServing(shop, { a: 2, b: 2, c: 2 });
    const loads = await shop.loads(t, [a.host, b.host]);
    const lostAt = performance.now();
    await c.host.kill();
    await untilServing(shop, { a: 3, b: 3 }, DEFAULT_LOSS_MS + START_MS);
    const tookMs = performance.now() - lostAt;
    const words = `six serve on two hosts ${Math.round(tookMs)} ms after the third was lost`;
    assert.ok(tookMs < DEFAULT_LOSS_MS + START_MS, words);
    t.diagnostic(words);

    await c.host.start();
    const leaving = await shop.agent(c.host, '--stop-on-exit');
    await untilServing(shop, { a: 2, b: 2, c: 2 });
    const least = watched(async () => (await shares(shop, ['a', 'b', 'c'])).serving);
    leaving.signal('SIGTERM');
    exitedWith(0, await leaving.ended);
    assert.ok((await least()) >= 6, 'a container went with its agent before its successor served');
    await untilServing(shop, { a: 3, b: 3 });
    for (const load of loads) await lostNothing(load);
  });
});

/** What each host's agent says serves, of the hosts whose agents live. */
async function shares(shop: FleetShop, hosts: readonly string[]) {
  const statuses = (await shop.statuses()).filter((s) => hosts.includes(s.host));
  const count = (host: string) =>
    statuses.find((s) => s.host === host)?.containers.filter((c) => c.state === 'serving').length ?? 0;
  const by = Object.fromEntries(hosts.map((host) => [host, count(host)]));
  return { by, serving: Object.values(by).reduce((sum, n) => sum + n, 0) };
}

async function untilServing(
  shop: FleetShop,
  wanted: Readonly<Record<string, number>>,
  timeoutMs = WAIT_MS,
): Promise<void> {
  const hosts = Object.keys(wanted);
  const isSo = async () => JSON.stringify((await shares(shop, hosts)).by) === JSON.stringify(wanted);
  await until(isSo, { timeoutMs, what: `${JSON.stringify(wanted)} to serve` });
}

async function sharesOf(shop: FleetShop): Promise<SharesValue> {
  const [value] = await shop.values<SharesValue>(keys().project(PROJECT).shares('web'));
  return value ?? assert.fail('no shares');
}

/** The least that was seen until it is asked for. */
function watched(look: () => Promise<number>): () => Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  let ended = false;
  const looking = (async () => {
    for (; !ended; await delay(LOOK_EVERY_MS)) least = Math.min(least, await look());
  })();
  return async () => {
    ended = true;
    await looking;
    return least;
  };
}
