/** What it means for whoever waited that a rollout ended as it did. Pure. */
import { GantryError } from '../../errors.ts';
import type { Ending } from './ending.ts';
import { failureLines } from './why.ts';

/** release-failed, rollout-paused, superseded, wait-over or no-hosts, the worst of them; undefined: what could be done is done. */
export function waitFailure(endings: readonly Ending[], project: string): GantryError | undefined {
  const broken = endings.filter((e) => !['done', 'open', 'no-hosts'].includes(e.outcome));
  const hint = 'gantryd why tells how each host stands.';
  if (broken.length > 0) return new GantryError(codeOf(broken), told(broken), { hint });
  const open = endings.filter((e) => e.outcome === 'open');
  if (open.length > 0) {
    const whole = `It goes on. ${hint}`;
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
  return lines.join('\n');
}
