/**
 * `gantryd run` as a process: it starts fast, may end in any way and come again without anybody noticing, is alone for
 * its project and name, and heals what it runs.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { keys } from '../../src/cluster/keys.ts';
import type { HostValue } from '../../src/cluster/values.ts';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { openTcp } from '../ground/streams.ts';
import { APP, Endings, type FleetShop, openFleetShop, PROJECT, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { answering, containerIds, untilGone, untilOn } from './fleet-acts.ts';
import { untilRefused } from './fleet-refused.ts';
import { carriesOn, exitedWith, getText, jsonLines, lostNothing, opened } from './shop.ts';

/** A second is promised; a machine that is busy with other things takes longer. */
const FIRST_ACT_MS = 10_000;

describe('gantryd run', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let a: Host;
  let b: Host;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    [a, b] = [shop.fleet.host('a'), shop.fleet.host('b')];
  });
  after(() => endings.run());
  afterEach(() => shop.clear());

  test('acts at once, and nobody notices how it ends and that it comes again', async (t) => {
    await shop.setConfig('v1');
    await shop.must('update');
    const startedAt = Date.now();
    let agent = await shop.agent(a);
    await until(() => agent.events('rollout-step')[0], { timeoutMs: WAIT_MS, what: 'a first step' });
    const took = Number(agent.events('rollout-step')[0]?.at) - startedAt;
    assert.ok(took < FIRST_ACT_MS, `the first step came after ${took} ms`);
    await untilOn(shop, a, 'serves', (s) => s.serving === 1 && s.phase === 'serving');
    const there = await containerIds(shop);
    assert.equal(there.length, 1);

    const loads = await shop.loads(t, [a]);
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
      agent.signal(signal);
      const ended = await agent.ended;
      if (signal === 'SIGTERM') exitedWith(0, ended);
      assert.equal(await getText(shop.http(a), '/version'), 'v1');
      agent = await shop.agent(a);
      await until(async () => (await presence('a'))?.pid === agent.pid, {
        timeoutMs: WAIT_MS,
        what: 'the new agent to be told of',
      });
      assert.deepEqual(await containerIds(shop), there);
    }
    for (const load of loads) await lostNothing(load);
    assert.deepEqual(await containerIds(shop), there);
  });

  test('replaces what died while it was away', async () => {
    const agent = await shop.agent(a);
    await shop.deploy('v1');
    const { id } = await answering(shop, a);
    agent.signal('SIGKILL');
    await agent.ended;
    await kill(a, id);
    await shop.agent(a);
    const next = await answeringAnother(a, id);
    assert.equal(next.version, 'v1');
  });

  test('is alone for its project on a host, and for its name in the fleet', async () => {
    const agent = await shop.agent(a);
    const second = await shop.on(a, 'run', '--host-name', 'other');
    exitedWith(1, second);
    assert.match(second.stderr, new RegExp(`process ${agent.pid} .*already runs project shop on this host`));
    const foreign = await shop.on(b, 'run', '--host-name', 'a', '--json');
    exitedWith(1, foreign);
    const error = jsonLines(foreign.stdout).at(-1);
    assert.equal(error?.code, 'host-taken');
    assert.match(String(error?.message), /Another machine runs project shop under the name a \(at /);
    assert.match(String(error?.hint), /--host-name/);
  });

  test('with --stop-on-exit drains what runs here before it ends, and the next brings it back', async (t) => {
    const agent = await shop.agent(a, '--stop-on-exit');
    await shop.deploy('v1');
    const stream = await opened(t, openTcp(shop.tcp(a)));
    agent.signal('SIGTERM');
    await untilRefused(shop, { hosts: [a], agents: [agent] });
    await carriesOn(stream);
    await stream.stop();
    exitedWith(0, await agent.ended);
    await untilGone(shop);
    assert.deepEqual(await shop.statuses(), [], 'its keys went with it');
    await shop.agent(a);
    await untilOn(shop, a, 'serves again', (s) => s.serving === 1 && s.phase === 'serving');
    assert.equal(await getText(shop.http(a), '/version'), 'v1');
  });

  test('runs only the components it is told, beside the agent of another project', async () => {
    const side = { name: 'side' };
    await shop.setConfig('v1', {}, [side]);
    await shop.must('update');
    const file = join(a.folder, 'bakery.json');
    const oven = { name: 'oven', ...APP, ports: [{ external: 8081, container: 8080, kind: 'http' }] };
    await writeFile(file, JSON.stringify({ components: [oven] }));
    const bakery = { env: shop.env };
    exitedWith(0, await a.gantryd(['setconfig', 'bakery', file], bakery));
    await Promise.all([
      shop.agent(a, '-c', 'web'),
      a.agent(['run', 'bakery', '--host-name', 'a'], bakery).says('Gantryd running', WAIT_MS),
    ]);
    exitedWith(0, await a.gantryd(['update', 'bakery', '--wait'], bakery));
    await untilOn(shop, a, 'serves', (s) => s.serving === 1 && s.phase === 'serving');
    assert.equal(await getText(shop.http(a), '/version'), 'v1');
    assert.equal(await getText({ host: a.address, port: 8081 }, '/version'), 'none');
    assert.deepEqual((await presence('a'))?.components, ['web']);
    assert.deepEqual(await shop.containers(a, 'side'), []);
    exitedWith(0, await a.gantryd(['stop', 'bakery', '--wait'], bakery));
    assert.equal(await getText(shop.http(a), '/version'), 'v1');
  });

  test('heals start-first, and tells by why when it waits before the next try', async (t) => {
    const health = { kind: 'http', path: '/health', port: 8080, interval: 200, fall: 2 };
    await shop.agent(a);
    await shop.deploy('v1', { healthChecks: [health] });
    let { id } = await answering(shop, a);
    const loads = await shop.loads(t, [a]);
    await getText(shop.http(a), '/break');
    ({ id } = await answeringAnother(a, id));
    for (const load of loads) await lostNothing(load);

    let why = '';
    const isTold = async () => {
      const now = (await answering(shop, a).catch(() => undefined))?.id;
      if (now !== undefined) await kill(a, now).catch(() => undefined); // it may have gone by itself
      why = await shop.must('why', '-c', 'web', '--host', 'a');
      return (
        /failure in a row, next try in .* doubles up to 60 s/.test(why) &&
        /\| example app v1 listens/.test(why)
      );
    };
    await until(isTold, { timeoutMs: WAIT_MS, what: 'why to tell of the backoff and of the last lines' });
    assert.match(why, /next step (in \d+ s|now)/);
    await answeringAnother(a, id);
  });

  async function presence(host: string): Promise<HostValue | undefined> {
    return (await shop.values<HostValue>(keys().host(PROJECT, host)))[0];
  }

  async function kill(host: Host, id: string): Promise<void> {
    await dockerCall('POST', `/containers/${id}/kill`, undefined, [204], host.docker);
  }

  async function answeringAnother(host: Host, than: string): Promise<{ id: string; version: string }> {
    const another = async () => {
      const now = await answering(shop, host);
      return now.id === than ? undefined : now;
    };
    return until(another, { timeoutMs: WAIT_MS, what: `a container of ${host.name} other than ${than}` });
  }
});
