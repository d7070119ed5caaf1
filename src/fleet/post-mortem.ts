/**
 * What went wrong with a component's containers, and what they said: why the release that is being watched fails,
 * what its container left behind, and the lines worth showing while one is not ready. For a component's own round and
 * for what the fleet is told; decides nothing.
 */
import type { View } from '../agent/agent.ts';
import { LAST_LINES } from '../agent/execute.ts';
import { hasFailed, isLeaving } from '../agent/plan/standing.ts';
import type { ObservedContainer } from '../agent/plan/state.ts';
import type { Death } from '../cluster/values.ts';
import type { Engine } from '../docker/engine.ts';
import type { AgentEvent, LastWords } from '../events.ts';
import type { Step } from './rollout.ts';

/** Lines a container that is not ready yet has printed: not asked for more often. */
export const LOGS_EVERY_MS = 2_000;

/** What a container left behind. */
export interface Remains {
  readonly check?: string;
  readonly words?: LastWords;
}

/** What was seen wrong after the switch, for as long as that release is watched. */
interface Failing {
  readonly generation: number;
  readonly attempt: number;
  readonly why: string;
  readonly container: string;
  readonly check?: string;
}

export class PostMortem {
  readonly #engine: Engine;
  #failing: Failing | undefined;
  /** Of the container by which the release failed. */
  #last: (Remains & { readonly container: string; readonly words: LastWords }) | undefined;
  /** How a container ended by itself last. */
  #died: Death | undefined;
  #logs: { readonly lines: readonly string[]; readonly at: number } = { lines: [], at: 0 };

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Of the container by which the release failed, as far as it was told. */
  get remains(): Remains {
    if (this.#last === undefined) return {};
    const { check, words } = this.#last;
    return { words, ...(check === undefined ? {} : { check }) };
  }

  get died(): Death | undefined {
    return this.#died;
  }

  get logs(): readonly string[] {
    return this.#logs.lines;
  }

  /** Another release, or another attempt, begins. */
  forget(): void {
    this.#last = undefined;
    this.#died = undefined;
  }

  /** One that fails after the switch is replaced within moments: it is remembered for as long as the release is watched. */
  noteRound({ desired, observed, record }: View): void {
    const { fleet } = record;
    if (fleet === undefined || desired.release?.proven !== true || fleet.settled === fleet.generation) return;
    const staying = observed.containers.filter((c) => !isLeaving(c));
    const bad = staying.find((c) => c.release === record.release && hasFailed(c));
    if (bad === undefined || this.#isKnown(fleet)) return;
    const { generation, attempt } = fleet;
    const check = bad.health === 'unhealthy' ? { check: bad.saw } : {};
    this.#failing = { generation, attempt, why: failureWords(bad), container: bad.id, ...check };
  }

  noteEvent(event: AgentEvent): void {
    if (event.kind === 'container-failed') {
      const { container, lastWords, at } = event;
      this.#died = { container, ...lastWords, at: new Date(at).toISOString() };
    }
    if (event.kind === 'release-failed') {
      const { container, lastWords: words, verdict } = event;
      this.#last = { container, words, ...(verdict === undefined ? {} : { check: verdict.saw }) };
    } else if (event.kind === 'container-failed' && event.container === this.#failing?.container) {
      this.#last = { container: event.container, words: event.lastWords };
    }
  }

  /** Why the release that is watched fails; undefined: it does not. */
  failing({ record }: View): string | undefined {
    return record.fleet !== undefined && this.#isKnown(record.fleet) ? this.#failing?.why : undefined;
  }

  /** One that fails after the switch may run on, and then nobody has told of it. */
  async askRemains({ record }: View): Promise<void> {
    const failing = this.#failing;
    const isFailing = failing !== undefined && failing.generation === record.fleet?.generation;
    if (!isFailing || this.#last?.container === failing.container) return;
    const { container, check } = failing;
    const [exit, logs] = await Promise.all([
      this.#engine.exit(container),
      this.#engine.logs(container, LAST_LINES),
    ]);
    if (this.#last?.container === container) return; // told meanwhile
    const { exitCode, oomKilled = false } = exit ?? {};
    const words: LastWords = { logs, ...(exitCode === undefined ? {} : { exitCode, oomKilled }) };
    this.#last = { container, words, ...(check === undefined ? {} : { check }) };
  }

  /** What a container prints that does not become ready is what the operator wants to see. */
  async askLogs(view: View, step: Step, now: number): Promise<void> {
    const pending = pendingIn(view);
    if (pending !== undefined && now - this.#logs.at >= LOGS_EVERY_MS) {
      this.#logs = { lines: await this.#engine.logs(pending.id, LAST_LINES), at: now };
    } else if (pending === undefined) {
      const failed = step.kind === 'fail' || (step.kind === 'wait' && step.for === 'fleet');
      this.#logs = { lines: failed ? (this.#last?.words.logs ?? []) : [], at: 0 };
    }
  }

  #isKnown({ generation, attempt }: { readonly generation: number; readonly attempt: number }): boolean {
    return this.#failing?.generation === generation && this.#failing.attempt === attempt;
  }
}

/** On its way up. */
export function pendingIn({ observed }: View): ObservedContainer | undefined {
  return observed.containers.find((c) => c.state === 'running' && c.readiness === 'pending');
}

function failureWords(c: ObservedContainer): string {
  const id = c.id.slice(0, 12);
  if (c.state === 'exited') return `container ${id} exited after the switch`;
  return `container ${id} became unhealthy after the switch: ${c.saw}`;
}
