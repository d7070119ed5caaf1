/**
 * The vocabulary of the rollout's specification: what etcd says and how a host stands, with defaults for everything a
 * test does not speak of. By default release 2 is wanted as change 5, is being rolled out, and this host, `a`, serves
 * release 1 since change 4.
 */
import assert from 'node:assert/strict';
import type { FleetMemory } from '../../src/agent/record.ts';
import type { DesiredValue, ReleaseValue, RolloutValue } from '../../src/cluster/values.ts';
import type { Component } from '../../src/config/project.ts';
import { type Here, nextStep, type Preparation, type Turn, type Wanted } from '../../src/fleet/rollout.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { componentOf } from '../docker/components.ts';

/** Epoch milliseconds at which every test takes place. */
export const NOW = 1_000_000;
const AT = '2030-01-01T00:00:00.000Z';

/** Watched for 10 s after the switch. */
export function releaseOf(number: number, update: Partial<Component['update']> = {}): ReleaseValue {
  const spec = componentOf({ image: `app:${number}` });
  return {
    ...{ format: 1, number, image: { name: spec.image, id: `sha256:${number}`, digests: [] } },
    ...{ requires: [], limits: DEFAULT_LIMITS, by: 'ann@desk', at: AT },
    spec: { ...spec, update: { ...spec.update, ...update } },
  };
}

export function desiredOf(over: Partial<DesiredValue> = {}): DesiredValue {
  return { format: 1, status: 'ready', release: 2, generation: 5, by: 'ann@desk', at: AT, ...over };
}

export function rolloutOf(over: Partial<RolloutValue> = {}): RolloutValue {
  return {
    ...{ format: 1, generation: 5, release: 2, from: 1, kind: 'update', state: 'running', attempt: 1 },
    ...{ after: [], by: 'ann@desk', at: AT },
    ...over,
  };
}

/** A turn, or whose it is. */
export type Queued = string | Partial<Turn>;

/** In the order they are given. Each under the lease that the host of that name holds, `a` under `lease-a`. */
export function queueOf(...turns: Queued[]): readonly Turn[] {
  return turns.map((given, i) => {
    const over = typeof given === 'string' ? { host: given } : given;
    const { host = 'a' } = over;
    const turn = { format: 1, host, generation: 5, attempt: 1, lease: `lease-${host}`, at: AT } as const;
    return { ...turn, createRevision: 100 + i, ...over };
  });
}

export type Said = Partial<Omit<Wanted, 'desired' | 'rollout'>> & {
  /** undefined: there is none, or one that nobody can read. */
  readonly desired?: Partial<DesiredValue> | undefined;
  readonly rollout?: Partial<RolloutValue> | undefined;
};

/** What etcd says. */
export function said(over: Said = {}): Wanted {
  const { desired = {}, rollout = {}, ...rest } = over;
  const isAbsent = (name: keyof Said) => name in over && over[name] === undefined;
  return {
    ...{ current: true, trouble: undefined, turns: [], behind: [], broken: [], release: releaseOf(2) },
    ...{ scale: undefined, shares: undefined },
    desired: isAbsent('desired') ? undefined : { value: desiredOf(desired), modRevision: 51 },
    rollout: isAbsent('rollout') ? undefined : { value: rolloutOf(rollout), modRevision: 51 },
    ...rest,
  };
}

export function memoryOf(over: Partial<FleetMemory> = {}): FleetMemory {
  return { generation: 4, attempt: 1, settled: 4, ...over };
}

export function prepared(over: Partial<Preparation> = {}): Preparation {
  return { generation: 5, attempt: 1, state: 'done', why: '', ...over };
}

/** This host, which serves release 1 and has the image of release 2. */
export function serving1(over: Partial<Here> = {}): Here {
  return {
    ...{ host: 'a', now: NOW, lease: 'lease-a', memory: memoryOf(), status: 'ready', release: 1 },
    ...{ proven: true, returns: false, serves: true, arrived: true, failing: undefined, reason: undefined },
    preparation: prepared(),
    ...over,
  };
}

/** It has adopted release 2, which comes up beside release 1. */
export function starting2(over: Partial<Here> = {}): Here {
  const memory = memoryOf({ generation: 5 });
  return serving1({ release: 2, memory, proven: false, returns: true, arrived: false, ...over });
}

/** It has switched to release 2 a second ago. */
export function switched2(over: Partial<Here> = {}): Here {
  const memory = memoryOf({ generation: 5, provenAt: NOW - 1_000 });
  return starting2({ memory, proven: true, arrived: true, ...over });
}

/** It is done with release 2. */
export function settled2(over: Partial<Here> = {}): Here {
  return switched2({ memory: memoryOf({ generation: 5, settled: 5, provenAt: NOW - 20_000 }), ...over });
}

/** It was stopped as change 4, and nothing is left. */
export function stopped(over: Partial<Here> = {}): Here {
  return serving1({ status: 'stopped', serves: false, ...over });
}

/** It has just come to the fleet. */
export function fresh(over: Partial<Here> = {}): Here {
  const nothing = { memory: undefined, release: 0, proven: false, preparation: undefined } as const;
  return stopped({ ...nothing, ...over });
}

/** The step in the same words: what it is, its reason, and when a wait ends by itself, counted from NOW. */
export function expectStep(wanted: Wanted, here: Here, words: string): void {
  assert.equal(stepWords(wanted, here), words);
}

export function stepWords(wanted: Wanted, here: Here): string {
  const step = nextStep(wanted, here);
  const why = step.why === '' ? '' : `: ${step.why}`;
  if (step.kind === 'adopt') return `adopt${step.proven ? ' as proven' : ''}${why}`;
  if (step.kind === 'follow-status') return `be ${step.status}${why}`;
  if (step.kind === 'learn-release') return `learn release ${step.release}${why}`;
  if (step.kind !== 'wait') return `${step.kind}${why}`;
  const until = step.until === undefined ? '' : ` for ${step.until - NOW} ms`;
  return `wait for ${step.for}${why}${until}`;
}
