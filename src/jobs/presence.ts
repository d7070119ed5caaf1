/**
 * The key by which others know that this host runs jobs: it lives as long as the host's lease, and is written again
 * under a new one, or when it is gone. One that another machine holds is left alone: two hosts must not have one name.
 */
import type { ExecutorValue } from '../cluster/job-values.ts';
import { GantryError } from '../errors.ts';
import type { Candidate } from './placement.ts';
import type { Surroundings } from './surroundings.ts';

/** How often it is looked whether the key is still there. */
const AGAIN_MS = 5_000;

export class Presence {
  readonly #around: Surroundings;
  readonly #since: string;
  #told: { readonly lease: string; readonly revision: number; readonly at: number } | undefined;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#since = new Date(around.clock.wall()).toISOString();
  }

  get executor(): ExecutorValue {
    const { host, hostId, labels, slots, api } = this.#around.input;
    const { address, port, token } = api ?? { address: '', port: 0, token: '' };
    return { format: 1, host, hostId, address, port, token, labels, slots, since: this.#since };
  }

  /** Another machine runs jobs under this host's name. */
  get isTaken(): boolean {
    const { view, input } = this.#around;
    const there = view.executors.get(input.host);
    return there !== undefined && there.value.hostId !== input.hostId;
  }

  /** The other live hosts, as far as they may take runs. */
  others(): readonly Candidate[] {
    const { view, input } = this.#around;
    const claims = view.claimsByHost();
    return [...view.executors.values()]
      .filter(({ value }) => value.host !== input.host)
      .map(({ value }) => ({ executor: value, used: claims.get(value.host) ?? 0 }));
  }

  async look(): Promise<number> {
    const { input, mirror, session, keys } = this.#around;
    const lease = session.lease();
    // Nothing is told in the name of a command that waits for one run: it takes no other.
    if (input.only !== undefined || lease === undefined || !mirror.current) return AGAIN_MS;
    if (this.isTaken) throw nameTaken(input.host);
    if (this.#isTold(lease)) return AGAIN_MS;
    const [key, value] = [keys.jobs.executor(input.host), JSON.stringify(this.executor)];
    const { revision } = await input.store.commit([], [{ kind: 'put', key, value, lease }]);
    this.#told = { lease, revision, at: this.#around.clock.steady() };
    return AGAIN_MS;
  }

  /** No run is left to this host from now on; what cannot be told ends with the lease. */
  async leave(): Promise<void> {
    const { input, keys, mirror } = this.#around;
    if (this.#told === undefined || !mirror.current) return;
    const key = keys.jobs.executor(input.host);
    const asTold = [{ key, modRevision: this.#told.revision }];
    await input.store.commit(asTold, [{ kind: 'delete', key }]).catch(() => undefined);
  }

  #isTold(lease: string): boolean {
    const { input, view, clock } = this.#around;
    if (this.#told?.lease !== lease) return false;
    // What was told a moment ago may not have been heard of yet.
    return view.executors.has(input.host) || clock.steady() - this.#told.at < AGAIN_MS;
  }
}

function nameTaken(host: string): GantryError {
  return new GantryError('host-taken', `Another machine runs jobs under the name ${host}`, {
    hint: 'Give this host another name with --host-name.',
  });
}
