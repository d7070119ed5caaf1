/**
 * Carries out the steps of rollout.ts: one executor a kind. What changes the record does so under the component's
 * lock; what is decided for the fleet is a transaction that may lose, and then the world is looked at anew.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Agent, View } from '../agent/agent.ts';
import { isOnTrial, withPromoted } from '../agent/plan/canary-mark.ts';
import { hasFailed } from '../agent/plan/standing.ts';
import type { Observed } from '../agent/plan/state.ts';
import {
  type ComponentRecord,
  type FleetMemory,
  withAdopted,
  withProven,
  withStatus,
  withTakenBack,
} from '../agent/record.ts';
import { stay } from '../agent/stay.ts';
import type { Condition } from '../cluster/store.ts';
import {
  type ReleaseValue,
  readRelease,
  readScale,
  readStatus,
  readTurn,
  type StatusValue,
  type TurnValue,
} from '../cluster/values.ts';
import { GantryError } from '../errors.ts';
import type { Tell } from '../events.ts';
import { completed, type Deciding, failed, opened, toldCompleted, toldFailed } from './decisions.ts';
import { hostRelease } from './host-release.ts';
import type { Remains } from './post-mortem.ts';
import { Preparing } from './preparing.ts';
import { type Here, mayAdvance, type Preparation, type Step, type Wanted } from './rollout.ts';
import type { Surroundings } from './surroundings.ts';

/** Between two looks at whether all hosts are prepared. */
const OPEN_EVERY_MS = 300;
/** The first try to close a rollout again, after one that did not work. */
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 30_000;
/** Between two looks at whether what failed before is gone. */
const LEAVING_MS = 200;
/** Nothing to do until something happens. */
const RESTS_MS = Number.POSITIVE_INFINITY;

export interface StepsInput {
  readonly around: Surroundings;
  readonly name: string;
  readonly agent: Agent;
  readonly tell: Tell;
  readonly poke: () => void;
  readonly publish: (view: View, step: Step) => void;
}

/** What a step was decided from. */
export interface Situation extends Remains {
  readonly wanted: Wanted;
  readonly here: Here;
  readonly view: View;
}

