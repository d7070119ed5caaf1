/** An etcd that forgot, that was restored to an older state, or that somebody wiped changes nothing that runs. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { DesiredValue, StatusValue } from '../../src/cluster/values.ts';
import { until } from '../ground/harness.ts';
import type { Load } from '../ground/load.ts';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { allAnswering } from './fleet-acts.ts';
import { endsWhole, KEYS } from './fleet-faults.ts';
import { exitedWith } from './shop.ts';

const WEB = { update: { monitor: 0, keepOld: 0 } };

describe('a fleet whose etcd lost what it knew', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  let loads: readonly Load[];
  /** What serves when a test begins. */
  let first: number;
  /** One fleet for all: each test goes on from the release that the one before has left. */
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    agents = await shop.agents();
    await shop.deploy('v1', WEB);
  });
  after(() => endings.run());
  beforeEach(async () => {
    first =
      (await shop.values<DesiredValue>(KEYS.desired('web')))[0]?.release ?? assert.fail('nothing is wanted');
    loads = await shop.loads(endings);
  });
  afterEach(() => Promise.all(loads.map((load) => load.stop())).then(() => undefined));

  test('compacted while a host was cut off: it follows what it missed', async () => {
    const [, b] = agents as [Agent, Agent];
    await b.host.cutOff({ address: shop.fleet.place('etcd').address });
    await shop.setConfig('v2', WEB);
    const update = shop.begin('update', '--wait');
    const isMade = async () => (await shop.values(KEYS.release('web', first + 1))).length === 1;
    await until(isMade, { timeoutMs: WAIT_MS, what: 'the release to be made' });
    await shop.etcd.compact();
    await b.host.heal();
    exitedWith(0, await update.ended);
    await endsWhole(shop, { release: first + 1, version: 'v2', loads });
  });

  test('restored to before the last update: what runs stays, why says it, and the next update is followed', async () => {
    const snapshot = await shop.etcd.snapshot();
    await shop.deploy('v3', WEB);
    const before = await allAnswering(shop);
    await shop.etcd.restore(snapshot);

    await shop.untilStatus(
      'all to say what they see',
      (all) => all.length === 2 && all.every(isBehind(first + 1)),
    );
    assert.match(
      await shop.must('why', '-c', 'web'),
      /etcd asks for what this host has left behind.*was it restored/,
    );
    assert.deepEqual(await allAnswering(shop), before);

    await shop.setConfig('v4', WEB);
    assert.match(await shop.must('update', '--wait'), made(first + 2));
    await endsWhole(shop, { release: first + 2, version: 'v4', loads });
  });

  test('wiped: what runs stays, and a new config and update are followed under higher numbers', async () => {
    await shop.deploy('v5', WEB);
    const before = await allAnswering(shop);
    await shop.etcd.wipe('/gantryd');
    const refused = await shop.gantryd('update');
    exitedWith(2, refused);
    assert.match(refused.stderr, /No config was set.*\n.*setconfig/);

    await shop.setConfig('v6', WEB);
    assert.deepEqual(await allAnswering(shop), before);
    assert.match(await shop.must('update', '--wait'), made(first + 2));
    await endsWhole(shop, { release: first + 2, version: 'v6', loads });
  });
});

function made(release: number): RegExp {
  return new RegExp(`web -> [0-9a-f]{12} \\(release ${release}\\)`);
}

/** Each change of what is wanted was an update so far: the generation is the release. */
function isBehind(release: number): (status: StatusValue) => boolean {
  return ({ serving, known, why }) =>
    serving === release &&
    known.release === release &&
    known.generation === release &&
    /was it restored/.test(why);
}
