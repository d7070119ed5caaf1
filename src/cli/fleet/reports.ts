/** The commands that only look at a fleet: getconfig, list, history, why, rollout status. */
import { lookAtComponent } from '../../fleet/intents/look.ts';
import { getConfig } from '../../fleet/intents/stored-config.ts';
import { historyRows, hostRows } from '../../fleet/reports/report.ts';
import { rolloutWords, whyLines } from '../../fleet/reports/why.ts';
import { lookAtOne, whyInput } from '../../fleet/reports/why-look.ts';
import { withFleet } from '../etcd.ts';
import { outputOf } from '../output.ts';
import type { ComponentArguments, FleetArguments, WhyArguments } from './options.ts';
import { renderHistory, renderHosts, renderLines } from './render.ts';

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
