/** `stop` and `kill` act on every host at once; they and a newer `update` win over a rollout, wherever it is. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { keys } from '../../src/cluster/keys.ts';
import type { DesiredValue } from '../../src/cluster/values.ts';
import { until } from '../ground/harness.ts';
import { openTcp } from '../ground/streams.ts';
import {
  type Agent,
  Endings,
  type FleetShop,
  type Order,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import {
  containerIds,
  firstWith,
  hold,
  letQueue,
  rolloutOf,
  turns,
  untilAnswering,
  untilGone,
} from './fleet-acts.ts';
import { untilRefused } from './fleet-refused.ts';
import { carriesOn, exitedWith, jsonLines, opened } from './shop.ts';

/** A second is promised; a machine that is busy with other things takes longer. */
const AT_ONCE_MS = 8_000;

describe('in a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    agents = await shop.agents();
  });
  after(() => endings.run());
  /** One fleet for all: each test begins with a release of its own. */
  beforeEach(() => shop.deploy('v1'));
  afterEach(() => {
    for (const agent of agents) agent.signal('SIGCONT'); // what failed may have held one
  });

  test('stop and kill act on every host at once and keep the release', async (t) => {
    const [, b] = shop.hosts;
    assert.ok(b !== undefined);
    const stream = await opened(t, openTcp(shop.tcp(b)));
    assert.match(await shop.must('stop'), /^Component web -> stopped \(release 1 is kept\)$/m);
    await refusedAtOnce();
    await carriesOn(stream);
    assert.match(await shop.must('list'), /^web +stopped +[0-9a-f]{12}$/m);
    assert.match(await shop.must('stop'), /Component web is stopped already/);
    await stream.stop();
    await untilGone(shop);

    assert.match(await shop.must('update', '--wait'), /^web: release 2 serves on all 2 hosts$/m);
    await untilAnswering(shop, 'v1');
    const cut = await opened(t, openTcp(shop.tcp(b)));
    await shop.must('kill');
    await refusedAtOnce();
    await untilGone(shop);
    await until(() => cut.cutAt, { timeoutMs: WAIT_MS, what: 'the connection to be cut' });
    assert.match(await shop.must('list'), /^web +killed +[0-9a-f]{12}$/m);
    await shop.must('rollback', '--to', '2', '-c', 'web', '--wait');
    await untilAnswering(shop, 'v1');
    assert.match(await shop.must('list'), /^web +ready +[0-9a-f]{12}$/m);
  });

  function refusedAtOnce(): Promise<void> {
    return untilRefused(shop, { agents, withinMs: AT_ONCE_MS });
  }

  test('what is newer wins over a rollout whose hosts prepare', async () => {
    await eachWinsOver(async () => {
      hold(agents.slice(1));
      const update = await rollOut({});
      await letQueue(shop, agents.slice(0, 1));
      assert.equal((await rolloutOf(shop)).state, 'preparing');
      return { update, end: () => agents[1]?.signal('SIGCONT') };
    });
  });

  test('what is newer wins over a rollout with a host in its turn', async () => {
    await eachWinsOver(async () => {
      const never = [{ name: 'READY_AFTER_MS', value: '600000' }];
      const update = await rollOut({ environmentVariables: never, readyTimeout: 600_000 });
      await firstWith(shop, 'brings it up', (s) => s.phase === 'starting' && s.containers.length > 1);
      return { update };
    });
  });

  test('what is newer wins over a rollout that is watched', async () => {
    await eachWinsOver(async () => {
      const update = await rollOut({ update: { monitor: 600_000 } });
      await firstWith(shop, 'is watched', (s) => s.phase === 'watching');
      return { update };
    });
  });

  async function rollOut(web: Readonly<Record<string, unknown>>): Promise<Order> {
    await shop.setConfig('bad', web);
    return shop.begin('update', '--wait');
  }

  /** A rollout that does not end by itself, and what its test holds. */
  interface Reached {
    readonly update: Order;
    readonly end?: () => void;
  }

  async function eachWinsOver(reach: () => Promise<Reached>): Promise<void> {
    let { update, end } = await reach();
    await shop.setConfig('newer');
    let generation = await asked('update');
    end?.();
    await isSuperseded(update, 'run release');
    await untilSettled(generation);
    await untilAnswering(shop, 'newer');

    for (const action of ['stop', 'kill'] as const) {
      ({ update, end } = await reach());
      generation = await asked(action);
      end?.();
      await isSuperseded(update, action === 'stop' ? 'be stopped' : 'be killed');
      await untilSettled(generation);
      await untilRefused(shop, { agents });
      assert.deepEqual(await containerIds(shop), []);
      if (action === 'stop') await shop.deploy('v1');
    }
  }

  /** Answers the generation that the command made. */
  async function asked(action: string): Promise<number> {
    const [document] = jsonLines(await shop.must(action, '--json'));
    const { components } = document as unknown as { components: { generation: number }[] };
    return Number(components[0]?.generation);
  }

  async function isSuperseded(update: Order, words: string): Promise<void> {
    const ended = await update.ended;
    exitedWith(1, ended);
    const error = jsonLines(ended.stdout).at(-1);
    assert.equal(error?.code, 'superseded');
    assert.match(String(error?.message), new RegExp(`changed web meanwhile: it is to ${words}`));
  }

  /** Then no host has any reason to write any more, and what is wanted is still that. */
  async function untilSettled(generation: number): Promise<void> {
    const settled = (s: { settled: number }) => s.settled === generation;
    await shop.untilStatus('all to be settled', (all) => all.length === 2 && all.every(settled));
    const noTurns = async () => (await turns(shop)).length === 0;
    await until(noTurns, { timeoutMs: WAIT_MS, what: 'no turns' });
    const [desired] = await shop.values<DesiredValue>(keys().project(PROJECT).desired('web'));
    assert.equal(desired?.generation, generation);
  }
});
