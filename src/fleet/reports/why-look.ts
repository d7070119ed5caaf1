/** One look at one component, for what is told of it: its history, and why it is as it is. Reads only. */
import { type ReleaseValue, readRelease, readShares } from '../../cluster/values.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError } from '../../errors.ts';
import {
  chosen,
  type Fleet,
  hostsOf,
  knownNames,
  lookAtProject,
  projectUnknown,
  statusesOf,
} from '../intents/look.ts';
import type { WhyInput } from './why.ts';

export interface WhyAsked {
  readonly project: string;
  /** One. */
  readonly component: readonly string[];
  /** undefined: all. */
  readonly host: string | undefined;
}

/** Throws project-unknown, component-unknown, and usage for a host that it does not run on. */
export async function whyInput(fleet: Fleet, args: WhyAsked): Promise<WhyInput> {
  const { look, component } = await lookAtOne(fleet, args);
  const desired = look.desired.get(component)?.value;
  const [release, shares, statuses, hosts] = await Promise.all([
    releaseOf(fleet, args.project, component, desired?.release ?? 0),
    fleet.store.get(fleet.keys.project(args.project).shares(component)).then(readShares),
    statusesOf(fleet, args.project, component),
    hostsOf(fleet, args.project),
  ]);
  const running = hosts.filter((h) => h.components.includes(component));
  const names = [...new Set([...statuses, ...running].map((h) => h.host))];
  if (args.host !== undefined && !names.includes(args.host)) throw hostUnknown(args.host, component, names);
  const isAsked = ({ host }: { readonly host: string }) => args.host === undefined || host === args.host;
  return {
    ...{ component, desired, release, shares, now: fleet.now() },
    rollout: look.rollouts.get(component)?.value,
    scale: look.scales.get(component)?.value,
    turns: look.turns.get(component) ?? [],
    statuses: statuses.filter(isAsked),
    hosts: running.filter(isAsked),
  };
}

export async function lookAtOne(fleet: Fleet, args: Omit<WhyAsked, 'host'>) {
  const look = await lookAtProject(fleet, args.project);
  const known = knownNames(look, []);
  if (known.length === 0) throw projectUnknown(look);
  const [component = ''] = chosen(args.component, known, args.project);
  return { look, component };
}

/** The release of that number; undefined: it has none, or it was pruned. */
export async function releaseOf(
  { store, keys }: Fleet,
  project: string,
  component: string,
  release: number,
): Promise<ReleaseValue | undefined> {
  if (release === 0) return undefined;
  return readRelease(await store.get(keys.project(project).release(component, release)));
}

function hostUnknown(host: string, component: string, names: readonly string[]): GantryError {
  const hint = names.length === 0 ? `No live host runs ${component}.` : `It runs on: ${names.join(', ')}.`;
  return new GantryError('usage', `${component} runs on no live host ${host}${didYouMean(host, names)}`, {
    hint,
  });
}
