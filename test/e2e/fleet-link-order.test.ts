/** Components that are updated together go one after the other: who offers a link before who requires it. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  type Agent,
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  skipWithoutFleet,
} from './fleet.ts';
import { allAnswering, flawedIn, rolloutOf, setFlaw } from './fleet-acts.ts';
import { GATED, isOn, KEYS, setGate } from './fleet-faults.ts';
import { exitedWith, lostNothing } from './shop.ts';

const QUICK = { monitor: 0, keepOld: 0 };
const WEB: ComponentFile = { update: QUICK, requireComponentLinks: [{ name: 'db-http', alias: 'db' }] };

function db(version: string, over: ComponentFile = {}): ComponentFile {
  return {
    name: 'db',
    environmentVariables: [{ name: 'VERSION', value: version }],
    readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
    readyTimeout: 30_000,
    update: QUICK,
    defineComponentLinks: [{ name: 'db-http', port: 8080, kind: 'http' }],
    ...over,
  };
}

describe('components updated together', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  /** Of both, the one that the test's update makes. */
  let release: number;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    agents = await shop.agents();
  });
  after(() => endings.run());
  beforeEach(async () => {
    for (const host of shop.hosts) {
      await setFlaw(host, false);
      await setGate(host, false);
    }
    await shop.deploy('w1', WEB, [db('d1')]);
    release = (await shop.values(KEYS.releases('web').from)).length + 1;
  });

  test('an importer waits until its exporter is done on all hosts, and why says so', async () => {
    const before = await allAnswering(shop);
    await shop.setConfig('w2', WEB, [db('d2', GATED)]);
    const order = shop.begin('update', '--wait');
    const waits = (why: string) => why === 'db is updated first';
    await shop.untilStatus('all to wait for db', (all) => all.some((s) => waits(s.why)));
    await shop.untilStatus('a host to start', (all) => all.some((s) => s.phase === 'starting'), 'db');
    const why = await shop.must('why', '-c', 'web');
    assert.match(why, /^The rollout, begun .* ago, is preparing\.\nBefore it switches, db must be done\./m);
    assert.match(why, /^ {2}db is updated first$/m);
    assert.deepEqual(await allAnswering(shop), before);

    for (const host of shop.hosts) await setGate(host, true);
    exitedWith(0, await order.ended);
    for (const component of ['web', 'db'])
      await shop.untilStatus(`${component} to be settled`, (all) => all.every(isOn(release)), component);
    const when = (component: string, step: string) =>
      agents.flatMap((agent) =>
        agent
          .events('rollout-step')
          .filter((e) => e.component === component && e.step === step && e.release === release)
          .map((e) => Number(e.at)),
      );
    const [settled, adopted] = [when('db', 'settle'), when('web', 'adopt')];
    assert.deepEqual([settled.length, adopted.length], [2, 2]);
    assert.ok(Math.max(...settled) < Math.min(...adopted), `${settled} before ${adopted}`);
  });

  test('when the exporter goes back, so does the importer, which tells the reason', async (t) => {
    const before = await allAnswering(shop);
    const loads = await shop.loads(t);
    await setFlaw(shop.fleet.host('b'), true);
    await shop.setConfig('w2', WEB, [db('d2', flawedIn('starting'))]);
    const update = await shop.gantryd('update', '--wait');
    exitedWith(1, update);
    const back = (component: string, why: string) =>
      new RegExp(`Release ${release} of ${component} was rolled back to release ${release - 1}: ${why}`);
    assert.match(update.stderr, back('db', 'b: '));
    assert.match(update.stderr, back('web', '[ab]: db, which it needs, could not be'));
    assert.match(update.stderr, /this host has a flaw/);
    assert.deepEqual(await allAnswering(shop), before, 'no importer was replaced');
    for (const load of loads) await lostNothing(load);
    for (const component of ['web', 'db']) {
      assert.match(await shop.must('history', '-c', component), new RegExp(`^${release} .* failed: `, 'm'));
      assert.match(await shop.must('list'), new RegExp(`^${component} +ready `, 'm'));
      assert.equal((await rolloutOf(shop, component)).state, 'done');
    }
    await setFlaw(shop.fleet.host('b'), false);
    await shop.must('update', '--wait');
  });
});
