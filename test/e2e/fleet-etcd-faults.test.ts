/** Whatever becomes of etcd, what serves goes on and heals; what was asked for goes on when etcd is back. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Load } from '../ground/load.ts';
import {
  type Agent,
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { hold, letQueue } from './fleet-acts.ts';
import { endsWhole, GATED, KEYS, setGate, steps, tells } from './fleet-faults.ts';
import { exitedWith } from './shop.ts';

/** Longer than a lease, so that all turns are lost; 60000 is a full minute. */
const OUTAGE_MS = Number(process.env.GANTRYD_TEST_OUTAGE_MS ?? 20_000);
/** Shorter than a lease: nothing is lost but time. */
const HANGS_MS = 6_000;
/** A person waits no longer for a command to say that etcd is away. */
const REFUSED_WITHIN_MS = 15_000;
const AWAY = /no etcd answers at http:.*\n.*Check the addresses/;

/** Beside `web`, and not updated: it is at rest whatever happens. */
const STORE: ComponentFile = {
  name: 'store',
  ports: [{ external: 8081, container: 8080, kind: 'http' }],
  readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
  readyTimeout: 30_000,
};

describe('a fleet whose etcd has trouble', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  let loads: readonly Load[];
  /** The one that the test's update makes. */
  let release: number;
  /** One fleet for all: each test goes on from the release that the one before has left. */
  before(async () => {
    shop = await openFleetShop(endings, { etcd: { members: 3 } });
    agents = await shop.agents();
    await shop.deploy('v1', {}, [STORE]);
  });
  after(() => endings.run());
  beforeEach(async () => {
    loads = await shop.loads(endings);
    release = (await shop.values(KEYS.releases('web').from)).length + 1;
  });
  afterEach(async () => {
    await Promise.all(loads.map((load) => load.stop()));
  });

  test('its leader is killed during a rollout: it finishes, and nothing is lost', async () => {
    await shop.setConfig('v2', { update: { monitor: 1_000, keepOld: 0 } }, [STORE]);
    const update = shop.begin('update', '-c', 'web', '--wait');
    await Promise.any(agents.map((agent) => steps(agent, 'adopt', release)));
    const leader = await shop.etcd.leader();
    await shop.etcd.kill(leader);
    exitedWith(0, await update.ended);
    await shop.etcd.start(leader);
    await endsWhole(shop, { release, version: 'v2', loads });
    madeOnce(agents);
  });

  test('it hangs: orders are refused in time, traffic goes on, and then all goes on', async () => {
    const before = await Promise.all(shop.hosts.map((host) => shop.containers(host)));
    for (const member of [0, 1, 2]) await shop.etcd.pause(member);
    const since = performance.now();
    await isRefused('update');
    await until(() => performance.now() - since > HANGS_MS, { timeoutMs: 2 * HANGS_MS, what: 'the hang' });
    for (const member of [0, 1, 2]) shop.etcd.resume(member);
    const there = async () => (await shop.statuses()).length === shop.hosts.length;
    await until(there, { timeoutMs: WAIT_MS, what: 'all hosts to tell how they are' });
    const after = await Promise.all(shop.hosts.map((host) => shop.containers(host)));
    assert.deepEqual(after, before);
    await shop.setConfig('v3', { update: { monitor: 0, keepOld: 0 } }, [STORE]);
    await shop.must('update', '-c', 'web', '--wait');
    await endsWhole(shop, { release, version: 'v3', loads });
  });

  test('it is away for long: traffic and healing go on, orders are refused, and then all goes on by itself', async () => {
    const [a, b, c] = agents as [Agent, Agent, Agent];
    const stores = await Promise.all(shop.hosts.map((host) => shop.containers(host, 'store')));
    for (const host of shop.hosts) await setGate(host, false);
    await shop.setConfig('v4', { ...GATED, update: { monitor: 0, keepOld: 0 } }, [STORE]);
    hold(agents);
    const update = shop.begin('update', '-c', 'web', '--wait');
    await letQueue(shop, [b, a, c]);
    await tells(b, 'container-started', (e) => e.component === 'web' && e.release === release);

    const since = performance.now();
    await Promise.all([0, 1, 2].map((member) => shop.etcd.kill(member)));
    const orders = [['update'], ['stop', '-c', 'store'], ['rollback'], ['rollout pause', '-c', 'web']];
    for (const [action = '', ...args] of orders) await isRefused(action, ...args);
    const [killed] = stores[2] ?? [];
    await dockerCall('POST', `/containers/${killed?.id}/kill`, undefined, [204], c.host.docker);
    const healed = async () => {
      const [store, ...more] = await shop.containers(c.host, 'store');
      return store?.state === 'running' && store.id !== killed?.id && more.length === 0;
    };
    await until(healed, { timeoutMs: WAIT_MS, what: 'the store to be healed' });
    await steps(b, 'take-back', release);
    for (const host of shop.hosts) await setGate(host, true);
    await until(() => performance.now() - since > OUTAGE_MS, {
      timeoutMs: 2 * OUTAGE_MS,
      what: 'the outage',
    });
    for (const agent of agents) assert.ok(!agent.events('switched').some((e) => e.release === release));
    await Promise.all([0, 1, 2].map((member) => shop.etcd.start(member)));

    exitedWith(0, await update.ended);
    await endsWhole(shop, { release, version: 'v4', loads });
    const after = await Promise.all(shop.hosts.map((host) => shop.containers(host, 'store')));
    const ids = (all: typeof after) => all.map((on) => on.map((c) => c.id));
    assert.deepEqual(ids(after).slice(0, 2), ids(stores).slice(0, 2), 'nothing is replaced without need');
    madeOnce([a, c]);
  });

  async function isRefused(action: string, ...args: readonly string[]): Promise<void> {
    const since = performance.now();
    const refused = await shop.gantryd(action, ...args);
    exitedWith(1, refused);
    assert.match(refused.stderr, AWAY);
    assert.ok(performance.now() - since < REFUSED_WITHIN_MS, `${action} was refused in time`);
  }

  /** None of them made a second container of the release. */
  function madeOnce(by: readonly Agent[]): void {
    for (const agent of by) {
      const made = agent
        .events('container-created')
        .filter((e) => e.component === 'web' && e.release === release);
      assert.equal(made.length, 1, agent.host.name);
    }
  }
});
