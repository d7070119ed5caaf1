/** `--wait`: what a command asked for is followed to its end, which is the command's exit code. */
import { GantryError } from '../../errors.ts';
import type { Fleet } from '../../fleet/intents/look.ts';
import type { Ending, Target } from '../../fleet/reports/ending.ts';
import { follow } from '../../fleet/reports/follow.ts';
import { waitFailure } from '../../fleet/reports/wait-failure.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { DEFAULT_TIMEOUT_S, type WaitArguments } from './options.ts';
import { renderFleetEvent, renderLines } from './render.ts';

/** Throws release-failed, rollout-paused, superseded (1), wait-over (3) or no-hosts (4). */
export async function waitFor(
  fleet: Fleet,
  args: WaitArguments,
  targets: readonly Target[],
  output: Output,
): Promise<void> {
  const seconds = args.timeout ?? DEFAULT_TIMEOUT_S;
  const endings = await interruptible((signal) =>
    follow(
      fleet,
      {
        project: args.project,
        targets,
        timeoutMs: seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000,
        emit: (event) => output.result({ ...event, at: Date.now() }, renderFleetEvent(event)),
        progress: (words) => output.progress(words),
      },
      signal,
    ),
  );
  concluded(endings, args.project, output);
}

/** Tells how it ended. `endings` undefined: nobody waits any more. Throws as waitFor. */
export function concluded(endings: readonly Ending[] | undefined, project: string, output: Output): void {
  output.end();
  if (endings === undefined) throw interrupted(project);
  const error = waitFailure(endings, project);
  for (const { component, outcome, why } of endings) {
    const isTold = outcome === 'done' || (outcome === 'no-hosts' && error === undefined);
    if (isTold) output.result({ kind: 'result', component, action: 'wait', outcome }, renderLines([why]));
  }
  if (error !== undefined) throw error;
}

function interrupted(project: string): GantryError {
  return new GantryError('interrupted', 'This command follows no more; what was asked for goes on', {
    hint: `gantryd list ${project} --hosts shows how far it is.`,
  });
}
