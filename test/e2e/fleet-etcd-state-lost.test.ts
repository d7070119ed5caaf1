/** An etcd that forgot, that was restored to an older state, or that somebody wiped changes nothing that runs. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { StatusValue } from '../../src/cluster/values.ts';
import { until } from '../ground/harness.ts';
import type { Load } from '../ground/load.ts';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { allAnswering } from './fleet-acts.ts';
import { endsWhole } from './fleet-faults.ts';
import { exitedWith } from './shop.ts';

const WEB = { update: { monitor: 0, keepOld: 0 } };

describe('a fleet whose etcd lost what it knew', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  let loads: readonly Load[];
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
  });
  after(() => endings.run());
  beforeEach(async () => {
    agents = await shop.agents();
    await shop.deploy('v1', WEB);
    loads = await shop.loads(endings);
  });
  afterEach(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await shop.clear();
  });

  test('compacted while a host was cut off: it follows what it missed', async () => {
    const [, b] = agents as [Agent, Agent];
    await b.host.cutOff({ address: shop.fleet.place('etcd').address });
    await shop.setConfig('v2', WEB);
    const update = shop.begin('update', '--wait');
    await until(async () => (await shop.values('/gantryd/projects/shop/releases/web/2')).length === 1, {
      timeoutMs: WAIT_MS,
      what: 'release 2 to be made',
    });
    await shop.etcd.compact();
    await b.host.heal();
    exitedWith(0, await update.ended);
    await endsWhole(shop, { release: 2, version: 'v2', loads });
  });

  test('restored to before the last update: what runs stays, why says it, and the next update is followed', async () => {
    const snapshot = await shop.etcd.snapshot();
    await shop.deploy('v2', WEB);
    const before = await allAnswering(shop);
    await shop.etcd.restore(snapshot);

    await shop.untilStatus('all to say what they see', (all) => all.length === 2 && all.every(isLeftBehind));
    assert.match(
      await shop.must('why', '-c', 'web'),
      /etcd asks for what this host has left behind.*was it restored/,
    );
    assert.deepEqual(await allAnswering(shop), before);

    await shop.setConfig('v3', WEB);
    assert.match(await shop.must('update', '--wait'), /web -> [0-9a-f]{12} \(release 3\)/);
    await endsWhole(shop, { release: 3, version: 'v3', loads });
  });

  test('wiped: what runs stays, and a new config and update are followed under higher numbers', async () => {
    await shop.deploy('v2', WEB);
    const before = await allAnswering(shop);
    await shop.etcd.wipe('/gantryd');
    const refused = await shop.gantryd('update');
    exitedWith(2, refused);
    assert.match(refused.stderr, /No config was set.*\n.*setconfig/);

    await shop.setConfig('v3', WEB);
    assert.deepEqual(await allAnswering(shop), before);
    assert.match(await shop.must('update', '--wait'), /web -> [0-9a-f]{12} \(release 3\)/);
    await endsWhole(shop, { release: 3, version: 'v3', loads });
  });
});

function isLeftBehind({ serving, known, why }: StatusValue): boolean {
  return serving === 2 && known.release === 2 && known.generation === 2 && /was it restored/.test(why);
}
