/** An update of three hosts under load loses nothing, and no two hosts have their turn at once. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { StatusValue } from '../../src/cluster/values.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet, WITH_LED } from './fleet.ts';
import { getText, lostNothing } from './shop.ts';

describe('a fleet of three', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings);
  });
  after(() => endings.run());

  test('an update under load loses nothing, and one host at a time has its turn', async (t) => {
    const agents = await shop.agents();
    await shop.deploy('v1', WITH_LED);
    const loads = await shop.loads(t, shop.hosts, { led: true });
    await shop.setConfig('v2', { ...WITH_LED, update: { monitor: 300 } });
    const update = await shop.must('update', '--wait', '--note', 'to v2');
    assert.match(update, /Component web -> [0-9a-f]{12}/);
    for (const host of shop.hosts) assert.equal(await getText(shop.http(host), '/version'), 'v2');
    for (const load of loads) await lostNothing(load);
    const turns = agents.map((agent) => {
      const steps = agent.events('rollout-step').filter((e) => e.release === 2);
      const at = (step: string) => Number(steps.find((e) => e.step === step)?.at);
      return { host: agent.host.name, from: at('adopt'), to: at('settle') };
    });
    turns.sort((a, b) => a.from - b.from);
    for (const [i, turn] of turns.entries()) {
      const next = turns[i + 1];
      assert.ok(turn.from < turn.to, JSON.stringify(turn));
      assert.ok(next === undefined || turn.to <= next.from, JSON.stringify(turns));
    }
    const settled = (s: StatusValue) => s.serving === 2 && s.phase === 'serving';
    assert.ok((await shop.statuses()).every(settled));
  });
});
