/**
 * Updates of three hosts under load lose nothing, whether one host at a time has its turn or the first of them tries the
 * release out for all.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { StatusValue } from '../../src/cluster/values.ts';
import { until } from '../ground/harness.ts';
import { keepAliveClient } from '../ground/requests.ts';
import {
  type Agent,
  Endings,
  type FleetShop,
  openFleetShop,
  skipWithoutFleet,
  WAIT_MS,
  WITH_LED,
} from './fleet.ts';
import { allAnswering } from './fleet-acts.ts';
import { exitedWith, getText, lostNothing } from './shop.ts';

/** Who asks a release that is tried out. */
const CLIENTS = 8;
const PACE_MS = 10;

describe('a fleet of three, each time as it was left', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  before(async () => {
    shop = await openFleetShop(endings);
    agents = await shop.agents();
  });
  after(() => endings.run());

  test('an update under load loses nothing, and one host at a time has its turn', async (t) => {
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

  test('one that is slow where it is tried out is taken back for all, by its latency alone', async () => {
    const before = await allAnswering(shop);
    const canary = { instances: 1, minutes: 5, maxLatencyRatio: 1.5 };
    const late = { environmentVariables: [{ name: 'LATE_MS', value: '100' }] };
    await shop.setConfig('v3', { ...WITH_LED, ...late, update: { monitor: 0, canary } });
    const { update, host, errors } = await triedOut(3);
    exitedWith(1, update);
    const slow = '99 % of \\d+ requests were answered within \\d+ ms, release 2: within .* ms';
    assert.match(update.stderr, new RegExp(`was rolled back to release 2: ${host}: ${slow}`));
    assert.deepEqual(errors, []);
    assert.deepEqual(tellers('container-created', 3), [host], 'no other host has started it');
    assert.deepEqual(await allAnswering(shop), before, 'the containers that served before');
  });

  test('one that is well where it is tried out goes on to the others as it is', async () => {
    const canary = { percent: 40, minutes: 0.05 };
    await shop.setConfig('v4', { ...WITH_LED, update: { monitor: 0, canary } });
    const { update, host, errors } = await triedOut(4);
    exitedWith(0, update);
    assert.deepEqual(errors, []);
    const promoted = agents.flatMap((agent) => agent.events('canary-promoted'));
    assert.match(promoted.map((e) => e.why).join(), /^0 of \d+ requests failed.*; release 2: 0 of \d+$/);
    assert.deepEqual(tellers('canary-promoted', 4), [host]);
    assert.deepEqual(tellers('canary-started', 4), [host]);
    for (const on of Object.values(await allAnswering(shop))) assert.match(on, /^v4 /);
  });

  /** An update whose release gets requests where it is tried out, and only there; answers how both have ended. */
  async function triedOut(release: number) {
    const update = shop.gantryd('update', '--wait');
    const [host = ''] = await until(() => tellers('canary-started', release), {
      ...{ timeoutMs: WAIT_MS, what: `release ${release} to be tried out` },
    });
    const place = shop.http(shop.fleet.host(host));
    const clients = Array.from({ length: CLIENTS }, () => keepAliveClient(place, PACE_MS));
    const ended = await update.finally(() => Promise.all(clients.map((client) => client.stop())));
    return { update: ended, host, errors: clients.flatMap((client) => client.tally.errors) };
  }

  /** The hosts that told of such an event of the release; undefined: none has. */
  function tellers(kind: string, release: number): readonly string[] | undefined {
    const told = agents.filter((agent) => agent.events(kind).some((e) => e.release === release));
    return told.length === 0 ? undefined : told.map((agent) => agent.host.name);
  }
});
