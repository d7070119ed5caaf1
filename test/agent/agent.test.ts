/**
 * The loop as one of many uses it: over an engine in memory, the record on disk and a proxy that runs. What happens
 * is told by the engine's calls, the proxy's table and the record.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, type AgentInput, type Rest, type View } from '../../src/agent/agent.ts';
import type { Release } from '../../src/agent/plan/state.ts';
import { proxyPort } from '../../src/agent/proxy-port.ts';
import {
  type ComponentRecord,
  type FleetMemory,
  recordFile,
  withAdopted,
  withStatus,
  withTakenBack,
} from '../../src/agent/record.ts';
import { secretMounts } from '../../src/agent/secret-mounts.ts';
import { stay } from '../../src/agent/stay.ts';
import type { AgentEvent } from '../../src/events.ts';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { specOf } from '../docker/components.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { freePort, ownAddress, until } from '../proxy/ground.ts';
import { component, PORT_80, release } from './builders.ts';

const PROJECT = 'shop';
const COMPONENT = 'web';
const NEVER = new AbortController().signal;

class Host {
  readonly engine = new FakeEngine();
  readonly client: ProxyClient;
  readonly told: AgentEvent[] = [];
  /** Aborted when the test is over, however it ended. */
  readonly ended = new AbortController();
  readonly #stateDir: string;
  readonly #listener: Release['listeners'][number];
  readonly #agents: Agent[] = [];

  constructor(stateDir: string, address: string, port: number) {
    this.#stateDir = stateDir;
    this.client = new ProxyClient({ stateDir });
    this.#listener = { ...PORT_80, address, port };
  }

  get file() {
    return recordFile(this.#stateDir, PROJECT, COMPONENT);
  }

  /** An agent as a fleet has it, over this host; each one begins with what the one before left. */
  agent(over: Partial<AgentInput> = {}): Agent {
    const shared = { project: PROJECT, component: COMPONENT, hostId: 'h1', engine: this.engine };
    const input: AgentInput = {
      ...shared,
      proxy: proxyPort(this.#stateDir),
      secrets: secretMounts({ ...shared, stateDir: this.#stateDir, port: undefined }),
      file: this.file,
      limits: DEFAULT_LIMITS,
      tell: (fact) => void this.told.push({ ...fact, component: COMPONENT, at: Date.now() }),
      heal: true,
      keepsOld: true,
    };
    // Not spread: what is read anew at each use stays so.
    const agent = new Agent(Object.defineProperties(input, Object.getOwnPropertyDescriptors(over)));
    this.#agents.push(agent);
    agent.start();
    return agent;
  }

  /** Ready as soon as it runs, and its image is here. */
  release(number: number, keepOldMs = 60_000): Release {
    const { id } = this.engine.addImage(`example/web:${number}`, `sha256:${number}`);
    const made = component({ readyChecks: [] });
    const kept = { ...made, update: { ...made.update, keepOldMs } };
    return release(number, { imageId: id, component: kept, listeners: [this.#listener] });
  }

  async routed(): Promise<readonly string[]> {
    const { table } = await this.client.table(PROJECT);
    return table.routes.flatMap((route) => route.backends.map((backend) => backend.id));
  }

  /** Of the containers that run, by release. */
  async running(): Promise<Readonly<Record<string, number>>> {
    const containers = await this.engine.containers({ project: PROJECT });
    const running = containers.filter((c) => c.state === 'running');
    return Object.fromEntries(running.map((c) => [c.id, c.release]));
  }

  async idOf(number: number): Promise<string | undefined> {
    return Object.entries(await this.running()).find(([, n]) => n === number)?.[0];
  }

  async close(): Promise<void> {
    this.ended.abort();
    await Promise.all(this.#agents.map((agent) => agent.close()));
    await this.client.stop(true).catch(() => undefined);
    const gone = () =>
      this.client.status().then(
        () => false,
        () => true,
      );
    await until('the proxy is gone', gone);
    await rm(this.#stateDir, { recursive: true });
  }
}

async function host(t: TestContext): Promise<Host> {
  const address = ownAddress();
  const made = new Host(await mkdtemp(join(tmpdir(), 'gantryd-agent-')), address, await freePort(address));
  t.after(() => made.close());
  return made;
}

const followed = (generation: number): FleetMemory => ({ generation, attempt: 1, settled: 0 });
const adopt = (made: Release) => (record: ComponentRecord) =>
  withAdopted(record, made, followed(made.number));
const serves = (number: number) => (view: View) =>
  view.desired.release?.number === number && view.desired.release.proven;

function calls(engine: FakeEngine, ...kinds: readonly string[]): readonly string[] {
  return engine.calls.filter((call) => kinds.some((kind) => call.startsWith(`${kind} `)));
}

describe('a release that needs its turn', () => {
  test('waits, and goes on as soon as it is told that it may', async (t) => {
    const shop = await host(t);
    let turn = false;
    const agent = shop.agent({ fence: () => turn, idleResyncMs: 60_000 });
    await agent.change(adopt(shop.release(1)), NEVER);
    const running = agent.run(serves(1), AbortSignal.timeout(30_000));
    await until('it waits for its turn', () =>
      shop.told.some((e) => e.kind === 'waiting' && e.for === 'turn'),
    );
    assert.deepEqual(calls(shop.engine, 'create', 'start', 'pull'), []);
    turn = true;
    agent.poke();
    const view = await running;
    assert.equal(view.record.fleet?.provenAt !== undefined, true);
    assert.deepEqual(await shop.routed(), [await shop.idOf(1)]);
  });

  // As if the process had been stopped just there: the look said yes, and a moment later it is not true any more.
  for (const [at, created, started] of [
    [1, 0, 0],
    [2, 1, 0],
  ] as const) {
    test(`does nothing more once it has lost it after ${at} of its questions`, async (t) => {
      const shop = await host(t);
      let asked = 0;
      const agent = shop.agent({ fence: () => asked++ < at });
      await agent.change(adopt(shop.release(1)), NEVER);
      const isHeld = (view: View) => !view.observed.mayAdvance;
      const view = await agent.run(isHeld, AbortSignal.timeout(30_000));
      assert.equal(calls(shop.engine, 'create').length, created);
      assert.equal(calls(shop.engine, 'start').length, started);
      assert.equal(view.desired.release?.proven, false);
    });
  }

  test('is neither routed to nor settled on once it has lost it, and what serves serves on', async (t) => {
    const shop = await host(t);
    const first = shop.agent();
    await first.change(adopt(shop.release(1)), NEVER);
    await first.run(serves(1), AbortSignal.timeout(30_000));
    const old = await shop.routed();
    await first.close();

    // Yes until its container runs and the next look has been taken; then no.
    let looks = 0;
    let turn = true;
    const agent = shop.agent({
      fence: () => turn,
      onRound: (view) => {
        if (view.plan.some((a) => a.kind === 'route')) looks++;
        if (looks > 0) turn = false;
      },
    });
    await agent.change(adopt(shop.release(2)), NEVER);
    await agent.run((view) => !view.observed.mayAdvance, AbortSignal.timeout(30_000));
    assert.notEqual(await shop.idOf(2), undefined);
    assert.deepEqual(await shop.routed(), old);
    assert.equal((await shop.file.read()).releases.find((r) => r.number === 2)?.proven, false);

    await agent.change((record) => withTakenBack(record, followed(2)), NEVER);
    const back = await agent.run((view) => view.plan.length === 0, AbortSignal.timeout(30_000));
    assert.deepEqual([back.desired.release?.number, await shop.routed()], [1, old]);
    assert.deepEqual(Object.values(await shop.running()), [1]);
  });
});

describe('the release before', () => {
  async function updated(t: TestContext, keepOldMs?: number) {
    const shop = await host(t);
    const agent = shop.agent();
    for (const number of [1, 2]) {
      await agent.change(adopt(shop.release(number, keepOldMs)), NEVER);
      await agent.run(serves(number), AbortSignal.timeout(30_000));
    }
    await agent.close();
    return shop;
  }
  const rested = (view: View) => view.plan.every((a) => a.kind === 'wait' && a.for === 'warm');

  test('stays warm through a restart of the agent, and serves again when it is wanted again', async (t) => {
    const shop = await updated(t);
    const [old, young] = [await shop.idOf(1), await shop.idOf(2)];
    const agent = shop.agent();
    const view = await agent.run(rested, AbortSignal.timeout(30_000));
    assert.equal(view.plan.length, 1);
    const warm = view.observed.containers.find((c) => c.id === old);
    assert.ok((warm?.warmUntil ?? 0) > Date.now() + 30_000);

    const before = calls(shop.engine, 'create').length;
    await agent.change(adopt(shop.release(1)), NEVER);
    await agent.run((v) => serves(1)(v) && rested(v), AbortSignal.timeout(30_000));
    assert.deepEqual(await shop.routed(), [old]);
    assert.equal(calls(shop.engine, 'create').length, before);
    assert.notEqual((await shop.file.read()).marks[young ?? '']?.unroutedAt, undefined);
    assert.equal((await shop.file.read()).marks[old ?? '']?.unroutedAt, undefined);
  });

  test('leaves when its time is over, and when a newer one comes', async (t) => {
    const shop = await updated(t, 1500);
    const agent = shop.agent({ idleResyncMs: 60_000 });
    await agent.run((v) => v.plan.length === 0, AbortSignal.timeout(30_000));
    assert.deepEqual(Object.values(await shop.running()), [2]);
    for (const number of [3, 4]) {
      await agent.change(adopt(shop.release(number)), NEVER);
      await agent.run((v) => serves(number)(v) && rested(v), AbortSignal.timeout(30_000));
    }
    assert.deepEqual(Object.values(await shop.running()).sort(), [3, 4]);
  });

  test('goes with the rest when the component is stopped', async (t) => {
    const shop = await updated(t);
    const agent = shop.agent();
    await agent.change((record) => withStatus(record, 'stopped'), NEVER);
    await agent.run((v) => v.plan.length === 0, AbortSignal.timeout(30_000));
    assert.deepEqual(await shop.running(), {});
  });

  test('is not kept where nobody asks for it', async (t) => {
    const shop = await host(t);
    const agent = shop.agent({ keepsOld: false });
    for (const number of [1, 2]) {
      await agent.change(adopt(shop.release(number)), NEVER);
      await agent.run((v) => serves(number)(v) && v.plan.length === 0, AbortSignal.timeout(30_000));
    }
    assert.deepEqual(Object.values(await shop.running()), [2]);
    assert.equal(JSON.stringify(await shop.file.read()).includes('unroutedAt'), false);
  });
});

describe('an agent that stays', () => {
  test('is looked at with every round, takes limits as they are then, and ends when it is told to', async (t) => {
    const shop = await host(t);
    let limits = DEFAULT_LIMITS;
    const views: View[] = [];
    const agent = shop.agent({
      get limits() {
        return limits;
      },
      onRound: (view) => void views.push(view),
    });
    const { ended } = shop;
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, ended.signal);
    limits = { ...DEFAULT_LIMITS, maxConnections: 77 };
    await agent.change(adopt(shop.release(1)), NEVER);
    await until('it serves', () => views.some(serves(1)));
    assert.deepEqual((await shop.client.table(PROJECT)).table.limits, limits);
    ended.abort();
    assert.equal(await staying, undefined);
  });

  test('tells the proxy how long clients wait and how many, and how they leave', async (t) => {
    const shop = await host(t);
    const made = shop.release(1);
    const terms = { holdTimeoutMs: 5_000, idleTimeoutMs: 6_000, closeSpreadMs: 7_000 };
    const agent = shop.agent();
    await agent.change(adopt({ ...made, component: { ...made.component, ...terms } }), NEVER);
    await agent.run(serves(1), NEVER);
    const [route] = (await shop.client.table(PROJECT)).table.routes;
    assert.deepEqual(
      [route?.hold, route?.leave],
      [
        { timeoutMs: 5_000, max: 1_000 },
        { idleTimeoutMs: 6_000, closeSpreadMs: 7_000 },
      ],
    );
  });

  test('removes nothing that somebody has started since it was looked at', async (t) => {
    const shop = await host(t);
    const agent = shop.agent();
    await agent.change(adopt(shop.release(2)), NEVER);
    await agent.run(serves(2), NEVER);
    const { engine } = shop;
    const { id: imageId } = engine.addImage('example/web:1', 'sha256:1');
    await engine.create(
      specOf({ name: COMPONENT }, { project: PROJECT, imageId, release: 1, host: 'h1', suffix: '0001' }),
    );
    const removeStopped = engine.removeStopped.bind(engine);
    let began = 0;
    engine.removeStopped = async (asked) => {
      if (began++ === 0) await engine.start(asked);
      return removeStopped(asked);
    };
    await agent.run(({ observed }) => observed.containers.length === 1, NEVER);
    const ends = calls(engine, 'stop', 'remove').map((call) => call.split(' ').slice(0, 2).join(' '));
    assert.deepEqual(ends, ['stop shop-web-r1-0001', 'remove shop-web-r1-0001'], 'in an orderly way');
    const told = shop.told.filter((e) => e.kind === 'container-removed');
    assert.equal(told.length, 1);
  });

  test('lets no release wait for what the one before it failed of', async (t) => {
    const shop = await host(t);
    const agent = shop.agent({ random: () => 1 });
    await agent.change(adopt(shop.release(1)), NEVER);
    await agent.run(serves(1), NEVER);
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, shop.ended.signal);
    const waits = async () => (await agent.look()).plan.some((a) => a.kind === 'wait' && a.for === 'backoff');
    await until('it waits before it tries again', async () => {
      for (const id of await shop.routed()) shop.engine.die(id);
      return waits();
    });
    await agent.change(adopt(shop.release(2)), NEVER);
    const { plan, observed } = await agent.look();
    const begins = plan.some((a) => a.kind === 'create-container' && a.release === 2);
    assert.ok(begins || observed.containers.some((c) => c.release === 2), 'at once');
    await until('it serves', async () => (await shop.idOf(2)) !== undefined);
    shop.ended.abort();
    await staying;
  });

  test('rests after a failed round only until the engine is back', async (t) => {
    const shop = await host(t);
    const agent = shop.agent();
    await agent.change(adopt(shop.release(1)), NEVER);
    shop.engine.reachable = false;
    await assert.rejects(agent.run(serves(1), NEVER), { code: 'engine-unreachable' });
    const rest = agent.rest(2 ** 31 - 1, shop.ended.signal);
    shop.engine.reconnect();
    await rest;
    assert.equal((await agent.run(serves(1), NEVER)).desired.release?.proven, true);
  });

  test('acts on a death at once, and tells what died, of what and with which words', async (t) => {
    const shop = await host(t);
    const agent = shop.agent({ idleResyncMs: 2 ** 31 - 1 });
    await agent.change(adopt(shop.release(1)), NEVER);
    await agent.run(serves(1), NEVER);
    const [first = ''] = await shop.routed();
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, shop.ended.signal);
    shop.engine.die(first, { exitCode: 137, oomKilled: true });
    await until('another serves', async () => !(await shop.routed()).includes(first));
    const told = () => shop.told.find((event) => event.kind === 'container-failed');
    await until('it is told', () => told() !== undefined);
    const event = told();
    assert.ok(event?.kind === 'container-failed');
    assert.deepEqual(
      [event.container, event.lastWords],
      [first, { logs: [], exitCode: 137, oomKilled: true }],
    );
    shop.ended.abort();
    await staying;
  });

  test('rests when all is as wanted, until somebody tells of a change', async (t) => {
    const shop = await host(t);
    let [looks, watching]: [number, Rest | undefined] = [0, undefined];
    const watchRest = (rest: Rest) => {
      watching = rest;
      return () => {
        watching = undefined;
      };
    };
    const watched = () => watching as Rest | undefined;
    const onRound = () => {
      looks += 1;
    };
    // What an agent whom nobody tells would go by.
    const agent = shop.agent({ idleResyncMs: 1, watchRest, onRound });
    await agent.change(adopt(shop.release(1)), NEVER);
    await agent.run((view) => view.plan.length === 0, NEVER);
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, shop.ended.signal);
    const quiet = async () => {
      for (let before = -1; before !== looks; ) {
        before = looks;
        await delay(100);
      }
    };
    await quiet();
    for (const hint of [() => watched()?.changed(), () => agent.poke()]) {
      const before = looks;
      hint();
      await until('a hint is a look', () => looks > before);
      await quiet();
    }
    assert.equal(watched()?.words(), '', 'it has no checks');
    const [first = ''] = await shop.routed();
    shop.engine.die(first);
    await until('a death is acted on', async () => !(await shop.routed()).includes(first));
    shop.ended.abort();
    await staying;
    await agent.close();
    assert.equal(watched(), undefined);
  });

  test('replaces at once what Docker calls unhealthy, however long a look takes', async (t) => {
    const shop = await host(t);
    let clock = Date.now();
    const agent = shop.agent({ idleResyncMs: 2 ** 31 - 1, now: () => ++clock });
    await agent.change(adopt(shop.release(1)), NEVER);
    await agent.run(serves(1), NEVER);
    const [first = ''] = await shop.routed();
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, shop.ended.signal);
    shop.engine.judge(first, 'unhealthy');
    await until('another serves', async () => !(await shop.routed()).includes(first));
    const waits = shop.told.filter((event) => event.kind === 'waiting' && event.for === 'backoff');
    assert.deepEqual(waits, [], 'the first failure is no reason to wait');
    shop.ended.abort();
    await staying;
  });

  test('replaces what failed together one at a time, and says so once', async (t) => {
    const shop = await host(t);
    const agent = shop.agent();
    const made = shop.release(1);
    await agent.change(adopt({ ...made, component: { ...made.component, instances: 2 } }), NEVER);
    await agent.run(serves(1), NEVER);
    const before = await shop.routed();
    const staying = stay(agent, () => false, { tell: () => {}, now: Date.now }, shop.ended.signal);
    const since = shop.told.length;
    for (const id of before) shop.engine.die(id);
    const isWhole = (now: readonly string[]) => now.length === 2 && !now.some((id) => before.includes(id));
    await until('two others serve', async () => isWhole(await shop.routed()));
    const steps = shop.told.slice(since).map(({ kind }) => kind);
    const steered = ['mass-failure', 'container-created', 'container-started'];
    const [failed, ...ways] = steered;
    assert.deepEqual(
      steps.filter((kind) => steered.includes(kind)),
      [failed, ...ways, ...ways],
    );
    shop.ended.abort();
    await staying;
  });

  test('tells a trouble once, and goes on where it was when the trouble is over', async (t) => {
    const shop = await host(t);
    const agent = shop.agent();
    await agent.change(adopt(shop.release(1)), NEVER);
    const first = await shop.engine.containers({});
    assert.deepEqual(first, []);
    shop.engine.reachable = false;
    const troubles: string[] = [];
    const tell = (fact: { readonly kind: string; readonly code?: string }) => {
      if (fact.kind === 'trouble') troubles.push(fact.code ?? '');
    };
    const staying = stay(agent, serves(1), { tell, now: Date.now }, shop.ended.signal);
    const asked = () => shop.engine.calls.filter((call) => call === 'containers').length;
    await until('it has tried twice', () => asked() >= 3, 20_000);
    assert.deepEqual(troubles, ['engine-unreachable']);
    shop.engine.reconnect();
    assert.equal((await staying)?.desired.release?.proven, true);
    assert.deepEqual(troubles, ['engine-unreachable']);
  });
});
