/** Mirrors src/fleet/steps.ts and preparing.ts: one executor a kind of step; transactions and record are the real ones. */
import { isDeepStrictEqual } from 'node:util';
import { backoffMs } from '../../src/agent/backoff.ts';
import { hasFailed } from '../../src/agent/plan/standing.ts';
import {
  type ComponentRecord,
  type FleetMemory,
  withAdopted,
  withProven,
  withStatus,
  withTakenBack,
} from '../../src/agent/record.ts';
import type { ProjectKeys } from '../../src/cluster/keys.ts';
import type { Condition, Write } from '../../src/cluster/store.ts';
import {
  type ReleaseValue,
  readRelease,
  readScale,
  readStatus,
  readTurn,
  type TurnValue,
} from '../../src/cluster/values.ts';
import { GantryError, isGantryError, messageOf } from '../../src/errors.ts';
import { completed, type Deciding, failed, opened } from '../../src/fleet/decisions.ts';
import type { Here, Preparation, Step, Wanted } from '../../src/fleet/rollout.ts';
import { serves } from '../../src/fleet/steps.ts';
import type { Changed, SimAgent, SimView } from './agent.ts';
import type { SimEtcd } from './etcd.ts';
import type { Life, Proc } from './schedule.ts';
import type { SimLeased, SimSession } from './session.ts';
import { releaseOf } from './shop.ts';
import type { SimHost } from './world.ts';

const OPEN_EVERY_MS = 300;
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 30_000;
const LEAVING_MS = 200;
const RESTS_MS = 30_000;

export interface StepsInput {
  readonly host: SimHost;
  readonly life: Life;
  readonly component: string;
  readonly keys: ProjectKeys;
  readonly etcd: SimEtcd;
  readonly session: SimSession;
  readonly leased: SimLeased;
  readonly agent: SimAgent;
  readonly poke: () => void;
  readonly publish: (view: SimView, step: Step) => void;
}

export interface Situation {
  readonly wanted: Wanted;
  readonly here: Here;
  readonly view: SimView;
}

export class SimSteps {
  readonly #input: StepsInput;
  readonly #releases = new Map<number, ReleaseValue>();
  preparation: Preparation | undefined;
  #tries = 0;
  #completeTries = 0;
  #queued = '';

  constructor(input: StepsInput) {
    this.#input = input;
  }

  release(number: number): ReleaseValue | undefined {
    return this.#releases.get(number);
  }

  forget(): void {
    this.preparation = undefined;
    this.#releases.clear();
  }

  *execute(step: Step, on: Situation): Proc<number> {
    const { agent } = this.#input;
    const { wanted, here } = on;
    switch (step.kind) {
      case 'take-back':
        yield* agent.change((record) => {
          const fleet = fleetOf(record);
          return withTakenBack(record, { ...fleet, generation: fleet.settled });
        }, `takes back: ${step.why}`);
        return 0;
      case 'rescale': {
        const { scale } = step;
        yield* agent.change((record) => ({ ...record, scale }), `follows a number: ${step.why}`);
        return 0;
      }
      case 'follow-status': {
        const { generation } = desired(wanted).value;
        yield* agent.change(
          (record) =>
            withStatus(record, step.status, { generation, attempt: 1, settled: fleetOf(record).settled }),
          `is to be ${step.status} (change ${generation})`,
        );
        return 0;
      }
      case 'learn-release':
        return yield* this.#learn(step.release);
      case 'prepare':
        this.#prepare(wanted);
        return RESTS_MS;
      case 'queue':
        return yield* this.#queue(wanted, here);
      case 'unqueue':
        yield* this.#commit('leaves the queue', [], [this.#ownTurn()]);
        return AGAIN_MS;
      case 'open':
        return yield* this.#open(wanted);
      case 'adopt':
        return yield* this.#adopt(step, on);
      case 'watch-again':
        yield* agent.change((record) => {
          const { failed: _, ...fleet } = fleetOf(record);
          return { ...record, fleet: { ...fleet, attempt: attemptOf(wanted), provenAt: here.now } };
        }, 'watches again');
        return 0;
      case 'settle':
        return yield* this.#settle(step, wanted);
      case 'complete':
        return yield* this.#complete(wanted);
      case 'fail':
        return yield* this.#fail(step.why, on);
      case 'wait':
        return step.until === undefined ? RESTS_MS : Math.max(0, step.until - here.now);
    }
  }

