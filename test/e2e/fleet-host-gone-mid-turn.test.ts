/** A host that loses its power in the middle of its turn holds nobody up, and is on the new release once it is back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet } from './fleet.ts';
import { hold, letQueue } from './fleet-acts.ts';
import { endsWhole, GATED, setGate, tells } from './fleet-faults.ts';
import { exitedWith, getText, lostNothing } from './shop.ts';

describe('a host that is gone in its turn', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings);
  });
  after(() => endings.run());

  test('the others go on after its lease, and once it is back it goes straight to what is wanted', async (t) => {
    const [a, b, c] = (await shop.agents()) as [Agent, Agent, Agent];
    await shop.deploy('v1');
    await setGate(a.host, true);
    await setGate(c.host, true);
    const loads = await shop.loads(t, [a.host, c.host]);
    await shop.setConfig('v2', { ...GATED, update: { monitor: 300, keepOld: 0 } });
    hold([a, b, c]);
    const update = shop.begin('update', '--wait');
    await letQueue(shop, [b, a, c]);
    await tells(b, 'container-started', (e) => e.release === 2);
    await b.host.kill();

    exitedWith(0, await update.ended);
    assert.deepEqual(
      update.events('host-gone').map((e) => e.host),
      ['b'],
    );
    assert.deepEqual(
      update.events('result').map((e) => e.outcome),
      ['done'],
    );
    for (const { host } of [a, c]) assert.equal(await getText(shop.http(host), '/version'), 'v2');
    for (const load of loads) await lostNothing(load);

    await b.host.start();
    await setGate(b.host, true);
    const back = await shop.agent(b.host);
    await endsWhole(shop, { release: 2, version: 'v2', loads: [] });
    const steps = back.events('rollout-step').map((e) => e.step);
    assert.ok(steps.includes('adopt') && !steps.includes('queue'), steps.join());
  });
});
