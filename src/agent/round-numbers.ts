/** What an agent's rounds are measured by: how long they take, how many fail, and what leaves meanwhile. */
import { type Metrics, secondsSince } from '../metrics/metrics.ts';
import type { Observed } from './plan/state.ts';

export class RoundNumbers {
  readonly #metrics: Metrics;
  readonly #component: string;
  #since: number | undefined;

  constructor(metrics: Metrics, component: string) {
    this.#metrics = metrics;
    this.#component = component;
  }

  /** A round begins; one that was under way ends. */
  begin(): void {
    this.end();
    this.#since = performance.now();
  }

  /** Before the pause after it. Idempotent. */
  end(): void {
    if (this.#since === undefined) return;
    const labels = { component: this.#component };
    this.#metrics.observe('gantryd_reconcile_duration_seconds', labels, secondsSince(this.#since));
    this.#since = undefined;
  }

  /** A round begins that was due at that moment, by performance.now(). */
  late(dueAt: number): void {
    const labels = { component: this.#component };
    this.#metrics.observe('gantryd_reconcile_lag_seconds', labels, Math.max(0, secondsSince(dueAt)));
  }

  failed(): void {
    this.#metrics.add('gantryd_reconcile_failures_total', { component: this.#component });
    this.end();
  }

  saw({ containers, now }: Observed): void {
    const labels = { component: this.#component };
    const since = containers.flatMap(({ drain }) => (drain === undefined ? [] : [drain.since]));
    const oldestMs = since.length === 0 ? 0 : now - Math.min(...since);
    this.#metrics.set('gantryd_drains', labels, since.length);
    this.#metrics.set('gantryd_drain_oldest_seconds', labels, oldestMs / 1000);
  }
}
