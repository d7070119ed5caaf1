/**
 * A component that requires a link reaches the exporter wherever in the fleet it runs, and moves to, by an address that
 * never changes: that of the proxy on its own host.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LABELS } from '../../src/docker/spec.ts';
import { dockerCall, type ObservedContainer } from '../ground/docker.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { processesOf } from '../ground/sandbox.ts';
import {
  type Agent,
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { expireKeys, untilOn } from './fleet-acts.ts';
import { getText } from './shop.ts';

/** Four ask at once, each through five processes. */
const PAUSE_MS = 50;
/** In a row, to say that consumers reach it. */
const MANY = 20;
const QUICK = { monitor: 0, keepOld: 0 };
const WEB: ComponentFile = {
  update: QUICK,
  requireComponentLinks: [
    { name: 'db-http', alias: 'db' },
    { name: 'db-lines', alias: 'lines' },
  ],
};

function db(version: string): ComponentFile {
  return {
    name: 'db',
    environmentVariables: [{ name: 'VERSION', value: version }],
    readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
    readyTimeout: 30_000,
    update: QUICK,
    defineComponentLinks: [
      { name: 'db-http', port: 8080, kind: 'http' },
      { name: 'db-lines', port: 9000, kind: 'tcp' },
    ],
  };
}

