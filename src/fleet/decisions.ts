/**
 * What a host decides for the whole fleet, as transactions: each compares the revisions it was decided from, so that
 * of several hosts that decide at once one wins, and a newer intent is never overwritten. Pure.
 */
import type { ProjectKeys } from '../cluster/keys.ts';
import type { Condition, Write } from '../cluster/store.ts';
import {
  type DesiredValue,
  type Failure,
  FORMAT,
  type OutcomeValue,
  type RolloutValue,
} from '../cluster/values.ts';
import type { Tell } from '../events.ts';
import type { Turn, Versioned } from './rollout.ts';
import { askedAgain, type ScaleNow } from './scale/ended-scale.ts';

export interface Transaction {
  readonly conditions: readonly Condition[];
  readonly writes: readonly Write[];
}

export interface Deciding {
  readonly keys: ProjectKeys;
  readonly component: string;
  readonly desired: Versioned<DesiredValue>;
  readonly rollout: Versioned<RolloutValue>;
  /** ISO time. */
  readonly at: string;
}

/** Every live host is prepared: the first may switch. */
export function opened(d: Deciding): Transaction {
  return decided(d, { ...d.rollout.value, state: 'running' });
}

/** Every live host is settled. `serves`: on one of them at least; else it has yet to show what it is worth. */
export function completed(d: Deciding, serves: boolean): Transaction {
  const { untried: _, ...value } = d.rollout.value;
  const endedAt = value.endedAt ?? d.at;
  const isKnown = serves || value.kind === 'rollback';
  const done = decided(d, {
    ...value,
    state: 'done',
    endedAt,
    ...(isKnown ? {} : { untried: true as const }),
  });
  if (!isKnown) return done;
  const outcome: OutcomeValue = { format: FORMAT, result: 'completed', at: d.at };
  return { ...done, writes: [...done.writes, put(d.keys.outcome(d.component, value.release), outcome)] };
}

export interface Failed {
  readonly failure: Failure;
  readonly onFailure: 'rollback' | 'pause';
  /** The host's own, which must still stand. */
  readonly turn: Turn | undefined;
  /** The highest change that any live host knows of: an etcd that was restored gives no number out twice. */
  readonly known: number;
  /** Absent: the rollout's update ended none. */
  readonly scale?: ScaleNow | undefined;
}

/** A host could not serve the release: decided once for all, as the release's `onFailure` says. */
export function failed(d: Deciding, decision: Failed): Transaction {
  const { failure, onFailure, turn } = decision;
  const fence: Condition[] =
    turn === undefined
      ? []
      : [{ key: d.keys.turn(d.component, turn.host), createRevision: turn.createRevision }];
  const { conditions, writes } = onFailure === 'pause' ? paused(d, failure) : takenBack(d, decision);
  return { conditions: [...conditions, ...fence], writes };
}

type Told = Parameters<Tell>[0];

/** What whoever decided it tells. */
export function toldCompleted({ rollout: { value } }: Deciding): Told {
  const { kind, release, generation, by, reason } = value;
  const decision = kind === 'rollback' ? 'returned' : 'completed';
  return { kind: 'rollout-decided', decision, release, generation, why: reason ?? `asked by ${by}` };
}

/** As toldCompleted. */
export function toldFailed({ rollout: { value } }: Deciding, { failure, onFailure }: Failed): Told {
  const { release, generation, from } = value;
  const told = { kind: 'rollout-decided', release, generation, why: reasonOf(failure) } as const;
  if (onFailure === 'pause') return { ...told, decision: 'paused' };
  return { ...told, decision: 'taken-back', ...(from === 0 ? {} : { to: from }) };
}

/** Hosts that have moved prepare no more: a resume goes on from where it was. */
function paused(d: Deciding, failure: Failure): Transaction {
  const { value } = d.rollout;
  const was = value.state === 'preparing' || value.state === 'running' ? { was: value.state } : {};
  return decided(d, { ...value, ...was, state: 'paused', reason: reasonOf(failure), failure });
}

function takenBack(d: Deciding, { failure, known, scale }: Failed): Transaction {
  const { ended, ...value } = d.rollout.value;
  const by = `rollout of release ${value.release}`;
  const reason = reasonOf(failure);
  const outcome: OutcomeValue = { format: FORMAT, result: 'failed', at: d.at, reason };
  const generation = Math.max(d.desired.value.generation, known) + 1;
  const back = value.from !== 0;
  const { id: _, ...asked } = d.desired.value; // the command's that asked for what is left now
  const desired: DesiredValue = back
    ? { ...asked, status: 'ready', release: value.from, generation, by, at: d.at }
    : { ...asked, status: 'stopped', generation, by, at: d.at };
  const rollout: RolloutValue = back
    ? { ...value, ...returning(d, generation), reason, failure }
    : { ...value, state: 'failed', endedAt: d.at, reason, failure };
  const again = back && scale !== undefined ? askedAgain(ended, scale) : { conditions: [], writes: [] };
  return {
    conditions: [...unchanged(d), ...again.conditions],
    writes: [
      put(d.keys.desired(d.component), desired),
      put(d.keys.rollout(d.component), rollout),
      put(d.keys.outcome(d.component, value.release), outcome),
      ...again.writes,
    ],
  };
}

function returning({ rollout, at }: Deciding, generation: number) {
  const { release, from } = rollout.value;
  const towards = { release: from, from: release, kind: 'rollback', state: 'running' } as const;
  return { ...towards, generation, attempt: 1, after: [], by: `rollout of release ${release}`, at };
}

function decided(d: Deciding, rollout: RolloutValue): Transaction {
  return { conditions: unchanged(d), writes: [put(d.keys.rollout(d.component), rollout)] };
}

function unchanged({ keys, component, desired, rollout }: Deciding): readonly Condition[] {
  return [
    { key: keys.desired(component), modRevision: desired.modRevision },
    { key: keys.rollout(component), modRevision: rollout.modRevision },
  ];
}

function reasonOf({ host, why }: Failure): string {
  return `${host}: ${why}`;
}

function put(key: string, value: object): Write {
  return { kind: 'put', key, value: JSON.stringify(value) };
}
