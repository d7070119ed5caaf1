/**
 * A release that is bad on one host of a fleet goes back, or freezes where it is, as it asks for; clients on no host
 * notice.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '../ground/harness.ts';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import {
  allAnswering,
  answering,
  firstWith,
  flawedIn,
  hold,
  letQueue,
  rolloutOf,
  setFlaw,
} from './fleet-acts.ts';
import { KEYS } from './fleet-faults.ts';
import { exitedWith, getText, lostNothing } from './shop.ts';

describe('a bad release in a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  /** The one that the test's update makes. */
  let release: number;
  /** One fleet for all: each but the last goes back to release 1. */
  before(async () => {
    shop = await openFleetShop(endings);
    for (const host of shop.hosts) await setFlaw(host, host.name === 'b');
    agents = await shop.agents();
    await shop.deploy('v1');
  });
  after(() => endings.run());
  beforeEach(async () => {
    release = (await shop.values(KEYS.releases('web').from)).length + 1;
  });

  /** `a` has its turn first, then `b`, which has the flaw, then `c`. */
  async function updateInOrder() {
    hold(agents.slice(1));
    const update = shop.gantryd('update', '--wait');
    await letQueue(shop, agents);
    return await update;
  }

  test('is taken back from the host that had moved, to its warm container', async (t) => {
    const before = await allAnswering(shop);
    const loads = await shop.loads(t);
    await shop.setConfig('v2', {
      ...flawedIn('readiness'),
      readyTimeout: 6_000,
      update: { monitor: 300 },
    });
    const update = await updateInOrder();
    exitedWith(1, update);
    assert.match(
      update.stderr,
      told(`Release ${release} of web was rolled back to release 1: b: .*not ready`),
    );
    assert.match(update.stderr, told(`Release ${release} failed on b`));
    assert.match(update.stderr, /last check: .*503/);
    assert.match(update.stderr, /\| this host has a flaw/);
    assert.deepEqual(await allAnswering(shop), before, 'the containers that served before');
    for (const load of loads) await lostNothing(load);

    assert.equal(stepOf('a', 'adopt'), 1, 'a had moved');
    assert.equal(stepOf('c', 'adopt'), 0, 'c never had its turn');
    const history = await shop.must('history', '-c', 'web');
    assert.match(history, told(`^${release} .* failed: b: .*not ready`));
    assert.match(history, /^1 \* .* completed/m);
    assert.match(await shop.must('list'), /^web +ready +[0-9a-f]{12}$/m);
  });

  test('goes back also when it breaks while it is watched', async (t) => {
    const before = await allAnswering(shop);
    const loads = await shop.loads(t);
    const health = { kind: 'http', path: '/health', port: 8080, interval: 200, fall: 2 };
    await shop.setConfig('v2', { healthChecks: [health], update: { monitor: 600_000 } });
    const update = shop.gantryd('update', '--wait');
    const host = await firstWith(shop, 'is watched', (s) => s.phase === 'watching' && s.serving === release);
    assert.equal(await getText(shop.http(host), '/version'), 'v2');
    await getText(shop.http(host), '/break');
    const ended = await update;
    exitedWith(1, ended);
    assert.match(ended.stderr, new RegExp(`was rolled back to release 1: ${host.name}: .*unhealthy`));
    assert.match(ended.stderr, /503/);
    assert.match(ended.stderr, /\| example app v2 listens/);
    assert.deepEqual(await allAnswering(shop), before, 'the containers that served before');
    for (const load of loads) await lostNothing(load);
    for (const other of shop.hosts) {
      if (other !== host) assert.equal(stepOf(other.name, 'adopt'), 0, `${other.name} never moved`);
    }
  });

  test('freezes where it is, is told of, and is finished once its cause is mended', async (t) => {
    const before = await allAnswering(shop);
    const loads = await shop.loads(t);
    const update = { monitor: 300, onFailure: 'pause' };
    await shop.setConfig('v2', { ...flawedIn('starting'), update });
    const asked = await updateInOrder();
    exitedWith(1, asked);
    assert.match(asked.stderr, /The rollout of web is paused: b: /);
    const frozen = await allAnswering(shop);
    assert.match(frozen.a ?? '', /^v2 /);
    assert.deepEqual([frozen.b, frozen.c], [before.b, before.c]);

    const why = await shop.must('why', '-c', 'web');
    const status = await shop.must('rollout status', '-c', 'web');
    for (const text of [why, status]) {
      assert.match(text, /The rollout, begun .* ago, is paused: b: /);
      assert.match(text, /gantryd rollout resume lets it go on/);
      assert.match(text, told(`Release ${release} failed on b: `));
      assert.match(text, /exit code 7/);
      assert.match(text, /\| this host has a flaw/);
    }
    assert.match(await shop.must('list'), /^web +paused +[0-9a-f]{12}$/m);

    await setFlaw(shop.fleet.host('b'), false);
    const resumed = await shop.must('rollout resume', '-c', 'web');
    assert.match(resumed, told(`The rollout of release ${release} of web goes on: .*attempt 2`));
    const isDone = async () => (await rolloutOf(shop)).state === 'done';
    await until(isDone, { timeoutMs: WAIT_MS, what: 'the rollout to be done' });
    for (const host of shop.hosts) assert.equal((await answering(shop, host)).version, 'v2');
    assert.equal((await answering(shop, shop.first)).id, frozen.a?.split(' ')[1], 'a had it already');
    for (const load of loads) await lostNothing(load);
    assert.match(await shop.must('history', '-c', 'web'), told(`^${release} \\* .* completed`));
  });

  function told(text: string): RegExp {
    return new RegExp(text, 'm');
  }

  function stepOf(host: string, step: string): number {
    const agent = agents.find((a) => a.host.name === host);
    const steps = agent?.events('rollout-step') ?? [];
    return steps.filter((e) => e.step === step && e.release === release).length;
  }
});
