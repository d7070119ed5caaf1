/**
 * Takes note of runs whose host is lost: under way by their record, but without a claim for so long that nobody can be
 * at it any more. Counted by this host's own clock, and only while it sees the store as it is: who was blind begins anew.
 */
import type { RunEnd, RunValue } from '../cluster/job-values.ts';
import type { Seen } from './jobs-view.ts';
import { LOST_AFTER_MS } from './own-runs.ts';
import { settled } from './rounds.ts';
import { ended, endWrites } from './runs.ts';
import { spread } from './spread.ts';
import type { Surroundings } from './surroundings.ts';

const LOOK_MS = 1_000;
/** Where there is no run: before one that comes can have lost its claim. */
const REST_MS = 5_000;
/** Who did not look for so long was stopped, and what it sees may be as old. */
const BLIND_AFTER_MS = 10_000;
/** All see it at once: mostly one writes it. */
const STAGGER_MS = 2_000;

export class Losses {
  readonly #around: Surroundings;
  /** Since when a run has had no claim, by attempt. */
  #since: ReadonlyMap<string, number> = new Map();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  async look(): Promise<number> {
    const { mirror, view, clock, input } = this.#around;
    const unclaimed = mirror.current ? [...view.runs.values()].filter((run) => this.#isUnclaimed(run)) : [];
    const now = clock.steady();
    const before = now - this.#lookedAt < BLIND_AFTER_MS ? this.#since : new Map<string, number>();
    this.#since = new Map(unclaimed.map(({ value }) => [keyOf(value), before.get(keyOf(value)) ?? now]));
    const lost = unclaimed.filter(({ value }) => {
      const waitMs = LOST_AFTER_MS + spread(value.id, input.host) * STAGGER_MS;
      return now - (this.#since.get(keyOf(value)) ?? now) >= waitMs;
    });
    await settled(lost.map((run) => this.#end(run))).finally(() => {
      this.#lookedAt = clock.steady();
    });
    return mirror.current && view.runs.size === 0 ? REST_MS : LOOK_MS;
  }

  /** This host's own are taken up again. */
  #isUnclaimed({ value }: Seen<RunValue>): boolean {
    const { view, input } = this.#around;
    const isOwn = value.host === input.host && value.hostId === input.hostId;
    return value.state === 'running' && !isOwn && !view.claims.has(value.id);
  }

  async #end({ value, revision: modRevision }: Seen<RunValue>): Promise<void> {
    const { input, keys, clock, tell } = this.#around;
    const end = lostEnd(value);
    const { kind, run } = ended(value, end, clock.wall());
    const [key, claim] = [keys.jobs.run(value.id), keys.jobs.claim(value.id)];
    const again = [{ kind: 'put', key, value: JSON.stringify(run) }] as const;
    const conditions = [
      { key, modRevision },
      { key: claim, createRevision: 0 },
    ];
    const { done } = await input.store.commit(conditions, kind === 'again' ? again : endWrites(keys, run));
    if (done)
      tell({ kind: 'run-changed', run: run.id, state: run.state, attempt: value.attempt, why: end.why });
  }
}

function lostEnd({ host = 'unknown', steps }: RunValue): RunEnd {
  const open = steps.findIndex(({ state }) => state !== 'complete');
  const step = open === -1 ? steps.length - 1 : open;
  return { kind: 'lost', exitCode: 1, step, why: `Host ${host} went away with it`, lines: [] };
}

function keyOf({ id, attempt }: RunValue): string {
  return `${id}/${attempt}`;
}
