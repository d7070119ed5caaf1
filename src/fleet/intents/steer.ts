/** A rollout on its way is paused, and resumed, by an operator. */
import { randomUUID } from 'node:crypto';
import type { RolloutValue } from '../../cluster/values.ts';
import { GantryError } from '../../errors.ts';
import { audited } from './audited.ts';
import { chosen, type Fleet, knownNames, lookAtProject, projectUnknown } from './look.ts';
import { type Change, carryOut, type Step } from './transact.ts';

export interface Steered extends Change {
  readonly state: RolloutValue['state'];
  readonly attempt: number;
}

interface SteerAsked {
  readonly project: string;
  readonly component: string;
  readonly by: string;
}

/**
 * No new turn begins; a host that is in its turn ends it. no-rollout when there is none on its way, or one that goes
 * back: every host returns at once, and there is nothing to hold.
 */
export function pauseRollout(fleet: Fleet, asked: SteerAsked): Promise<Steered> {
  return steer(fleet, { ...asked, action: 'rollout pause' }, (rollout) => paused(rollout, asked.by));
}

/** Or why not. Pure. */
export function paused(rollout: RolloutValue, by: string): Steering {
  if (rollout.state === 'paused') return 'so already';
  if (rollout.kind === 'rollback') return 'it goes back, on every host at once';
  if (rollout.state !== 'preparing' && rollout.state !== 'running') return `it is ${rollout.state}`;
  return { ...rollout, state: 'paused', was: rollout.state, reason: `${by} paused it` };
}

/** One attempt more, also on hosts that failed. no-rollout when it is not paused. */
export function resumeRollout(fleet: Fleet, asked: SteerAsked): Promise<Steered> {
  return steer(fleet, { ...asked, action: 'rollout resume' }, resumed);
}

/** Or why not. Pure. */
export function resumed(rollout: RolloutValue): Steering {
  if (rollout.state !== 'paused') return `it is ${rollout.state}, not paused`;
  const { was = 'preparing', failure: _, reason: __, ...rest } = rollout;
  return { ...rest, state: was, attempt: rollout.attempt + 1 };
}

type Steering = RolloutValue | 'so already' | (string & {});
type Steer = (rollout: RolloutValue) => Steering;

async function steer(
  fleet: Fleet,
  asked: SteerAsked & { readonly action: string },
  change: Steer,
): Promise<Steered> {
  const { project, component } = asked;
  const id = randomUUID();
  const [steered] = await carryOut<Steered>(fleet, async (_, lost) => {
    const look = await lookAtProject(fleet, project);
    const known = knownNames(look, []);
    if (known.length === 0) throw projectUnknown(look);
    chosen([component], known, project);
    const { value, modRevision } = look.rollouts.get(component) ?? { value: undefined, modRevision: 0 };
    if (value === undefined) throw noRollout(component, 'it has had none');
    if (isWritten(value, lost.get(component))) return [step(component, value, true)];
    const changed = change(value);
    if (changed === 'so already') return [step(component, value, false)];
    if (typeof changed === 'string') throw noRollout(component, changed);
    const key = fleet.keys.project(project).rollout(component);
    return [
      {
        ...step(component, changed, true),
        conditions: [{ key, modRevision }],
        writes: [
          { kind: 'put', key, value: JSON.stringify(changed) },
          audited(fleet, { ...asked, id, detail: `release ${changed.release}` }),
        ],
      },
    ];
  });
  if (steered === undefined) throw new GantryError('internal', 'a rollout was steered nowhere');
  return steered;
}

/** Whether what this command wrote without an answer is there, or something that came after it. */
function isWritten(rollout: RolloutValue, lost: Steered | undefined): boolean {
  if (lost === undefined || rollout.generation !== lost.generation) return lost !== undefined;
  return rollout.attempt > lost.attempt || (rollout.attempt === lost.attempt && rollout.state === lost.state);
}

function step(component: string, rollout: RolloutValue, changed: boolean): Step<Steered> {
  const { release, generation, state, attempt } = rollout;
  return {
    result: { component, release, generation, changed, state, attempt },
    conditions: [],
    writes: [],
  };
}

function noRollout(component: string, why: string): GantryError {
  const message = `There is no rollout of ${component} that this could be done to: ${why}`;
  return new GantryError('no-rollout', message, { hint: '`gantryd rollout status` tells of the last one.' });
}
