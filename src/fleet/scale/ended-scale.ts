/**
 * What becomes of the number that somebody asked for when an update says another one: it ends with the update, and is
 * asked for again if the update is taken back before it served everywhere. Pure.
 */
import { endsScale } from '../../agent/scale.ts';
import type { ProjectKeys } from '../../cluster/keys.ts';
import type { Condition, Write } from '../../cluster/store.ts';
import type { ScaleValue, StatusValue } from '../../cluster/values.ts';
import type { Component } from '../../config/project.ts';
import { type ComponentLook, type Held, isUnfinished } from '../intents/look.ts';

/** The config says another number than it did: it has spoken last. */
export function endsAScale({ scale, desired, releases }: ComponentLook, component: Component): boolean {
  const before = releases.get(desired.value?.release ?? 0)?.spec;
  return scale.modRevision > 0 && before !== undefined && endsScale({ component: before }, { component });
}

/** What the update's rollout is to keep: what it ends, or what the one that it replaces has ended. */
export function endedBy(at: ComponentLook, component: Component): ScaleValue | undefined {
  const { scale, rollout } = at;
  if (endsAScale(at, component)) return scale.value?.config === true ? undefined : scale.value;
  const isOpen = scale.modRevision === 0 && isUnfinished(rollout.value);
  return isOpen ? rollout.value.ended : undefined;
}

export interface ScaleNow {
  readonly key: string;
  readonly held: Held<ScaleValue>;
  /** Those that hosts have followed are below the next one. */
  readonly statuses: readonly StatusValue[];
}

export interface AskedAgain {
  readonly conditions: readonly Condition[];
  readonly writes: readonly Write[];
}

/** By whoever goes back to a release: an update that is still on its way from there has ended nothing. */
export function askedAgainBy(
  keys: ProjectKeys,
  { name, rollout, scale, statuses }: ComponentLook,
  to: number,
): AskedAgain {
  const { value } = rollout;
  const ended = isUnfinished(value) && value.from === to ? value.ended : undefined;
  return askedAgain(ended, { key: keys.scale(name), held: scale, statuses });
}

/** Asks for it again, unless somebody has asked for something since. */
export function askedAgain(ended: ScaleValue | undefined, { key, held, statuses }: ScaleNow): AskedAgain {
  if (ended === undefined || held.value !== undefined) return { conditions: [], writes: [] };
  const { id: _, ...asked } = ended; // the command is long over
  const number = Math.max(ended.number, ...statuses.map((s) => s.size?.scale ?? 0)) + 1;
  return {
    conditions: [{ key, modRevision: held.modRevision }],
    writes: [{ kind: 'put', key, value: JSON.stringify({ ...asked, number }) }],
  };
}
