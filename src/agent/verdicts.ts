/** What becomes of the verdicts of one container's checks: all are measured, and told is what changes. */
import type { Check, Verdict } from '../checks/check.ts';
import { withoutTimes } from '../checks/saw.ts';
import type { Tell } from '../events.ts';
import type { Metrics } from '../metrics/metrics.ts';

export type Purpose = 'ready' | 'health' | 'termination';

export interface VerdictsInput {
  readonly container: string;
  readonly purpose: Purpose;
  readonly tell: Tell;
  readonly metrics: Metrics | undefined;
}

/** Call it with each verdict. Transitions, not polls: a check is told when its answer changes. */
export function verdictHearer(input: VerdictsInput): (verdict: Verdict, check: Check) => void {
  const { container, purpose, tell, metrics } = input;
  const told = new Map<Check, string>();
  return (verdict, check) => {
    const labels = { purpose, verdict: nameOf(verdict) };
    metrics?.observe('gantryd_check_duration_seconds', labels, verdict.latencyMs / 1000);
    const now = `${verdict.ok} ${verdict.status ?? ''}`;
    if (now !== told.get(check)) tell({ kind: 'check', container, purpose, verdict });
    told.set(check, now);
  };
}

/** Equal words: the checks saw the same. */
export function wordsOf(verdicts: readonly Verdict[]): string {
  return verdicts.map(({ check, ok, saw }) => `${check} ${ok} ${withoutTimes(saw)}`).join(' ');
}

function nameOf({ ok, inconclusive }: Verdict): string {
  if (inconclusive === true) return 'inconclusive';
  return ok ? 'pass' : 'fail';
}
