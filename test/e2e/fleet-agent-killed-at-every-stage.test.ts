/** An agent that is killed at any stage of its host's turn is started again, and the rollout goes on as if nothing was. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { ComponentRecord, Mark } from '../../src/agent/record.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import type { Load } from '../ground/load.ts';
import {
  type Agent,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
  WITH_LED,
} from './fleet.ts';
import { hold, letQueue, turns } from './fleet-acts.ts';
import { endsWhole, isOn, tells, watchTurns } from './fleet-faults.ts';

const FOLDER = join('components', PROJECT);
const RELEASE = 2;
/** The last host's turn comes after those of two others, whose agents are started six times. */
const TURNS_MS = 4 * WAIT_MS;

/** Some are told of and last, the others are over at once: what the host has on its disk shows them. */
type Told = 'queued' | 'started' | 'watched';
type Seen = 'adopted' | 'container created' | 'about to switch' | 'switched' | 'proven' | 'settled';

describe('an agent killed in its turn', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let agents: readonly Agent[];
  let loads: readonly Load[];
  before(async () => {
    shop = await openFleetShop(endings);
  });
  afterEach(() => shop.clear());
  after(() => endings.run());

  test('and started again at once: the rollout finishes, one host at a time, and nothing is lost', async (t) => {
    await serving(t);
    const watched = watchTurns(t, shop, RELEASE);
    const stages: readonly (readonly (Told | Seen)[])[] = [
      ['queued', 'adopted', 'container created'],
      ['about to switch', 'switched', 'proven'],
      ['started', 'watched', 'settled'],
    ];
    const chains = agents.map((agent, i) => killedAtEach(t, agent, stages[i] ?? []));
    await shop.must('update', '--wait');
    await Promise.all(chains);
    await endsWhole(shop, { release: RELEASE, version: 'v2', loads });
    assert.deepEqual(await watched.stop(), []);
    for (const { stateDir } of shop.hosts) {
      const left = readdirSync(join(stateDir, FOLDER)).filter((name) => name.endsWith('.tmp'));
      assert.deepEqual(left, []);
    }
  });

  test('and started again after its lease: the others go on without it, and it follows', async (t) => {
    await serving(t);
    const [a, b] = agents as [Agent, Agent];
    const killed = killedAt(t, shop, a, 'switched');
    hold(agents);
    await shop.must('update');
    await letQueue(shop, agents);
    await killed;
    await killedAt(t, shop, b, 'queued');
    await shop.untilStatus('the third host to have gone on alone', (all) => {
      return all.length === 1 && all.every((s) => s.host === 'c' && isOn(RELEASE)(s));
    });
    await Promise.all([shop.agent('a'), shop.agent('b')]);
    await endsWhole(shop, { release: RELEASE, version: 'v2', loads });
  });

  /** A first release under load, and a second one to be rolled out. */
  async function serving(t: Cleanup): Promise<void> {
    agents = await shop.agents();
    await shop.deploy('v1', WITH_LED);
    loads = await shop.loads(t, shop.hosts, { led: true });
    await shop.setConfig('v2', {
      ...WITH_LED,
      update: { monitor: 1_500, keepOld: 0 },
      environmentVariables: [{ name: 'READY_AFTER_MS', value: '800' }],
    });
  }

  async function killedAtEach(t: Cleanup, first: Agent, stages: readonly (Told | Seen)[]): Promise<void> {
    let agent = first;
    for (const stage of stages) {
      await killedAt(t, shop, agent, stage);
      agent = await shop.agent(agent.host);
    }
  }
});

async function killedAt(t: Cleanup, shop: FleetShop, agent: Agent, stage: Told | Seen): Promise<void> {
  switch (stage) {
    case 'queued':
      await untilQueued(shop, agent);
      break;
    case 'started':
      await tells(agent, 'container-started', (e) => e.release === RELEASE, TURNS_MS);
      break;
    case 'watched':
      await tells(agent, 'waiting', (e) => e.for === 'monitor');
      break;
    default:
      await onceSeen(t, agent, stage);
  }
  agent.signal('SIGKILL');
  await agent.ended;
}

async function untilQueued(shop: FleetShop, { host }: Agent): Promise<void> {
  const isQueued = async () => (await turns(shop)).some((t) => t.host === host.name);
  await until(isQueued, { timeoutMs: WAIT_MS, what: `${host.name} to be in the queue` });
}

/** Ends the agent in the instant in which its host's files show the stage: what comes next has hardly begun. */
async function onceSeen(t: Cleanup, agent: Agent, stage: Seen): Promise<void> {
  const { stateDir } = agent.host;
  const read = (...path: readonly string[]) => readFileSync(join(stateDir, ...path), 'utf8');
  const folders = [stateDir, join(stateDir, FOLDER)];
  const reached = () => {
    const record = JSON.parse(read(FOLDER, 'web.json')) as ComponentRecord;
    return isReached(stage, record, read('proxy-tables.json'));
  };
  let end = () => {};
  const seen = new Promise<void>((resolve) => {
    const look = () => {
      if (!reached()) return;
      agent.signal('SIGKILL');
      resolve();
    };
    const watchers = folders.map((folder) => watch(folder, look));
    end = () => {
      for (const watcher of watchers) watcher.close();
    };
    look();
  });
  t.after(() => end());
  await seen;
  end();
}

function isReached(stage: Seen, record: ComponentRecord, tables: string): boolean {
  const marks = Object.entries(record.marks).filter(([, mark]) => mark.release === RELEASE);
  const some = (holds: (mark: Mark) => boolean) => marks.some(([, mark]) => holds(mark));
  switch (stage) {
    case 'adopted':
      return record.release === RELEASE;
    case 'container created':
      return some((mark) => mark.startedAt !== undefined);
    case 'about to switch':
      return some((mark) => mark.servedAt !== undefined);
    case 'switched':
      return marks.some(([id]) => tables.includes(id));
    case 'proven':
      return record.releases.some((r) => r.number === RELEASE && r.proven);
    case 'settled':
      return record.release === RELEASE && record.fleet?.settled === record.fleet?.generation;
  }
}
