/**
 * A host that comes when all is done, or comes back after days, goes straight to what is wanted; one that comes back in
 * the middle of a rollout takes its turn.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { type Agent, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { answering, expireKeys, hold, letQueue, rolloutOf, turns, untilOn } from './fleet-acts.ts';
import { KEYS } from './fleet-faults.ts';
import { lostNothing } from './shop.ts';

describe('a host of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let c: Host;
  /** By the names of their hosts. One fleet for all: each test goes on from what the one before has left. */
  const agents = new Map<string, Agent>();
  /** The newest release there is when a test begins. */
  let last: number;
  before(async () => {
    shop = await openFleetShop(endings);
    c = shop.fleet.host('c');
  });
  after(() => endings.run());
  beforeEach(async () => {
    last = (await shop.values(KEYS.releases('web').from)).length;
  });

  test('that joins after a rollout runs its release, without a turn', async () => {
    await Promise.all([begins('a'), begins('b')]);
    await shop.deploy('v1');
    await shop.deploy('v2');
    const before = await rolloutOf(shop);
    const agent = await begins('c');
    await untilOn(shop, c, 'serves', (s) => s.settled === 2 && s.serving === 2);
    assert.equal((await answering(shop, c)).version, 'v2');
    assert.deepEqual(stepsOf(agent, 2), ['learn-release', 'prepare', 'adopt', 'settle']);
    assert.deepEqual(await rolloutOf(shop), before);
  });

  test('that comes back after two updates goes to the newest, start-first', async (t) => {
    const { id: before } = await serveEverywhere();
    await leaves();
    await shop.deploy('later');
    await shop.deploy('newest');
    const { id } = await answering(shop, c);
    assert.equal(id, before);
    const loads = await shop.loads(t, [c]);
    const agent = await begins('c');
    await untilOn(shop, c, 'serves', (s) => s.settled === last + 2 && s.serving === last + 2);
    const now = await answering(shop, c);
    assert.equal(now.version, 'newest');
    assert.notEqual(now.id, id);
    for (const load of loads) await lostNothing(load);
    assert.deepEqual(agent.events('container-created').length, 1, 'nothing of the one between');
    assert.deepEqual(stepsOf(agent, last + 2), ['learn-release', 'prepare', 'adopt', 'settle']);
  });

  test('that comes back in the middle of a rollout takes its turn', async (t) => {
    const { version } = await serveEverywhere();
    await leaves();
    const loads = await shop.loads(t, [c]);
    await shop.setConfig('last', { update: { monitor: 1_000 } });
    const [first, second] = ['a', 'b'].map((name) => agents.get(name));
    assert.ok(first !== undefined && second !== undefined);
    hold([second]);
    await shop.must('update');
    await letQueue(shop, [first, second]);
    const isRunning = async () => (await rolloutOf(shop)).state === 'running';
    await until(isRunning, { timeoutMs: WAIT_MS, what: 'the rollout to be running' });
    hold([second]); // before its turn, so that the rollout cannot be over before c is there
    const agent = await begins('c');
    const isQueued = async () => (await turns(shop)).some((turn) => turn.host === 'c');
    await until(isQueued, { timeoutMs: WAIT_MS, what: 'c to be in the queue' });
    assert.equal((await answering(shop, c)).version, version);
    second.signal('SIGCONT');
    const isDone = async () => (await rolloutOf(shop)).state === 'done';
    await until(isDone, { timeoutMs: WAIT_MS, what: 'the rollout to be done' });
    for (const host of shop.hosts) assert.equal((await answering(shop, host)).version, 'last', host.name);
    for (const load of loads) await lostNothing(load);
    const settled = [first, second].map((other) => at(other, 'settle'));
    assert.ok(at(agent, 'adopt') >= Math.max(...settled), 'the others were done before c had its turn');
  });

  async function begins(host: string): Promise<Agent> {
    const agent = await shop.agent(host);
    agents.set(host, agent);
    return agent;
  }

  /** Answers what serves on c. */
  async function serveEverywhere(): Promise<{ id: string; version: string }> {
    await Promise.all(shop.hosts.filter(({ name }) => !agents.has(name)).map(({ name }) => begins(name)));
    if (last === 0) await shop.deploy(`v${++last}`);
    return answering(shop, c);
  }

  /** c's agent, and with its lease all that it told. */
  async function leaves(): Promise<void> {
    const gone = agents.get('c');
    gone?.signal('SIGTERM');
    await gone?.ended;
    await expireKeys(shop, c);
    assert.equal((await shop.statuses()).length, 2);
  }

  function stepsOf(agent: Agent, release: number): readonly unknown[] {
    const steps = agent.events('rollout-step').filter((e) => e.release === release);
    return steps.map((e) => e.step).filter((step) => step !== 'complete');
  }

  function at(agent: Agent, step: string): number {
    return Number(agent.events('rollout-step').find((e) => e.step === step && e.release === last + 1)?.at);
  }
});
