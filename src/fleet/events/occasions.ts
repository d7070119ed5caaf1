/**
 * What somebody is told of by `notify`, found in what the agent tells anyway. A thing is told by the host where it
 * happened, and what concerns all hosts by the one that decided it. Pure.
 */
import type { Occasion } from '../../config/project.ts';
import type { AgentEvent } from '../../events.ts';

/** undefined: nobody is told. Long drains are found by a clock: see notifier.ts. */
export function occasionOf(event: AgentEvent): Occasion | undefined {
  if (event.kind === 'mass-failure') return 'mass-failure';
  if (event.kind === 'run-changed')
    return event.state === 'failed' || event.state === 'lost' ? 'failed-run' : undefined;
  if (event.kind !== 'rollout-decided') return undefined;
  if (event.decision === 'returned') return 'rollback';
  return event.decision === 'completed' ? undefined : 'failed-deploy';
}

/** The containers that drain no more, by this event. */
export function drainsEndedBy(event: AgentEvent): readonly string[] {
  switch (event.kind) {
    case 'container-stopping':
    case 'container-killed':
    case 'container-removed':
    case 'container-failed':
    case 'drain-cut':
      return [event.container];
    case 'switched':
      return event.containers;
    default:
      return [];
  }
}
