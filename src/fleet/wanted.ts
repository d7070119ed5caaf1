/** From the followed keys, as the mirror holds them, to what is wanted of one component. Pure. */
import type { ProjectKeys } from '../cluster/keys.ts';
import type { Entry } from '../cluster/store.ts';
import {
  type ReleaseValue,
  type RolloutValue,
  readDesired,
  readRollout,
  readScale,
  readShares,
} from '../cluster/values.ts';
import type { Turn, Versioned, Wanted } from './rollout.ts';

export interface Followed {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly current: boolean;
  readonly trouble: string | undefined;
}

export function wantedOf(
  followed: Followed,
  keys: ProjectKeys,
  component: string,
  turns: readonly Turn[],
  releaseOf: (number: number) => ReleaseValue | undefined,
): Wanted {
  const { entries, current, trouble } = followed;
  const desired = versioned(entries.get(keys.desired(component)), readDesired);
  const rollout = versioned(entries.get(keys.rollout(component)), readRollout);
  const others = (rollout?.value.after ?? []).map(({ component: name, generation }) => {
    return {
      name,
      state: stateOf(versioned(entries.get(keys.rollout(name)), readRollout)?.value, generation),
    };
  });
  return {
    current,
    trouble,
    desired,
    rollout,
    scale: versioned(entries.get(keys.scale(component)), readScale),
    shares: versioned(entries.get(keys.shares(component)), readShares),
    turns,
    behind: others.filter((o) => o.state === 'pending').map((o) => o.name),
    broken: others.filter((o) => o.state === 'broken').map((o) => o.name),
    release: desired === undefined ? undefined : releaseOf(desired.value.release),
  };
}

function versioned<T>(
  entry: Entry | undefined,
  read: (entry: Entry | undefined) => T | undefined,
): Versioned<T> | undefined {
  const value = read(entry);
  return value === undefined || entry === undefined ? undefined : { value, modRevision: entry.modRevision };
}

/** How a rollout that is waited for stands. One that is gone holds nobody up. */
function stateOf(rollout: RolloutValue | undefined, generation: number): 'done' | 'pending' | 'broken' {
  if (rollout === undefined || rollout.generation < generation) return 'done';
  if (rollout.generation > generation) return rollout.kind === 'rollback' ? 'broken' : 'done';
  if (rollout.state === 'done' || rollout.state === 'superseded') return 'done';
  return rollout.state === 'failed' ? 'broken' : 'pending';
}
