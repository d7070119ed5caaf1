/**
 * The Docker engine is restarted under a monitor and under load. What it lets run on (live-restore) is adopted as it
 * is; what it stopped comes back by the plan.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { until } from '../ground/harness.ts';
import { type Fleet, type Host, skipWithoutHosts, startHosts } from '../ground/hosts.ts';
import { EASED, startLoad } from '../ground/load.ts';
import type { Running } from '../ground/processes.ts';
import { Endings } from './fleet.ts';
import { type Event, exitedWith, getText, lostNothing, toldBy, WAIT_MS } from './shop.ts';

const TAG = 'gantryd-e2e-engine:app';
const CAN_LEAD = skipWithoutKernel === false;
const WEB = {
  name: 'web',
  repo: TAG.slice(0, TAG.indexOf(':')),
  tag: 'app',
  instances: 2,
  ports: [
    { external: 8080, container: 8080, kind: 'http' },
    { external: 9000, container: 9000, kind: 'tcp' },
    ...(CAN_LEAD
      ? [
          { external: 8081, container: 8080, kind: 'tcp', plane: 'kernel' },
          { external: 9001, container: 9000, kind: 'tcp', plane: 'kernel' },
        ]
      : []),
  ],
  readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
  healthChecks: [{ kind: 'http', path: '/health', port: 8080, interval: 200 }],
};
interface Monitor extends Running {
  events(kind: string): readonly Event[];
}

describe('a Docker engine that is restarted', { skip: skipWithoutHosts }, () => {
  const endings = new Endings();
  let fleet: Fleet;
  let host: Host;
  before(async () => {
    fleet = await startHosts(endings, { hosts: ['a'] });
    host = fleet.host('a');
    await fleet.images([{ tag: TAG, env: { VERSION: 'v1' } }]);
  });
  after(() => endings.run());
  afterEach(() => fleet.clear());

  test('with live-restore: all that runs is adopted, and nobody notices', async (t) => {
    const monitor = await monitored();
    const there = await ids();
    if (CAN_LEAD) assert.ok(await isLed());
    const load = await startLoad(t, {
      http: http(),
      tcp: on(9000),
      led: led(),
      slowMs: 1_500,
      easing: EASED,
    });
    await host.stopEngine({ liveRestore: true });
    await until(() => monitor.events('trouble')[0], { timeoutMs: WAIT_MS, what: 'the trouble to be told' });
    await host.startEngine();
    assert.deepEqual(await ids(), there);
    await lostNothing(load);

    const [killed = '', spared = ''] = there;
    await dockerCall('POST', `/containers/${killed}/kill`, undefined, [204], host.docker);
    await untilAll((now) => now.length === 2 && now.includes(spared) && !now.includes(killed));
    assert.equal(monitor.events('container-created').length, 3, 'nothing is made without need');
    toldFewTroubles(monitor);
    await ends(monitor);
  });

  test('without: what it stopped is replaced once it is back', async (t) => {
    const monitor = await monitored();
    const there = await ids();
    await host.stopEngine({ liveRestore: false });
    await until(() => monitor.events('trouble')[0], { timeoutMs: WAIT_MS, what: 'the trouble to be told' });
    await host.startEngine();
    const began = performance.now();
    const answer = () => getText(http(), '/version').catch(() => undefined);
    await until(answer, { timeoutMs: WAIT_MS, what: 'an answer again' });
    t.diagnostic(`answers ${Math.round(performance.now() - began)} ms after the engine was back`);
    await untilAll((now) => now.length === 2 && !now.some((id) => there.includes(id)));
    if (CAN_LEAD) {
      await until(isLed, { timeoutMs: WAIT_MS, what: 'the kernel to lead to both' });
      await getText(on(8081), '/version');
    }
    toldFewTroubles(monitor);
    await ends(monitor);
  });

  const on = (port: number) => ({ host: host.address, port });
  const http = () => on(8080);
  const led = () => (CAN_LEAD ? { http: on(8081), tcp: on(9001) } : undefined);

  /** As the kernel has it, which is another question than whether they are answered. */
  async function isLed(): Promise<boolean> {
    const { stdout } = await host.run('nft', ['-n', 'list', 'ruleset']);
    return new Set(Array.from(stdout.matchAll(/ : ([\d.]+) \. 9000/g), ([, to]) => to)).size === 2;
  }

  async function monitored(): Promise<Monitor> {
    const file = join(host.folder, 'shop.json');
    await writeFile(file, JSON.stringify({ project: 'shop', components: [WEB] }));
    const running = host.agent(['local', 'start', file, 'web', '-m', '--json']);
    await running.says('"kind":"monitoring"', WAIT_MS);
    return Object.defineProperties(
      { events: toldBy(running) } as unknown as Monitor,
      Object.getOwnPropertyDescriptors(running),
    );
  }

  /** All that are there, whatever their state. */
  async function ids(): Promise<readonly string[]> {
    return (await host.containers()).map(({ id }) => id).sort();
  }

  async function untilAll(holds: (ids: readonly string[]) => boolean): Promise<void> {
    const running = async () => (await host.containers()).every(({ state }) => state === 'running');
    const settled = async () => (await running()) && holds(await ids());
    await until(settled, { timeoutMs: WAIT_MS, what: 'exactly the wanted containers to run' });
  }
});

/** That a call broke off, that one that ends starts nothing, that nobody is there: not one at each try. */
function toldFewTroubles(monitor: Monitor): void {
  const told = monitor.events('trouble');
  assert.ok(told.length <= 3, JSON.stringify(told));
}

/** Ctrl-C ends a monitor well, and all serves on. */
async function ends(monitor: Monitor): Promise<void> {
  monitor.signal('SIGINT');
  exitedWith(0, await monitor.ended);
}
