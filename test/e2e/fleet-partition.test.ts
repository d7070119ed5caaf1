/** A host that etcd does not hear of any more gives its turn up by its own clock, and serves and heals meanwhile. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import type { Load } from '../ground/load.ts';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { answering, hold, letQueue } from './fleet-acts.ts';
import {
  endsWhole,
  GATED,
  isStep as isStepTo,
  KEYS,
  setGate,
  steps as stepsTo,
  tells,
  timeOf,
} from './fleet-faults.ts';
import { type Event, exitedWith, getText, lostNothing } from './shop.ts';

describe('a host that etcd does not hear of', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly [Agent, Agent, Agent];
  let loads: readonly [Load, Load, Load];
  /** The one that the test's update makes. */
  let release: number;
  /** One fleet for both. */
  before(async () => {
    shop = await openFleetShop(endings);
    agents = (await shop.agents()) as unknown as typeof agents;
  });
  after(() => endings.run());
  afterEach(() => Promise.all(loads.map((load) => load.stop())).then(() => undefined));
  beforeEach(async () => {
    await shop.deploy('v1', { update: { monitor: 0, keepOld: 0 } });
    release = (await shop.values(KEYS.releases('web').from)).length + 1;
    for (const host of shop.hosts) await setGate(host, false);
    loads = (await shop.loads(endings)) as unknown as typeof loads;
  });

  /** `b` has its turn first; answers once its container is started, and is not ready since its gate is closed. */
  async function inTurn(...then: readonly Agent[]) {
    const [, b] = agents;
    await shop.setConfig('v2', { ...GATED, update: { monitor: 300, keepOld: 0 } });
    hold(agents);
    const update = shop.begin('update', '--wait');
    await letQueue(shop, [b, ...then]);
    await tells(b, 'container-started', (e) => e.release === release);
    return update;
  }

  test('cut off before its switch, or while it waits, it gives up in time, heals, and follows once it is back', async () => {
    const [a, b, c] = agents;
    const update = await inTurn(c, a);
    await Promise.all([b.host.cutOff(etcd()), c.host.cutOff(etcd())]);

    await steps(b, 'take-back');
    await setGate(b.host, true);
    await Promise.all([b, c].map(({ host }) => heals(host)));
    await steps(a, 'adopt');
    const gaveUp = timeOf(b, 'rollout-step', isStep('take-back'));
    assert.ok(gaveUp <= timeOf(a, 'rollout-step', isStep('adopt')), 'given up before another has its turn');

    await b.host.heal();
    const again = (e: Event) => Number(e.at) > gaveUp;
    await tells(b, 'rollout-step', (e) => isStep('queue')(e) && again(e));
    assert.equal(await getText(shop.http(b.host), '/version'), 'v1');
    await setGate(a.host, true);
    exitedWith(0, await update.ended);
    assert.equal(await getText(shop.http(b.host), '/version'), 'v2');
    assert.equal(await getText(shop.http(c.host), '/version'), 'v1');
    const settled = timeOf(a, 'rollout-step', isStep('settle'));
    assert.ok(timeOf(b, 'rollout-step', (e) => isStep('adopt')(e) && again(e)) >= settled, 'one at a time');

    await setGate(c.host, true);
    await c.host.heal();
    await endsWhole(shop, { release, version: 'v2', loads: [loads[0]] });
    assert.ok(c.events('rollout-step').some((e) => e.step === 'adopt' && e.why === 'the fleet has it'));
  });

  test('stopped for longer than its lease, it does not switch as if it still had its turn', async () => {
    const [a, b, c] = agents;
    const update = await inTurn(a, c);
    b.signal('SIGSTOP');
    await b.host.cutOff(etcd()); // its own clock alone is to tell it
    await setGate(b.host, true);
    await steps(a, 'adopt');
    b.signal('SIGCONT');
    await steps(b, 'take-back');
    await b.host.heal();
    const gaveUp = timeOf(b, 'rollout-step', isStep('take-back'));
    await tells(b, 'rollout-step', (e) => isStep('queue')(e) && Number(e.at) > gaveUp);
    assert.equal(await getText(shop.http(b.host), '/version'), 'v1');
    await setGate(a.host, true);
    await setGate(c.host, true);
    exitedWith(0, await update.ended);
    await endsWhole(shop, { release, version: 'v2', loads });
    const switched = timeOf(b, 'switched', (e) => e.release === release);
    for (const other of [a, c]) assert.ok(timeOf(other, 'rollout-step', isStep('settle')) <= switched);
  });

  function isStep(step: string): (event: Event) => boolean {
    return isStepTo(step, release);
  }

  function steps(agent: Agent, step: string): Promise<Event> {
    return stepsTo(agent, step, release);
  }

  function etcd(): { address: string } {
    return { address: shop.fleet.place('etcd').address };
  }

  /** Its load has lost nothing so far; what serves is killed, and another container takes its place. */
  async function heals(host: Host): Promise<void> {
    const load = loads[shop.hosts.indexOf(host)] as Load;
    await lostNothing(load);
    const { id } = await answering(shop, host);
    await dockerCall('POST', `/containers/${id}/kill`, undefined, [204], host.docker);
    const another = async () => {
      const now = await answering(shop, host);
      return now.version === 'v1' && now.id !== id;
    };
    await until(another, { timeoutMs: WAIT_MS, what: `${host.name} to heal` });
  }
});
