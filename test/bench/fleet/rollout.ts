/**
 * How long an update takes to go through three real hosts, beside what their containers alone take to start. Each host
 * has a network, an engine, a proxy and `gantryd run` of its own; etcd is on a fourth machine.
 */
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { keys as keysOf } from '../../../src/cluster/keys.ts';
import type { Mirror } from '../../../src/cluster/store.ts';
import { type RolloutValue, readRollout } from '../../../src/cluster/values.ts';
import { type Agent, type FleetShop, openFleetShop, PROJECT } from '../../e2e/fleet.ts';
import type { Event } from '../../e2e/shop.ts';
import { type Cleanup, until } from '../../ground/harness.ts';

export interface Rollout {
  readonly maxParallel: number;
  /** Milliseconds from when the rollout is in etcd to when it is done there, as a client that watches sees it. */
  readonly wallMs: number;
  /** Until the first host had its turn: every host looks for the image and tries its ports. */
  readonly preparedMs: number;
  /** From the first turn to the last host that settled; then the rollout is closed. */
  readonly turnsMs: number;
  readonly hosts: readonly Turn[];
}

/** One host's turn, in milliseconds by its agent's events. */
export interface Turn {
  readonly toCreated: number;
  readonly toStarted: number;
  readonly toReady: number;
  readonly toSwitched: number;
  readonly toSettled: number;
}

const COMPONENT = 'web';
const ROLLOUT_MS = 60_000;
const PARALLEL = [1, 3] as const;
/** In the order in which they come, each with the one it is counted from. */
const MOMENTS = ['adopt', 'container-created', 'container-started', 'container-ready', 'switched', 'settle'];

export async function measureRollouts(t: Cleanup, rounds: number): Promise<readonly Rollout[]> {
  const shop = await openFleetShop(t, { etcd: { members: 1, flushes: true } });
  const agents = await shop.agents();
  const store = openStore({ endpoints: shop.etcd.endpoints });
  t.after(() => store.close());
  await shop.deploy('v0', quick(1));
  const watched = new WatchedRollout((onChange) => {
    const key = keysOf().project(PROJECT).rollout(COMPONENT);
    return store.follow({ range: { from: key, to: `${key}\0` }, onChange });
  });
  const rollouts: Rollout[] = [];
  let release = 1;
  for (let round = 0; round < rounds; round++)
    for (const maxParallel of PARALLEL) {
      release += 1;
      rollouts.push(await rolledOut(shop, agents, watched, release, maxParallel));
    }
  return rollouts;
}

function quick(maxParallel: number) {
  return { update: { monitor: 0, keepOld: 0, maxParallel } };
}

async function rolledOut(
  shop: FleetShop,
  agents: readonly Agent[],
  watched: WatchedRollout,
  release: number,
  maxParallel: number,
): Promise<Rollout> {
  await shop.setConfig(`v${release}`, quick(maxParallel));
  await shop.must('update', '--wait');
  const { beganAt, endedAt } = await watched.over(release);
  const turns = agents.map((agent) => momentsOf(agent, release));
  const adopted = Math.min(...turns.map((at) => at.adopt ?? Number.NaN));
  const settled = Math.max(...turns.map((at) => at.settle ?? Number.NaN));
  return {
    ...{ maxParallel, wallMs: endedAt - beganAt },
    ...{ preparedMs: adopted - beganAt, turnsMs: settled - adopted },
    hosts: turns.map(turnOf),
  };
}

/** When each came first, in epoch milliseconds. */
function momentsOf(agent: Agent, release: number): Readonly<Record<string, number>> {
  const from = agent.events().findIndex((e) => e.release === release && nameOf(e) === 'adopt');
  const found: Record<string, number> = {};
  for (const event of agent.events().slice(from)) found[nameOf(event)] ??= Number(event.at);
  return found;
}

function nameOf(event: Event): string {
  return event.kind === 'rollout-step' ? String(event.step) : event.kind;
}

function turnOf(at: Readonly<Record<string, number>>): Turn {
  const [toCreated, toStarted, toReady, toSwitched, toSettled] = MOMENTS.slice(1).map((moment, i) => {
    return (at[moment] ?? Number.NaN) - (at[MOMENTS[i] ?? ''] ?? Number.NaN);
  });
  const none = Number.NaN;
  return {
    ...{ toCreated: toCreated ?? none, toStarted: toStarted ?? none, toReady: toReady ?? none },
    ...{ toSwitched: toSwitched ?? none, toSettled: toSettled ?? none },
  };
}

class WatchedRollout {
  readonly #mirror: Mirror;
  readonly #began = new Map<number, number>();
  readonly #ended = new Map<number, number>();

  constructor(follow: (onChange: () => void) => Mirror) {
    this.#mirror = follow(() => this.#look());
  }

  async over(release: number): Promise<{ readonly beganAt: number; readonly endedAt: number }> {
    const ended = () => this.#ended.get(release);
    const endedAt = await until(ended, { timeoutMs: ROLLOUT_MS, what: `the end of release ${release}` });
    const beganAt = this.#began.get(release);
    if (beganAt === undefined) throw new Error(`the rollout of release ${release} was not seen to begin`);
    return { beganAt, endedAt };
  }

  #look(): void {
    const rollout: RolloutValue | undefined = readRollout([...this.#mirror.entries.values()][0]);
    if (rollout === undefined) return;
    const { release, state } = rollout;
    if (!this.#began.has(release)) this.#began.set(release, Date.now());
    if (state === 'done' && !this.#ended.has(release)) this.#ended.set(release, Date.now());
  }
}