  *#learn(number: number): Proc<number> {
    const { keys, component, etcd } = this.#input;
    const entry = yield* this.#read(() => etcd.get(keys.release(component, number)));
    const value = readRelease(entry);
    if (value === undefined)
      throw new GantryError('cluster-failed', `no release ${number}`, { retryable: true });
    this.#releases.clear();
    this.#releases.set(number, value);
    return 0;
  }

  *#queue(wanted: Wanted, here: Here): Proc<number> {
    const { lease } = here;
    const { host, keys, component, etcd } = this.#input;
    if (lease === undefined) return AGAIN_MS;
    const own = wanted.turns.find((t) => t.host === host.name);
    const { generation } = desired(wanted).value;
    const at = new Date(here.now).toISOString();
    const value: TurnValue = {
      format: 1,
      host: host.name,
      generation,
      attempt: attemptOf(wanted),
      lease,
      at,
    };
    const key = keys.turn(component, host.name);
    const asked = `${generation} ${value.attempt} ${lease}`;
    if (asked === this.#queued) {
      const there = readTurn(yield* this.#read(() => etcd.get(key)));
      const isSame =
        there?.generation === generation && there.attempt === value.attempt && there.lease === lease;
      if (isSame) return AGAIN_MS;
    }
    this.#queued = asked;
    const place = own === undefined ? [] : [{ key, createRevision: own.createRevision }];
    const write: Write = { kind: 'put', key, value: JSON.stringify(value), lease };
    yield* this.#commit(`queues for change ${generation}`, [...this.#asDecided(wanted), ...place], [write]);
    return AGAIN_MS;
  }

  *#open(wanted: Wanted): Proc<number> {
    const { keys, component, etcd } = this.#input;
    const { generation } = desired(wanted).value;
    const prepared = wanted.turns.filter((t) => t.generation === generation).length;
    if (prepared < (yield* this.#read(() => etcd.list(keys.statuses(component)).length)))
      return OPEN_EVERY_MS;
    const { conditions, writes } = opened(this.#deciding(wanted));
    yield* this.#commit(`opens change ${generation}`, conditions, writes);
    return AGAIN_MS;
  }

  *#adopt(
    { proven, why }: Extract<Step, { kind: 'adopt' }>,
    { wanted, here, view }: Situation,
  ): Proc<number> {
    const { host, session, agent } = this.#input;
    const value = known(wanted);
    if (isStillLeaving(view, value.number)) return LEAVING_MS;
    const { generation } = desired(wanted).value;
    const attempt = attemptOf(wanted);
    if (!here.serves) host.world.promises.adoptedFreely.add(`${host.name} ${generation}`);
    yield* agent.change(
      (record): Changed => {
        if (!isDeepStrictEqual(record, view.record)) return record;
        const returns = view.desired.release !== undefined && serves(view.observed);
        const by = { host: host.name, lease: session.lease(), returns, generation };
        if (!proven && !host.world.sabotage.mayAdvance(wanted, by)) return record;
        const image = { id: value.image.id } as Parameters<typeof releaseOf>[2];
        const release = { ...releaseOf(value.number, value.spec, image), proven };
        const fleet = { generation, attempt, settled: fleetOf(record).settled };
        return withAdopted(asItServes(record, view), release, fleet, wanted.scale === undefined);
      },
      `adopts ${value.number}${proven ? ' as proven' : ''} (change ${generation}): ${why}`,
    );
    return 0;
  }

  *#settle(step: Step, wanted: Wanted): Proc<number> {
    const { host, agent, leased } = this.#input;
    const { generation } = desired(wanted).value;
    yield* agent.change(
      (record) => ({ ...record, fleet: { ...fleetOf(record), settled: generation } }),
      `settles change ${generation}`,
    );
    this.#completeTries = 0;
    this.#input.publish(yield* agent.look(), step);
    const turn = wanted.turns.some((t) => t.host === host.name) ? [this.#ownTurn()] : [];
    yield* leased.flush(turn);
    return 0;
  }

  *#complete(wanted: Wanted): Proc<number> {
    const { keys, component, etcd } = this.#input;
    const { generation } = desired(wanted).value;
    const all = (yield* this.#read(() => etcd.list(keys.statuses(component)))).map(readStatus);
    if (all.some((s) => s?.settled !== generation)) {
      return Math.min(AGAIN_MS * 2 ** this.#completeTries++, AGAIN_MAX_MS);
    }
    const decided = this.#deciding(wanted);
    const { release } = decided.rollout.value;
    const serves = all.some((s) => s?.containers.some((c) => c.release === release));
    const { conditions, writes } = completed(decided, serves);
    yield* this.#commit(`closes change ${generation}`, conditions, writes);
    return AGAIN_MS;
  }

  *#fail(why: string, { wanted, here }: Situation): Proc<number> {
    const { host, keys, component, etcd, agent } = this.#input;
    const release = known(wanted);
    const { generation } = desired(wanted).value;
    const attempt = attemptOf(wanted);
    const { onFailure } = release.spec.update;
    const turn = wanted.turns.find((t) => t.host === host.name);
    const entries = yield* this.#read(() => etcd.list(keys.statuses(component)));
    const statuses = entries.flatMap((e) => readStatus(e) ?? []);
    const above = Math.max(0, ...statuses.map((s) => s.known.generation).filter(Number.isSafeInteger));
    const scaleKey = keys.scale(component);
    const entry = yield* this.#read(() => etcd.get(scaleKey));
    const held = { value: readScale(entry), modRevision: entry?.modRevision ?? 0 };
    const scale = { key: scaleKey, held, statuses };
    const at = new Date(here.now).toISOString();
    const failure = { host: host.name, release: desired(wanted).value.release, why, logs: [], at };
    const { conditions, writes } = failed(this.#deciding(wanted), {
      failure,
      onFailure,
      turn,
      known: above,
      scale,
    });
    const done = yield* this.#commit(`fails change ${generation} (${onFailure}): ${why}`, conditions, writes);
    if (done && onFailure === 'pause') {
      yield* agent.change(
        (record) => ({ ...record, fleet: { ...fleetOf(record), failed: { generation, attempt, why } } }),
        'it failed here',
      );
    }
    return done ? 0 : AGAIN_MS;
  }

  /** Preparing.start(): beside the component's rounds. */
  #prepare(wanted: Wanted): void {
    const { life } = this.#input;
    const { generation } = desired(wanted).value;
    const attempt = attemptOf(wanted);
    this.#tries = this.preparation?.generation === generation ? this.#tries + 1 : 1;
    const working: Preparation = { generation, attempt, state: 'working', why: 'fetching' };
    this.preparation = working;
    life.fork(this.#getReady(known(wanted), working));
  }

  *#getReady(value: ReleaseValue, working: Preparation): Proc {
    let outcome: Pick<Preparation, 'state' | 'why' | 'retryAt'>;
    try {
      yield* this.#ensureImage(value.image.id);
      yield* this.#input.agent.look();
      outcome = { state: 'done', why: '' };
    } catch (error) {
      if (!isGantryError(error)) throw error;
      outcome = this.#failure(error);
    }
    if (this.preparation !== working) return;
    const { generation, attempt } = working;
    this.preparation = { generation, attempt, ...outcome };
    this.#input.poke();
  }

  *#ensureImage(id: string): Proc {
    const { host, life } = this.#input;
    const has = yield* host.world.effect(life, host, { on: 'engine', run: () => host.engine.images.has(id) });
    if (has) return;
    const run = () => {
      const image = host.engine.registry.get(id);
      if (image === undefined) throw new GantryError('image-not-found', `no registry has ${id}`);
      host.engine.images.set(id, image);
    };
    yield* host.world.effect(life, host, { on: 'engine', words: `pulls ${id}`, run });
  }

  #failure(error: GantryError): Pick<Preparation, 'state' | 'why' | 'retryAt'> {
    const { host } = this.#input;
    const ms = Math.max(
      backoffMs(this.#tries + 1, () => host.world.dice.below(1_000) / 1_000),
      AGAIN_MS,
    );
    return {
      state: error.retryable ? 'retrying' : 'refused',
      why: messageOf(error),
      retryAt: host.now() + Math.min(ms, AGAIN_MAX_MS),
    };
  }

  #ownTurn(): Write {
    const { keys, component, host } = this.#input;
    return { kind: 'delete', key: keys.turn(component, host.name) };
  }

  #deciding(wanted: Wanted): Deciding {
    const { keys, component, host } = this.#input;
    const { rollout } = wanted;
    if (rollout === undefined) throw new GantryError('internal', 'a decision without a rollout');
    const at = new Date(host.now()).toISOString();
    return { keys, component, desired: desired(wanted), rollout, at };
  }

  #asDecided(wanted: Wanted): readonly Condition[] {
    const { keys, component } = this.#input;
    return [
      { key: keys.desired(component), modRevision: desired(wanted).modRevision },
      { key: keys.rollout(component), modRevision: wanted.rollout?.modRevision ?? 0 },
    ];
  }

  *#read<T>(run: () => T): Proc<T> {
    const { host, life } = this.#input;
    return yield* host.world.effect(life, host, { on: 'etcd', run });
  }

  *#commit(words: string, conditions: readonly Condition[], writes: readonly Write[]): Proc<boolean> {
    const { host, life, etcd } = this.#input;
    return yield* host.world.effect(life, host, {
      on: 'etcd',
      words,
      run: () => etcd.commit(conditions, writes),
    });
  }
}

