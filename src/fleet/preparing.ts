/**
 * A host getting ready for a release, beside the component's rounds, since a pull takes as long as it takes: one at a
 * time, given up when something else is wanted, tried again with backoff. What comes of it is a Preparation.
 */
import type { Agent } from '../agent/agent.ts';
import { backoffMs } from '../agent/backoff.ts';
import type { ReleaseValue } from '../cluster/values.ts';
import { isGantryError, messageOf } from '../errors.ts';
import type { Tell } from '../events.ts';
import { hostRelease } from './host-release.ts';
import { prepare } from './prepare.ts';
import type { Preparation } from './rollout.ts';
import type { Surroundings } from './surroundings.ts';

const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 30_000;

export interface PreparingInput {
  readonly around: Surroundings;
  readonly name: string;
  readonly agent: Agent;
  readonly tell: Tell;
  /** Called when there is an outcome. */
  readonly poke: () => void;
}

export interface Attempt {
  readonly generation: number;
  readonly attempt: number;
  /** To a release that served here before. */
  readonly returns: boolean;
}

export class Preparing {
  readonly #input: PreparingInput;
  #now: Preparation | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #current = new AbortController();
  /** Of the generation that is prepared for. */
  #tries = 0;

  constructor(input: PreparingInput) {
    this.#input = input;
  }

  get preparation(): Preparation | undefined {
    return this.#now;
  }

  /** Begins, or tries again. */
  start(release: ReleaseValue, at: Attempt): void {
    const { generation, attempt } = at;
    this.#tries = this.#now?.generation === generation ? this.#tries + 1 : 1;
    this.#now = { generation, attempt, state: 'working', why: `fetching ${release.image.name}` };
    this.#current.abort();
    this.#current = new AbortController();
    this.#running = Promise.all([this.#running, this.#getReady(release, at, this.#current.signal)]);
  }

  /** Something else is wanted: what comes of the present one is not told. */
  forget(): void {
    this.#current.abort();
    this.#now = undefined;
  }

  async close(): Promise<void> {
    this.#current.abort();
    await this.#running;
  }

  async #getReady(
    release: ReleaseValue,
    { generation, attempt, returns }: Attempt,
    signal: AbortSignal,
  ): Promise<void> {
    const { around, tell, poke } = this.#input;
    const offers = (link: string) => around.links.isOffered(link);
    let outcome: Pick<Preparation, 'state' | 'why' | 'retryAt'>;
    try {
      const { engine, secrets } = around;
      await prepare({ engine, release, secrets, tell, signal, offers, returns });
      await this.#tryPorts(release);
      outcome = { state: 'done', why: '' };
    } catch (error) {
      outcome = this.#failure(error);
    }
    if (signal.aborted) return;
    this.#now = { generation, attempt, ...outcome };
    poke();
  }

  #failure(error: unknown): Pick<Preparation, 'state' | 'why' | 'retryAt'> {
    const known = isGantryError(error) ? error : undefined;
    const ms = Math.max(backoffMs(this.#tries + 1, Math.random), AGAIN_MS);
    const hint = known?.hint === undefined ? '' : `. ${known.hint}`;
    return {
      state: known?.retryable === true ? 'retrying' : 'refused',
      why: `${messageOf(error)}${hint}`,
      retryAt: this.#input.around.now() + Math.min(ms, AGAIN_MAX_MS),
    };
  }

  /** A port somebody else has is found before anything starts. */
  async #tryPorts(value: ReleaseValue): Promise<void> {
    const { around, name, agent } = this.#input;
    const { engine, address, links, proxy, project } = around;
    const linkPort = await links.require(value);
    const { record } = await agent.look();
    const { release } = await hostRelease({ value, engine, address, linkPorts: record.linkPorts, linkPort });
    const route = { component: name, listeners: release.listeners, backends: [] };
    await proxy.setRoute(project, name, route, value.limits, { dryRun: true });
  }
}
