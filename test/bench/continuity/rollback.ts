/**
 * How long `gantryd rollback` takes while the containers before are warm: from the start of the command until clients
 * of every host get answers of the release before only. Beside it when etcd had it and what each host told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { readRollout } from '../../../src/cluster/values.ts';
import { type Agent, type FleetShop, openFleetShop, PROJECT, WAIT_MS } from '../../e2e/fleet.ts';
import { exitedWith } from '../../e2e/shop.ts';
import { type Cleanup, until } from '../../ground/harness.ts';
import type { Place } from '../../ground/requests.ts';
import { Ends } from '../ends.ts';
import { askVersion, type Say, WEB } from './stage.ts';

export interface RollbackOptions {
  readonly rounds: number;
  readonly say: Say;
}

export interface Rollbacks {
  readonly rollbacks: readonly Rollback[];
}

/** Milliseconds since the command's process was started. */
export interface Rollback {
  readonly hosts: number;
  /** Another client of etcd has it. */
  readonly toWritten: number;
  /** The last host told its first step. */
  readonly toActed: number;
  /** The last host told that it had switched. */
  readonly toSwitched: number;
  /** The first answer on the last host after which there were none of the newer release. */
  readonly toAnswered: number;
  readonly toEnded: number;
  readonly asked: number;
  readonly failed: number;
}

const HOSTS = [['a'], ['a', 'b', 'c']] as const;
const FIELDS = { readyTimeout: 60_000, update: { monitor: 0 } };
/** Between two questions to a host, so that the clients do not keep a core from what is measured. */
const PAUSE_MS = 2;

export async function measureRollbacks(t: Cleanup, { rounds, say }: RollbackOptions): Promise<Rollbacks> {
  const rollbacks: Rollback[] = [];
  for (const hosts of HOSTS) {
    const ends = new Ends();
    t.after(() => ends.close());
    rollbacks.push(...(await onHosts(ends, hosts, rounds, say)));
    await ends.close();
  }
  return { rollbacks };
}

async function onHosts(t: Cleanup, hosts: readonly string[], rounds: number, say: Say): Promise<Rollback[]> {
  const shop = await openFleetShop(t, { hosts, etcd: { flushes: true } });
  const agents = await shop.agents();
  await shop.deploy('v1', FIELDS);
  await shop.deploy('v2', FIELDS);
  const written = new WrittenRollouts(t, shop);
  const rollbacks: Rollback[] = [];
  for (let round = 1; round <= rounds; round++) {
    const rollback = await rolledBack(shop, agents, written);
    rollbacks.push(rollback);
    say(`rollback ${round} of ${rounds} on ${hosts.length}: ${Math.round(rollback.toAnswered)} ms`);
    await settled(shop);
    await shop.must('rollback', '--to', '2', '-c', WEB, '--wait');
  }
  return rollbacks;
}

async function rolledBack(
  shop: FleetShop,
  agents: readonly Agent[],
  written: WrittenRollouts,
): Promise<Rollback> {
  const clients = shop.hosts.map((host) => new Asking(shop.http(host)));
  try {
    await Promise.all(clients.map((client) => client.hears('v2')));
    const began = Date.now();
    const command = await shop.gantryd('rollback');
    const ended = Date.now();
    exitedWith(0, command);
    await Promise.all(clients.map((client) => client.hears('v1'))); // asking etcd meanwhile would cost time
    await settled(shop);
    const last = (times: readonly number[]) => Math.max(...times) - began;
    return {
      hosts: shop.hosts.length,
      toWritten: written.since(began) - began,
      toActed: last(agents.map((agent) => firstOf(agent, 'rollout-step', began))),
      toSwitched: last(agents.map((agent) => firstOf(agent, 'switched', began))),
      toAnswered: last(clients.map((client) => client.onlySince('v1'))),
      toEnded: ended - began,
      asked: clients.reduce((sum, { asked }) => sum + asked, 0),
      failed: clients.reduce((sum, { failed }) => sum + failed, 0),
    };
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

async function settled(shop: FleetShop): Promise<void> {
  await shop.untilStatus(
    'all hosts to be back on release 1',
    (all) =>
      all.length === shop.hosts.length && all.every((s) => s.settled === s.generation && s.serving === 1),
  );
}

function firstOf(agent: Agent, kind: string, since: number): number {
  return Number(agent.events(kind).find(({ at }) => Number(at) >= since)?.at);
}

/** When etcd had a rollout, as a client that watches sees it. */
class WrittenRollouts {
  readonly #times: number[] = [];
  #generation = 0;

  constructor(t: Cleanup, shop: FleetShop) {
    const store = openStore({ endpoints: shop.etcd.endpoints });
    t.after(() => store.close());
    const key = keys().project(PROJECT).rollout(WEB);
    const mirror = store.follow({
      range: { from: key, to: `${key}\0` },
      onChange: () => this.#look(readRollout(mirror.entries.get(key))?.generation ?? 0),
    });
  }

  since(began: number): number {
    return this.#times.find((at) => at >= began) ?? Number.NaN;
  }

  #look(generation: number): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#times.push(Date.now());
  }
}

/** Asks a host over new connections, one after the other, and keeps when which version answered. */
class Asking {
  asked = 0;
  failed = 0;
  readonly #answers: { readonly version: string; readonly at: number }[] = [];
  #open = true;
  readonly #going: Promise<void>;

  constructor(place: Place) {
    this.#going = this.#run(place);
  }

  async hears(version: string): Promise<void> {
    const heard = () => this.#answers.at(-1)?.version === version;
    await until(heard, { timeoutMs: WAIT_MS, what: `an answer of ${version}` });
  }

  /** From when on only this version has answered. */
  onlySince(version: string): number {
    const last = this.#answers.findLastIndex((answer) => answer.version !== version);
    return this.#answers[last + 1]?.at ?? Number.NaN;
  }

  async close(): Promise<void> {
    this.#open = false;
    await this.#going;
  }

  async #run(place: Place): Promise<void> {
    while (this.#open) {
      this.asked += 1;
      const version = await askVersion(place).catch(() => undefined);
      if (version === undefined) this.failed += 1;
      else this.#answers.push({ version, at: Date.now() });
      await delay(PAUSE_MS);
    }
  }
}
