/** `gantry CONFIG scale` on one host: what the record remembers of it, and when it is done. */
import { GantryError } from '../errors.ts';
import type { Agent, View } from './agent.ts';
import type { Outcome } from './deployment.ts';
import { hasFailed } from './plan/standing.ts';
import type { Desired } from './plan/state.ts';
import type { ComponentRecord } from './record.ts';
import { type ScaleTo, UNSCALED } from './scale.ts';

/** So many failures in a row are no accident. */
const GIVES_UP_AFTER = 3;

/** The record with what is asked for. Throws release-unknown for what was never deployed, usage for what a fleet runs. */
export function withAsked(record: ComponentRecord, name: string, to: ScaleTo): ComponentRecord {
  if (record.release === 0) {
    throw new GantryError('release-unknown', `${name} was never deployed, so there is nothing to scale`, {
      hint: 'update deploys it, with the number that its config says.',
    });
  }
  if (record.fleet !== undefined && record.fleet.generation > 0) {
    throw new GantryError('usage', `${name} is run by a fleet, which decides how many there are`, {
      hint: 'gantryd scale PROJECT asks the fleet.',
    });
  }
  const { number, decision } = record.scale ?? UNSCALED;
  const scale = { number: number + 1, decision };
  return { ...record, scale: to === 'config' ? scale : { ...scale, instances: to } };
}

/** Until it is so, or somebody wants something else. */
export async function followScale(agent: Agent, wanted: Desired, signal: AbortSignal): Promise<Outcome> {
  try {
    const view = await agent.run((v) => v.plan.length === 0 || isOver(v, wanted) || isInVain(v), signal);
    if (isInVain(view)) throw inVain(view);
    return isOver(view, wanted) ? 'not-running' : 'done';
  } catch (error) {
    if (!signal.aborted) throw error;
    return 'draining';
  }
}

function isOver({ desired }: View, wanted: Desired): boolean {
  return desired.status !== 'ready' || desired.release?.number !== wanted.release?.number;
}

function isInVain({ observed }: View): boolean {
  return observed.failures >= GIVES_UP_AFTER;
}

function inVain({ desired, observed }: View): GantryError {
  const { component, release } = desired;
  const failed = observed.containers.find(hasFailed);
  const saw = failed === undefined ? '' : `: ${failed.saw}`;
  const wanted = release?.component.instances ?? 0;
  const serving = observed.containers.filter((c) => c.routed).length;
  return new GantryError('release-failed', `${serving} of ${wanted} containers of ${component} serve${saw}`, {
    hint: `${observed.failures} containers in a row failed. What serves serves on; monitor (-m) or the next command goes on.`,
  });
}