const NOTHING_FOLLOWED: FleetMemory = { generation: 0, attempt: 0, settled: 0 };

function fleetOf(record: ComponentRecord): FleetMemory {
  return record.fleet ?? NOTHING_FOLLOWED;
}

function isStillLeaving({ desired: { release }, observed }: SimView, number: number): boolean {
  if (release?.number === number) return false;
  const old = observed.containers.filter((c) => c.release === number && c.drain === undefined);
  return old.some(hasFailed);
}

function asItServes(record: ComponentRecord, { observed }: SimView): ComponentRecord {
  const routed = observed.containers.filter((c) => c.routed);
  const isServing = routed.length > 0 && routed.every((c) => c.release === record.release);
  return record.status === 'ready' && isServing ? withProven(record, record.release) : record;
}

function desired(wanted: Wanted) {
  if (wanted.desired === undefined) throw new GantryError('internal', 'a step without an intent');
  return wanted.desired;
}

function known(wanted: Wanted): ReleaseValue {
  if (wanted.release === undefined) throw new GantryError('internal', 'a step without its release');
  return wanted.release;
}

function attemptOf(wanted: Wanted): number {
  const { rollout } = wanted;
  return rollout?.value.generation === desired(wanted).value.generation ? rollout.value.attempt : 1;
}