describe('links across hosts', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let a: Host;
  let b: Host;
  let c: Host;
  const agents = new Map<string, Agent>();
  before(async () => {
    shop = await openFleetShop(endings);
    a = shop.fleet.host('a');
    b = shop.fleet.host('b');
    c = shop.fleet.host('c');
  });
  after(() => endings.run());

  describe('to one exporter, each as the one before has left them', () => {
    before(() => opened({ a: ['db'], b: ['web'], c: ['web'] }));
    after(() => shop.clear());

    test('reach an exporter on another host, through every update of it', async (t) => {
      const serving = await dbOn(a);
      for (const host of [b, c]) {
        const { DB_CLINK: url = '', ...others } = await links(host);
        const { protocol, hostname, port } = new URL(url);
        const own = await gatewayOf(host, await shop.containers(host));
        assert.deepEqual([protocol, hostname], ['http:', own], 'the proxy of its own host');
        assert.equal(others.DB_CLINK_8080_HTTP_PORT, port);
        assert.match(others.LINES_CLINK ?? '', new RegExp(`^tcp://${hostname}:\\d+$`));
        assert.deepEqual(await ask(host, 'DB'), { version: 'd1', hostname: serving });
        assert.deepEqual(await ask(host, 'LINES'), { version: 'd1' });
      }
      const before = await consumers();
      const asking = [b, c].map((host) => askAlways(t, host));
      for (const version of ['d2', 'd3']) {
        await shop.setConfig('w1', WEB, [db(version)]);
        await shop.must('update', '--wait', '-c', 'db');
        for (const host of [b, c])
          for (const link of ['DB', 'LINES']) assert.equal((await ask(host, link)).version, version);
      }
      for (const each of asking) await each.lostNothing();
      assert.deepEqual(await consumers(), before);
    });

    test('come back after the proxy of a consumer was killed', async () => {
      const before = [await links(b), await consumers()];
      // Not the one that waits to bring it back.
      const proxies = processesOf(b.stateDir).filter(({ command }) => /^\S*node .*proxy/.test(command));
      assert.equal(proxies.length, 1, JSON.stringify(proxies));
      for (const { pid } of proxies) process.kill(pid, 'SIGKILL');
      await answeredBy(b, [await dbOn(a)]);
      assert.deepEqual([await links(b), await consumers()], before);
    });

    test('work on while the agent of the exporter is away for longer than its lease', async (t) => {
      const asking = [b, c].map((host) => askAlways(t, host));
      const onA = await dbOn(a);
      await ends(a, 'SIGKILL');
      await expireKeys(shop, a, 'db');
      await untilOffered([]);
      await answeredBy(b, [onA]);
      await restarted(c, ['web']);
      await answeredBy(c, [onA]);
      for (const each of asking) await each.lostNothing();
    });
  });

  describe('to exporters that change', () => {
    afterEach(() => shop.clear());

    test('prefer the containers of their own host, and follow an exporter that moves', async (t) => {
      await opened({ a: ['db'], b: ['web'], c: ['web'] }, '--stop-on-exit');
      const before = await consumers();
      const asking = [b, c].map((host) => askAlways(t, host));
      await restarted(c, ['web', 'db']);
      await untilOn(shop, c, 'serves', (s) => s.phase === 'serving', 'db');
      const [onA, onC] = [await dbOn(a), await dbOn(c)];
      await answeredBy(c, [onC]);
      await answeredBy(b, [onA, onC]);

      await ends(a, 'SIGTERM');
      assert.deepEqual(await shop.containers(a, 'db'), [], 'the exporter has left');
      await answeredBy(b, [onC]);
      for (const each of asking) await each.lostNothing();
      assert.deepEqual(await consumers(), before, 'no consumer was replaced');
    });

    test('go to another exporter when the host of one dies', async () => {
      await opened({ a: ['db'], b: ['web'], c: ['db'] });
      const onC = await dbOn(c);
      await answeredBy(b, [await dbOn(a), onC]);
      const before = await consumers();
      await a.kill();
      // By a dial that fails in the end: the other one is still offered.
      const isThere = async () => (await ask(b, 'DB')).hostname === onC;
      await until(isThere, { timeoutMs: WAIT_MS, what: 'an answer from the one that is left' });
      await expireKeys(shop, a, 'db');
      await untilOffered(['c']);
      await answeredBy(b, [onC]);
      assert.deepEqual(await consumers(), before);
    });
  });

  /** Starts the agents of hosts with their components, and deploys all. */
  async function opened(roles: Readonly<Record<string, readonly string[]>>, ...args: readonly string[]) {
    await shop.setConfig('w1', WEB, [db('d1')]);
    const started = Object.entries(roles).map(async ([name, components]) => {
      agents.set(name, await shop.agent(name, '-c', ...components, ...args));
    });
    await Promise.all(started);
    await shop.must('update', '--wait');
  }

  async function ends(host: Host, signal: NodeJS.Signals): Promise<void> {
    const agent = agents.get(host.name);
    agent?.signal(signal);
    await agent?.ended;
  }

  /** Another agent, as if the machine's service was given other components; containers stay. */
  async function restarted(host: Host, components: readonly string[]): Promise<void> {
    await ends(host, 'SIGKILL');
    agents.set(host.name, await shop.agent(host, '-c', ...components));
  }

  /** Waits until exactly these hosts offer the link. */
  async function untilOffered(hosts: readonly string[]): Promise<void> {
    const offers = () => shop.values<{ host: string }>(`/gantryd/projects/${PROJECT}/connect/db-http/`);
    const is = async () => (await offers()).map((o) => o.host).join() === hosts.join();
    await until(is, { timeoutMs: WAIT_MS, what: `the link to be offered by [${hosts}]` });
  }

  /** Once what was before it is gone. */
  async function dbOn(host: Host): Promise<string> {
    const only = async () => {
      const [first, ...more] = (await shop.containers(host, 'db')).filter((c) => c.state === 'running');
      return more.length === 0 ? first?.id.slice(0, 12) : undefined;
    };
    return until(only, { timeoutMs: WAIT_MS, what: `one container of db on ${host.name}` });
  }

  /** All containers of `web`, on all hosts that are up. */
  async function consumers(): Promise<readonly string[]> {
    const up = shop.hosts.filter((host) => host.up);
    const all = await Promise.all(up.map((host) => host.containers({ [LABELS.component]: 'web' })));
    return all.flat().map((container) => container.id);
  }

  /** Where containers on a host reach it. */
  async function gatewayOf({ docker }: Host, [container]: readonly ObservedContainer[]): Promise<string> {
    const path = `/containers/${container?.id}/json`;
    const found = await dockerCall('GET', path, undefined, [200], docker);
    return (found as { NetworkSettings: { Gateway: string } }).NetworkSettings.Gateway;
  }

  async function links(host: Host): Promise<Readonly<Record<string, string>>> {
    return JSON.parse(await getText(shop.http(host), '/links'));
  }

  /** Asks `web` on a host, which asks through its link. */
  async function ask(host: Host, link: string): Promise<{ version: string; hostname?: string }> {
    return JSON.parse(await getText(shop.http(host), `/ask?link=${link}`)).answer;
  }

  /** Waits until all of many requests in a row were answered, by all of these containers and no other. */
  async function answeredBy(host: Host, ids: readonly string[]): Promise<void> {
    const wanted = [...ids].sort().join();
    const by = async () => {
      const seen = new Set<string>();
      for (let i = 0; i < MANY; i++) seen.add((await ask(host, 'DB')).hostname ?? '');
      await ask(host, 'LINES');
      return [...seen].sort().join() === wanted || Promise.reject(new Error(`answered by ${[...seen]}`));
    };
    await until(by, { timeoutMs: WAIT_MS, what: `${host.name} to be answered by ${wanted}` });
  }

  /** Asks through both links, again and again, until told to end. */
  function askAlways(t: Cleanup, host: Host) {
    const errors: string[] = [];
    let [answers, going] = [0, true];
    const asking = ['DB', 'LINES'].map(async (link) => {
      for (; going; await delay(PAUSE_MS)) {
        await ask(host, link).then(
          () => {
            answers += 1;
          },
          (error) => errors.push(`${new Date().toISOString()} ${host.name} ${link}: ${error}`),
        );
      }
    });
    const stop = async () => {
      going = false;
      await Promise.all(asking);
    };
    t.after(stop);
    return {
      async lostNothing() {
        const enough = () => answers > MANY || errors.length > 0;
        await until(enough, { timeoutMs: WAIT_MS, what: 'many answers' });
        await stop();
        assert.deepEqual(errors, []);
      },
    };
  }
});
