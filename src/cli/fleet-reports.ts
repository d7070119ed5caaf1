/** The commands that only look at a fleet: getconfig, list, history, why, rollout status. */
import { type ReleaseValue, readRelease } from '../cluster/values.ts';
import { didYouMean } from '../config/suggest.ts';
import { GantryError } from '../errors.ts';
import {
  chosen,
  type Fleet,
  hostsOf,
  knownNames,
  lookAtComponent,
  lookAtProject,
  projectUnknown,
  statusesOf,
} from '../fleet/look.ts';
import { historyRows, hostRows } from '../fleet/report.ts';
import { getConfig } from '../fleet/stored-config.ts';
import { rolloutWords, type WhyInput, whyLines } from '../fleet/why.ts';
import { withFleet } from './etcd.ts';
import type { ComponentArguments, FleetArguments, WhyArguments } from './fleet-options.ts';
import { renderHistory, renderHosts, renderLines } from './fleet-render.ts';
import { outputOf } from './output.ts';

export async function runGetConfig(args: FleetArguments): Promise<number> {
  const { project, file, by, at } = await withFleet(args, (fleet) => getConfig(fleet, args.project));
  outputOf(args).document({ project, file, by, at }, JSON.stringify(file, null, 2));
  return 0;
}

export async function runHistory(args: ComponentArguments): Promise<number> {
  await withFleet(args, async (fleet) => {
    const { look, component } = await lookAtOne(fleet, args);
    const releases = historyRows(await lookAtComponent(fleet, look, component, []));
    const document = { project: args.project, component, releases };
    outputOf(args).document(document, renderHistory(component, releases));
  });
  return 0;
}

export async function runWhy(args: WhyArguments): Promise<number> {
  await withFleet(args, async (fleet) => {
    const input = await whyInput(fleet, args);
    const { component, desired, rollout, turns, statuses } = input;
    const document = { project: args.project, component, desired, rollout, turns, hosts: statuses };
    outputOf(args).document(document, renderLines(whyLines(input)));
  });
  return 0;
}

/** Of the last rollout, over or not. */
export async function runRolloutStatus(args: ComponentArguments): Promise<number> {
  await withFleet(args, async (fleet) => {
    const input = await whyInput(fleet, { ...args, host: undefined });
    const { component, desired, rollout, turns, statuses, hosts } = input;
    const rows = hostRows(component, desired, statuses, hosts);
    const lines = rolloutWords(input);
    const words = [renderLines(lines), '', renderHosts(args.project, rows, input.now)].join('\n');
    const document = { project: args.project, component, desired, rollout, turns, hosts: rows };
    outputOf(args).document(document, words);
  });
  return 0;
}

async function whyInput(fleet: Fleet, args: WhyArguments): Promise<WhyInput> {
  const { look, component } = await lookAtOne(fleet, args);
  const desired = look.desired.get(component)?.value;
  const [release, statuses, hosts] = await Promise.all([
    releaseOf(fleet, args.project, component, desired?.release ?? 0),
    statusesOf(fleet, args.project, component),
    hostsOf(fleet, args.project),
  ]);
  const running = hosts.filter((h) => h.components.includes(component));
  const names = [...new Set([...statuses, ...running].map((h) => h.host))];
  if (args.host !== undefined && !names.includes(args.host)) throw hostUnknown(args.host, component, names);
  const isAsked = ({ host }: { readonly host: string }) => args.host === undefined || host === args.host;
  return {
    ...{ component, desired, release, now: fleet.now() },
    rollout: look.rollouts.get(component)?.value,
    turns: look.turns.get(component) ?? [],
    statuses: statuses.filter(isAsked),
    hosts: running.filter(isAsked),
  };
}

async function lookAtOne(fleet: Fleet, args: ComponentArguments) {
  const look = await lookAtProject(fleet, args.project);
  const known = knownNames(look, []);
  if (known.length === 0) throw projectUnknown(look);
  const [component = ''] = chosen(args.component, known, args.project);
  return { look, component };
}

/** undefined: it has none, or it was pruned. */
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