export interface Steps {
  /** Answers for how many milliseconds it may rest, if nothing happens. */
  execute(step: Step, situation: Situation, signal: AbortSignal): Promise<number>;
  /** A release that was learned. */
  release(number: number): ReleaseValue | undefined;
  preparation(): Preparation | undefined;
  /** Something else is wanted: what was learned and prepared for the one before is of no use. */
  forget(): void;
  /** The record wants nothing until the fleet is followed anew; resolves when nothing is left. */
  leave(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

type Executors = {
  readonly [K in Step['kind']]: (
    step: Extract<Step, { kind: K }>,
    situation: Situation,
    signal: AbortSignal,
  ) => Promise<number | undefined>;
};

export function steps(input: StepsInput): Steps {
  const { around, name, agent, tell } = input;
  const { keys, store, host } = around;
  const releases = new Map<number, ReleaseValue>();
  const preparing = new Preparing(input);
  /** Tries in vain to close the rollout. */
  let completeTries = 0;
  /** The turn that was asked for last. */
  let queued = '';

  const executors: Executors = {
    async 'take-back'(_, __, signal) {
      await change(signal, (record) => {
        const fleet = fleetOf(record);
        return withTakenBack(record, { ...fleet, generation: fleet.settled });
      });
      return 0;
    },

    async rescale({ scale }, _, signal) {
      await change(signal, (record) => ({ ...record, scale }));
      return 0;
    },

    async 'follow-status'({ status }, { wanted }, signal) {
      const { generation } = desired(wanted).value;
      await change(signal, (record) =>
        withStatus(record, status, { generation, attempt: 1, settled: fleetOf(record).settled }),
      );
      tell({ kind: 'stop-started', status });
      return 0;
    },

    async 'learn-release'({ release }) {
      const value = readRelease(await store.get(keys.release(name, release)));
      if (value === undefined) throw missingRelease(name, release);
      releases.clear();
      releases.set(release, value);
      return 0;
    },

    async prepare(_, { wanted }) {
      const { generation } = desired(wanted).value;
      const { kind, generation: its } = wanted.rollout?.value ?? {};
      const returns = kind === 'rollback' && its === generation;
      preparing.start(releaseIn(wanted), { generation, attempt: attemptOf(wanted), returns });
      return 0; // so that what it waits for is told
    },

    async queue(_, { wanted, here }) {
      const { lease } = here;
      if (lease === undefined) return AGAIN_MS;
      const own = wanted.turns.find((t) => t.host === host);
      const { generation } = desired(wanted).value;
      const at = new Date(here.now).toISOString();
      const value: TurnValue = { format: 1, host, generation, attempt: attemptOf(wanted), lease, at };
      const key = keys.turn(name, host);
      // With many hosts its own key may be slow to come back: to write it again would be news for all of them.
      const asked = `${generation} ${value.attempt} ${lease}`;
      if (asked === queued && isSame(readTurn(await store.get(key)), value)) return AGAIN_MS;
      queued = asked;
      // A place in the queue that is gone is not taken again at its end; a key that nobody can read is replaced.
      const place = own === undefined ? [] : [{ key, createRevision: own.createRevision }];
      await store.commit(
        [...asDecided(wanted), ...place],
        [{ kind: 'put', key, value: JSON.stringify(value), lease }],
      );
      return AGAIN_MS;
    },

    async unqueue() {
      await store.commit([], [{ kind: 'delete', key: keys.turn(name, host) }]);
      return AGAIN_MS;
    },

    async open(_, { wanted, here }) {
      const { generation } = desired(wanted).value;
      const prepared = new Set(wanted.turns.filter((t) => t.generation === generation).map((t) => t.host));
      // Where it was open before, those that are through do not queue again.
      if (here.memory?.settled === generation)
        for (const { host, settled } of await liveStatuses()) if (settled === generation) prepared.add(host);
      if (prepared.size < (await store.count(keys.statuses(name)))) return OPEN_EVERY_MS;
      const { conditions, writes } = opened(deciding(wanted));
      await store.commit(conditions, writes);
      return AGAIN_MS;
    },

    async adopt({ proven }, { wanted, here, view }, signal) {
      const value = releaseIn(wanted);
      if (isStillLeaving(view, value.number)) return LEAVING_MS;
      const { generation } = desired(wanted).value;
      const attempt = attemptOf(wanted);
      const linkPort = await around.links.require(value);
      const isTriedElsewhere = !proven && (await hasServedElsewhere(value, generation));
      await change(signal, async (record) => {
        // The lock may have taken its time: what was routed or proven meanwhile is marked in the record.
        if (!isDeepStrictEqual(record, view.record)) return record;
        const returns = view.desired.release !== undefined && serves(view.observed);
        const lease = around.session.lease();
        if (!proven && !mayAdvance(wanted, { host, lease, returns, generation })) return record;
        const { release, linkPorts } = await onThisHost(value, record, linkPort);
        const fleet = { generation, attempt, settled: fleetOf(record).settled };
        const isUnscaled = wanted.scale === undefined;
        const adopted = withAdopted(asItServes(record, view), { ...release, proven }, fleet, isUnscaled);
        const tried = isTriedElsewhere ? withPromoted(adopted, release.number, here.now) : adopted;
        return { ...tried, linkPorts };
      });
      return 0;
    },

    async 'watch-again'(_, { wanted, here }, signal) {
      const attempt = attemptOf(wanted);
      await change(signal, (record) => {
        const { failed: __, ...fleet } = fleetOf(record);
        return { ...record, fleet: { ...fleet, attempt, provenAt: here.now } };
      });
      return 0;
    },

    async settle(step, { wanted }, signal) {
      const { generation } = desired(wanted).value;
      await change(signal, (record) => ({ ...record, fleet: { ...fleetOf(record), settled: generation } }));
      completeTries = 0;
      input.publish(await agent.look(), step);
      // At once: whoever waits for the turn needs not wait for two answers of etcd.
      const turn = wanted.turns.some((t) => t.host === host) ? [keys.turn(name, host)] : [];
      await around.leased.flush(turn.map((key) => ({ kind: 'delete', key })));
      return 0;
    },

    async complete(_, { wanted }) {
      const { generation } = desired(wanted).value;
      const { entries } = await store.list(keys.statuses(name));
      const all = entries.map(readStatus);
      if (all.some((s) => s?.settled !== generation)) {
        completeTries++;
        return Math.min(AGAIN_MS * 2 ** (completeTries - 1), AGAIN_MAX_MS);
      }
      const decided = deciding(wanted);
      const { untried, release } = decided.rollout.value;
      const serves = all.some((s) => s?.containers.some((c) => c.release === release));
      const { conditions, writes } = completed(decided, serves);
      const { done } = await store.commit(conditions, writes);
      if (done && untried !== true) tell(toldCompleted(decided));
      return AGAIN_MS;
    },

    async fail({ why }, situation, signal) {
      const { wanted } = situation;
      const { onFailure } = releaseIn(wanted).spec.update;
      const { generation } = desired(wanted).value;
      const attempt = attemptOf(wanted);
      const turn = wanted.turns.find((t) => t.host === host);
      const statuses = await liveStatuses();
      const known = Math.max(0, ...statuses.map((s) => s.known.generation).filter(Number.isSafeInteger));
      const scale = await scaleEndedBy(wanted, statuses);
      const decision = { failure: failure(why, situation), onFailure, turn, known, scale };
      const decided = deciding(wanted);
      const { conditions, writes } = failed(decided, decision);
      const { done } = await store.commit(conditions, writes);
      if (done) tell(toldFailed(decided, decision));
      if (done && onFailure === 'pause') {
        await change(signal, (record) => {
          return { ...record, fleet: { ...fleetOf(record), failed: { generation, attempt, why } } };
        });
      }
      return done ? 0 : AGAIN_MS;
    },

    async wait({ until }, { here }) {
      return until === undefined ? RESTS_MS : Math.max(0, until - here.now);
    },
  };

  return {
    async execute(step, situation, signal) {
      const executor = executors[step.kind] as (
        s: Step,
        on: Situation,
        signal: AbortSignal,
      ) => Promise<number | undefined>;
      return (await executor(step, situation, signal)) ?? RESTS_MS;
    },
    release: (number) => releases.get(number),
    preparation: () => preparing.preparation,
    forget() {
      preparing.forget();
      releases.clear();
    },
    async leave(signal) {
      await change(signal, (record) =>
        record.status === 'ready' ? withStatus(record, 'stopped', NOTHING_FOLLOWED) : record,
      );
      await stay(agent, (view) => view.plan.length === 0, { tell, now: around.now }, signal);
    },
    close: () => preparing.close(),
  };

  function onThisHost(value: ReleaseValue, record: ComponentRecord, linkPort: (link: string) => number) {
    const { engine, address } = around;
    return hostRelease({ value, engine, address, linkPorts: record.linkPorts, linkPort });
  }

  async function change(
    signal: AbortSignal,
    to: (record: ComponentRecord) => ComponentRecord | Promise<ComponentRecord>,
  ): Promise<void> {
    await agent.change(to, signal);
  }

  /** One host tries a release out for all that come after it; one that only started it has not. */
  async function hasServedElsewhere({ spec }: ReleaseValue, generation: number): Promise<boolean> {
    if (spec.update.canary === undefined) return false;
    return (await liveStatuses()).some((s) => s.settled === generation && s.tried === true);
  }

  async function liveStatuses(): Promise<readonly StatusValue[]> {
    const { entries } = await store.list(keys.statuses(name));
    return entries.flatMap((entry) => readStatus(entry) ?? []);
  }

  /** What is asked for now, where the rollout's update put an end to what was asked for before. */
  async function scaleEndedBy({ rollout }: Wanted, statuses: readonly StatusValue[]) {
    if (rollout?.value.ended === undefined) return undefined;
    const key = keys.scale(name);
    const entry = await store.get(key);
    return { key, held: { value: readScale(entry), modRevision: entry?.modRevision ?? 0 }, statuses };
  }

  function deciding(wanted: Wanted): Deciding {
    const { rollout } = wanted;
    if (rollout === undefined) throw new GantryError('internal', 'a decision without a rollout');
    const at = new Date(around.now()).toISOString();
    return { keys, component: name, desired: desired(wanted), rollout, at };
  }

  function asDecided(wanted: Wanted): readonly Condition[] {
    const { rollout } = wanted;
    return [
      { key: keys.desired(name), modRevision: desired(wanted).modRevision },
      { key: keys.rollout(name), modRevision: rollout?.modRevision ?? 0 },
    ];
  }

  function failure(why: string, { wanted, here, check, words }: Situation) {
    const { exitCode, oomKilled, logs = [] } = words ?? {};
    return {
      host,
      release: desired(wanted).value.release,
      why,
      ...(check === undefined ? {} : { check }),
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(oomKilled === undefined ? {} : { oomKilled }),
      logs,
      at: new Date(here.now).toISOString(),
    };
  }
}

/** Something is routed, or is to be again as soon as somebody sees to it: a proxy may have lost its table. */
export function serves({ containers }: Pick<Observed, 'containers'>): boolean {
  return containers.some((c) => c.routed || (c.served && c.state === 'running' && !c.drain && !c.busy));
}

const NOTHING_FOLLOWED: FleetMemory = { generation: 0, attempt: 0, settled: 0 };

function fleetOf(record: ComponentRecord): FleetMemory {
  return record.fleet ?? NOTHING_FOLLOWED;
}

/** Containers of an attempt that failed would be taken for the next one's: they go first. */
function isStillLeaving({ desired: { release }, observed }: View, number: number): boolean {
  if (release?.number === number) return false;
  const old = observed.containers.filter((c) => c.release === number && c.drain === undefined);
  return old.some(hasFailed);
}

/** What serves is what a failure returns to, even if whoever routed it did not live to settle on it. */
function asItServes(record: ComponentRecord, { observed }: View): ComponentRecord {
  const routed = observed.containers.filter((c) => c.routed);
  const serves = routed.length > 0 && routed.every((c) => c.release === record.release);
  return record.status === 'ready' && serves && !isOnTrial(record)
    ? withProven(record, record.release)
    : record;
}

function isSame(there: TurnValue | undefined, value: TurnValue): boolean {
  const { generation, attempt, lease } = value;
  return there?.generation === generation && there.attempt === attempt && there.lease === lease;
}

function desired(wanted: Wanted) {
  if (wanted.desired === undefined) throw new GantryError('internal', 'a step without an intent');
  return wanted.desired;
}

function releaseIn(wanted: Wanted): ReleaseValue {
  if (wanted.release === undefined) throw new GantryError('internal', 'a step without its release');
  return wanted.release;
}

function attemptOf(wanted: Wanted): number {
  const { rollout } = wanted;
  return rollout?.value.generation === desired(wanted).value.generation ? rollout.value.attempt : 1;
}

function missingRelease(component: string, release: number): GantryError {
  return new GantryError(
    'cluster-failed',
    `etcd has no release ${release} of ${component}, which is wanted`,
    {
      retryable: true,
      hint: 'Was etcd restored, or were keys removed? What serves serves on; run update or rollback.',
    },
  );
}
