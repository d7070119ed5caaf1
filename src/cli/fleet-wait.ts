/** `--wait`: what a command asked for is followed to its end, which is the command's exit code. */
import { GantryError } from '../errors.ts';
import type { Ending, Target } from '../fleet/ending.ts';
import { follow } from '../fleet/follow.ts';
import type { Fleet } from '../fleet/look.ts';
import { failureLines } from '../fleet/why.ts';
import { DEFAULT_TIMEOUT_S, type WaitArguments } from './fleet-options.ts';
import { renderFleetEvent, renderLines } from './fleet-render.ts';
import { interruptible } from './interrupt.ts';
import type { Output } from './output.ts';

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
  output.end();
  if (endings === undefined) throw interrupted(args.project);
  const error = errorOf(endings, args.project);
  for (const { component, outcome, why } of endings) {
    const isTold = outcome === 'done' || (outcome === 'no-hosts' && error === undefined);
    if (isTold) output.result({ kind: 'result', component, action: 'wait', outcome }, renderLines([why]));
  }
  if (error !== undefined) throw error;
}

/** The worst of them; undefined: what could be done is done. */
function errorOf(endings: readonly Ending[], project: string): GantryError | undefined {
  const broken = endings.filter((e) => !['done', 'open', 'no-hosts'].includes(e.outcome));
  const hint = 'gantryd why tells how each host stands.';
  if (broken.length > 0) return new GantryError(codeOf(broken), told(broken), { hint });
  const open = endings.filter((e) => e.outcome === 'open');
  if (open.length > 0) {
    const whole = `It goes on without this command. ${hint}`;
    return new GantryError('wait-over', `The time is over. ${told(open)}`, { hint: whole, retryable: true });
  }
  if (endings.some((e) => e.outcome === 'done')) return undefined;
  return new GantryError('no-hosts', told(endings), {
    hint: `gantryd run ${project} starts an agent on a host.`,
    retryable: true,
  });
}

function codeOf([first]: readonly Ending[]) {
  if (first?.outcome === 'paused') return 'rollout-paused';
  return first?.outcome === 'superseded' ? 'superseded' : 'release-failed';
}

function told(endings: readonly Ending[]): string {
  const lines = endings.flatMap(({ why, failure }) => [
    why,
    ...(failure === undefined ? [] : failureLines(failure).map((line) => `  ${line}`)),
  ]);
  return renderLines(lines);
}

function interrupted(project: string): GantryError {
  return new GantryError('interrupted', 'This command follows no more; what was asked for goes on', {
    hint: `gantryd list ${project} --hosts shows how far it is.`,
  });
}
