/**
 * Before the first host of a fleet switches, each has seen to it that it could: room on its disk, and ports that
 * nobody else has. While one cannot, all serve what they served.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { dockerCall } from '../ground/docker.ts';
import type { Host } from '../ground/hosts.ts';
import type { Running } from '../ground/processes.ts';
import {
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { allAnswering, rolloutOf, untilOn } from './fleet-acts.ts';
import { endsWhole } from './fleet-faults.ts';
import { exitedWith, lostNothing } from './shop.ts';

const QUICK: ComponentFile = { update: { monitor: 0, keepOld: 0 } };
const SIDE_PORT = 8090;
/** Listens, and says so. */
const LISTENER = `require('node:net').createServer().listen(${SIDE_PORT}, () => console.log('listens'))`;

describe('before a fleet switches', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let b: Host;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    b = shop.fleet.host('b');
  });
  after(() => endings.run());
  afterEach(() => shop.clear());

  test('a host without room on its disk makes the rollout wait until there is some', async (t) => {
    const agent = await shop.agents();
    await shop.deploy('v1', QUICK);
    const on = agent.find(({ host }) => host === b);
    on?.signal('SIGTERM');
    await on?.ended;
    const cramped = await onSmallDisk(b);
    const before = await allAnswering(shop);
    const loads = await shop.loads(t);
    await shop.setConfig('v2', QUICK);
    await shop.must('update');
    const { why } = await untilOn(
      shop,
      b,
      'waits for room',
      (s) => s.phase === 'preparing' && s.retryAt !== undefined,
    );
    assert.match(why, /^Only \d+ MiB are free under .*\/data, 128 are needed\. Free some/);
    const told = await shop.must('why', '-c', 'web');
    assert.match(told, /is preparing\.\nPrepared: a\./);
    assert.match(told, /^b: preparing .*\n {2}Only \d+ MiB are free/m);
    assert.equal((await rolloutOf(shop)).state, 'preparing');
    assert.deepEqual(await allAnswering(shop), before, 'nothing has switched');
    await cramped.free();
    await endsWhole(shop, { release: 2, version: 'v2', loads });
  });

  test('a port that a foreign process has on one host fails it, with the name of who listens', async (t) => {
    const agents = await shop.agents();
    await shop.deploy('v1', QUICK);
    const before = await allAnswering(shop);
    const other = b.spawn(process.execPath, ['-e', LISTENER]);
    await other.says('listens', WAIT_MS);
    const loads = await shop.loads(t);
    const ports = [8080, 9000, SIDE_PORT].map((port) => {
      const container = port === SIDE_PORT ? 8080 : port;
      return { external: port, container, kind: port === 9000 ? 'tcp' : 'http' };
    });
    await shop.setConfig('v2', { ...QUICK, ports });
    const update = await shop.gantryd('update', '--wait');
    exitedWith(1, update);
    assert.match(update.stderr, /Release 2 of web was rolled back to release 1: b: /);
    const who = `port ${SIDE_PORT} of web is taken: process ${other.pid} \\(node.*\\) listens on it`;
    assert.match(update.stderr, new RegExp(who));
    assert.match(update.stderr, /Stop that process or give the component another external port/);
    assert.deepEqual(await allAnswering(shop), before, 'nothing has switched');
    for (const agent of agents) {
      const adopted = agent.events('rollout-step').filter((e) => e.step === 'adopt' && e.release === 2);
      assert.deepEqual(adopted, [], `${agent.host.name} never had it`);
    }
    for (const load of loads) await lostNothing(load);

    other.signal('SIGKILL');
    await other.ended;
    await shop.must('update', '--wait');
    assert.equal((await rolloutOf(shop)).state, 'done');
  });

  /**
   * The agent of a host whose disk is small where its engine keeps its data, as the agent sees it: a real one, mounted
   * for the agent alone, since an engine that runs cannot be moved to it.
   */
  async function onSmallDisk(host: Host): Promise<{ readonly free: () => Promise<void> }> {
    const info = await dockerCall('GET', '/info', undefined, [200], host.docker);
    const { DockerRootDir: data } = info as { DockerRootDir: string };
    const mounted = 'mount -t tmpfs -o size=64m tmpfs "$1" && shift && exec "$@"';
    const gantryd = [process.execPath, join(PACKAGE_ROOT, 'bin', 'gantryd.js')];
    const words = [...gantryd, 'run', PROJECT, '--host-name', host.name, '--json'];
    const agent: Running = host.spawn('unshare', ['--mount', 'sh', '-c', mounted, 'small', data, ...words], {
      env: shop.env,
    });
    await agent.says('"kind":"running"', WAIT_MS);
    return {
      async free() {
        const within = [`--mount=/proc/${agent.pid}/ns/mnt`, '--', 'umount', data];
        exitedWith(0, await host.run('nsenter', within));
      },
    };
  }
});
