/** A rollback by an operator: in a moment while the containers before are warm, start-first when they are gone. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { until } from '../ground/harness.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { allAnswering, containerIds, untilAnswering } from './fleet-acts.ts';
import { exitedWith, jsonLines, lostNothing } from './shop.ts';

/** A second or so is promised; a machine that is busy with other things takes longer. */
const INSTANT_MS = 8_000;

describe('a rollback in a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
  });
  after(() => endings.run());
  beforeEach(() => shop.agents());
  afterEach(() => shop.clear());

  test('routes warm containers again on all hosts, within moments and with none lost', async (t) => {
    await shop.deploy('v1');
    const first = await allAnswering(shop);
    await shop.deploy('v2');
    const loads = await shop.loads(t);
    const there = await containerIds(shop);

    assert.match(await shop.must('rollback'), /^Component web -> release 1$/m);
    const asked = performance.now();
    await untilAnswering(shop, 'v1');
    const took = performance.now() - asked;
    assert.ok(took < INSTANT_MS, `all hosts were back after ${took} ms`);
    const settled = (s: { settled: number; serving: number }) => s.settled === 3 && s.serving === 1;
    await shop.untilStatus('all to be settled on release 1', (all) => all.length === 2 && all.every(settled));
    assert.deepEqual(await allAnswering(shop), first, 'the containers that served before');
    assert.deepEqual(await containerIds(shop), there, 'none was started, and those of release 2 are warm');

    const again = await shop.must('rollback', '--to', '2', '-c', 'web', '--wait');
    assert.match(again, /^web: release 2 serves on all 2 hosts$/m);
    await untilAnswering(shop, 'v2');
    assert.deepEqual(await containerIds(shop), there);
    for (const load of loads) await lostNothing(load);
    assert.match(await shop.must('rollback', '--to', '2', '-c', 'web'), /Component web is at release 2/);
  });

  test('starts new containers first when those before are gone', async (t) => {
    await shop.deploy('v1');
    const first = await containerIds(shop);
    await shop.deploy('v2', { update: { monitor: 0, keepOld: 0 } });
    const isGone = async () => !(await containerIds(shop)).some((id) => first.includes(id));
    await until(isGone, { timeoutMs: WAIT_MS, what: 'the first containers to be gone' });
    const loads = await shop.loads(t);
    await shop.must('rollback', '--wait');
    for (const load of loads) await lostNothing(load);
    for (const told of Object.values(await allAnswering(shop))) assert.match(told, /^v1 /);

    const unknown = await shop.gantryd('rollback', '--to', '7', '-c', 'web');
    exitedWith(2, unknown);
    assert.match(unknown.stderr, /^Error: web has no release 7\n.*It has: 1, 2\./);
    const forPrograms = await shop.gantryd('rollback', '--to', '7', '-c', 'web', '--json');
    exitedWith(2, forPrograms);
    assert.equal(jsonLines(forPrograms.stdout).at(-1)?.code, 'release-unknown');
    const older = await shop.gantryd('rollback', '-c', 'web');
    exitedWith(2, older);
    assert.match(older.stderr, /No release of web before release 1 has served everywhere/);
  });
});
