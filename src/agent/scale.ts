/**
 * How many containers of a component are to be on this host: what its release says, what somebody asked for since, or
 * this host's share of a total. Pure. What is followed, and when, is decided by whoever changes the record.
 */
import type { Instances } from '../cluster/values.ts';
import type { Component } from '../config/project.ts';
import { MAX_INSTANCES } from '../config/schema.ts';
import { GantryError } from '../errors.ts';
import type { Release } from './plan/state.ts';

/** So many on each host, so many in all, or as the config says. */
export type ScaleTo = Instances | 'config';

/** What a host remembers, so that it holds through a restart and without etcd. */
export interface ScaleMemory {
  /** Of what was asked for last: a lower one is never followed. 0: nothing was. */
  readonly number: number;
  /** What was asked for; absent: it is as the release says. */
  readonly instances?: Instances;
  /** What was, until the desired release put an end to it: it stays so for the release before, which may serve again. */
  readonly before?: Instances;
  /** Of the decision about shares that was followed last; 0: none was. */
  readonly decision: number;
  /** This host's, by that decision. */
  readonly share?: number;
}

export const UNSCALED: ScaleMemory = { number: 0, decision: 0 };

interface Scaled {
  readonly scale?: ScaleMemory;
  /** Absent where there is no fleet: there all of a total runs. */
  readonly fleet?: object;
}

/** The releases with as many instances as are to be on this host. */
export function sizedHere(
  { scale, fleet }: Scaled,
  release: Release | undefined,
  previous: Release | undefined,
): { readonly release: Release | undefined; readonly previous: Release | undefined } {
  const share = fleet === undefined ? undefined : (scale?.share ?? 0);
  const asked = scale?.instances;
  const earlier = release?.proven === false ? (scale?.before ?? asked) : asked;
  return {
    release: release && sized(release, asked, share),
    previous: previous && sized(previous, earlier, share),
  };
}

function sized(release: Release, asked: Instances | undefined, share: number | undefined): Release {
  const { component } = release;
  const count = countOf(asked ?? instancesOf(component), share);
  const instances = aloneBecause(component) === undefined ? count : Math.min(count, 1);
  return instances === component.instances ? release : { ...release, component: { ...component, instances } };
}

function countOf(wanted: Instances, share: number | undefined): number {
  return typeof wanted === 'number' ? wanted : (share ?? wanted.total);
}

/** As the config says it. */
export function instancesOf({ instances, total }: Pick<Component, 'instances' | 'total'>): Instances {
  return total === undefined ? instances : { total };
}

export function sameInstances(a: Instances, b: Instances): boolean {
  return typeof a === 'number' || typeof b === 'number' ? a === b : a.total === b.total;
}

/** `5`, or `6 in all`. */
export function instancesWords(instances: Instances): string {
  return typeof instances === 'number' ? `${instances}` : `${instances.total} in all`;
}

/** Throws usage for a number that cannot be, of anything or of this component. */
export function refuseScale(name: string, to: ScaleTo, component: Component | undefined): void {
  if (to === 'config') return;
  const number = typeof to === 'number' ? to : to.total;
  if (!Number.isSafeInteger(number) || number < 0 || number > MAX_INSTANCES) {
    const hint = `A whole number is asked for, 0 to ${MAX_INSTANCES}.`;
    throw new GantryError('usage', `${name} cannot have ${number} containers`, { hint });
  }
  const why = component === undefined ? undefined : aloneBecause(component);
  if (why === undefined || (typeof to === 'number' && to <= 1)) return;
  throw new GantryError('usage', `${name} cannot have ${instancesWords(to)}: ${why}`, {
    hint: 'It takes 1, or 0.',
  });
}

/** Why a component cannot have two containers on a host at a time; undefined: it can. */
function aloneBecause({ update, network }: Component): string | undefined {
  // A release may have been recorded before there was the setting.
  if (update?.order === 'stop-first')
    return 'its `update.order` is "stop-first", for what must never run twice';
  return network === 'host' ? 'on the network "host" its containers would fight for their ports' : undefined;
}

/** The new release says another number than the one before it, or takes no other: then it has the last word. */
export function endsScale(
  before: Pick<Release, 'component'> | undefined,
  next: Pick<Release, 'component'>,
): boolean {
  if (before === undefined) return false;
  const isAlone = aloneBecause(next.component) !== undefined;
  return isAlone || !sameInstances(instancesOf(before.component), instancesOf(next.component));
}

/** Another release becomes what is wanted; `ends`: nobody asks for another number than it says any more. */
export function scaledAt<T extends Scaled>(record: T, ends: boolean): T {
  if (record.scale === undefined) return record;
  const { before: _, instances, ...rest } = record.scale;
  if (instances === undefined) return { ...record, scale: rest };
  return { ...record, scale: ends ? { ...rest, before: instances } : { ...rest, instances } };
}

/** The release before is wanted again. */
export function scaledBack<T extends Scaled>(record: T): T {
  if (record.scale?.before === undefined) return record;
  const { before, ...rest } = record.scale;
  return { ...record, scale: { ...rest, instances: before } };
}
