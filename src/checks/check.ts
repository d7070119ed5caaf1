/**
 * A check as a value: what is asked, what was seen (Verdict), and what a history of verdicts means
 * (judge). Pure. probes.ts asks, monitor.ts asks again and again.
 */

export type CheckKind = 'http' | 'https' | 'tcp' | 'exec' | 'connection';

/** A check with all defaults filled in. Durations in milliseconds. */
export interface Check {
  readonly kind: CheckKind;
  /** Display title; the kind when the config gave none. */
  readonly id: string;
  /** Container port; http, https and tcp only. */
  readonly port?: number;
  readonly path?: string;
  /** https only: verify the certificate. */
  readonly verify?: boolean;
  /** exec only. */
  readonly command?: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in a row that make it unhealthy, passes in a row that make it healthy again. */
  readonly fall: number;
  readonly rise: number;
}

/** What a probe saw. A failed check is a value, never an exception. */
export interface Verdict {
  readonly check: string;
  readonly ok: boolean;
  /** Epoch milliseconds when the probe began. */
  readonly at: number;
  readonly latencyMs: number;
  /** One line for a person: `http://172.17.0.2:80/ answered 503 in 3 ms: "starting"`. */
  readonly saw: string;
  /** http(s): status code; exec: exit code. */
  readonly status?: number;
  /** The probe could not be made (as with the engine away): says nothing about the container; judge ignores it. */
  readonly inconclusive?: boolean;
}

export type Health = 'unknown' | 'healthy' | 'unhealthy';

/** What the container under check is, as far as a probe needs it. */
export interface Target {
  readonly container: string;
  readonly host: string;
}

/**
 * What the verdicts of one check (newest last) say, given what was held so far (`was`): healthy after `rise`
 * passes in a row, unhealthy after `fall` failures in a row, otherwise unchanged.
 */
export function judge(
  history: readonly Verdict[],
  policy: { readonly fall: number; readonly rise: number },
  was: Health,
): Health {
  const told = history.filter((verdict) => verdict.inconclusive !== true);
  const ok = told.at(-1)?.ok;
  if (ok === undefined) return was;
  const run = told.length - 1 - told.findLastIndex((verdict) => verdict.ok !== ok);
  if (ok) return run >= policy.rise ? 'healthy' : was;
  return run >= policy.fall ? 'unhealthy' : was;
}
