/**
 * A route as the data plane follows it: the containers behind it, and which of them the next
 * client is led to.
 */

import type { CanarySplit, ProxyLimits } from '../tables/routes.ts';
import type { LiveBackend } from './backend.ts';
import { SlowStart } from './slow-start.ts';
import type { WaitingRoom } from './waiting.ts';

const WHOLE = 100;

/** What a route may have besides its backends. */
export interface LiveTerms {
  readonly canary?: CanarySplit | undefined;
  /** Where clients wait while there is no backend; undefined: they are refused. */
  readonly room?: WaitingRoom | undefined;
  /** See Route. */
  readonly slowStartMs?: number | undefined;
  /** performance.now() */
  readonly now?: () => number;
}

/** What stands behind the listeners of one component in one table. Immutable but for the turns. */
export class LiveRoute {
  readonly backends: readonly LiveBackend[];
  readonly limits: ProxyLimits;
  readonly room: WaitingRoom | undefined;
  readonly #percent: number;
  readonly #canary: Group;
  readonly #others: Group;
  /** Hundredths of a client that the canary has not got yet of its share. */
  #due = 0;

  constructor(backends: readonly LiveBackend[], limits: ProxyLimits, terms: LiveTerms = {}) {
    const { canary, room } = terms;
    this.backends = backends;
    this.limits = limits;
    this.room = room;
    this.#percent = canary?.percent ?? 0;
    const isCanary = (backend: LiveBackend) => canary?.backends.includes(backend.name.id) === true;
    this.#canary = new Group(backends.filter(isCanary), terms);
    this.#others = new Group(
      backends.filter((backend) => !isCanary(backend)),
      terms,
    );
  }

  /** Nobody is there to be led to: no backend, or none whose process lives. */
  get isEmpty(): boolean {
    return this.backends.every(({ carried }) => carried.gone);
  }

  /**
   * The backend with the least under way, in turns among equals; a fresh one is taken for fuller than it is, one that
   * could not be dialled comes last. With a canary, exactly its share of the clients gets one of its backends, evenly
   * over time; a group without a backend that can be dialled leaves its clients to the other. Whose backend could not
   * be reached is no share of anybody.
   */
  pick(port: number, tried?: ReadonlySet<LiveBackend>): LiveBackend | undefined {
    const first = tried === undefined && this.#isForCanary() ? this.#canary : this.#others;
    const second = first === this.#canary ? this.#others : this.#canary;
    const best = eitherOf(first.best(port, tried), () => second.best(port, tried), port);
    best?.picked(port);
    return best;
  }

  #isForCanary(): boolean {
    this.#due += this.#percent;
    if (this.#due < WHOLE) return false;
    this.#due -= WHOLE;
    return true;
  }
}

class Group {
  readonly #backends: readonly LiveBackend[];
  readonly #now: () => number;
  /** undefined: all are settled. */
  #slowStart: SlowStart | undefined;
  #turn = 0;

  constructor(backends: readonly LiveBackend[], { slowStartMs = 0, now = systemNow }: LiveTerms) {
    this.#backends = backends;
    this.#now = now;
    const slowStart = new SlowStart(backends, slowStartMs);
    this.#slowStart = slowStart.isOver(now()) ? undefined : slowStart;
  }

  best(port: number, tried?: ReadonlySet<LiveBackend>): LiveBackend | undefined {
    if (this.#slowStart !== undefined) this.#arrived(this.#slowStart);
    const at = this.#bestAt(port, tried);
    if (at === undefined) return undefined;
    this.#slowStart?.took(at);
    // Whose turn it is goes by who was picked: stepping on by one would give those after a busy one its turns.
    this.#turn = at + 1 === this.#backends.length ? 0 : at + 1;
    return this.#backends[at];
  }

  #arrived(slowStart: SlowStart): void {
    const now = this.#now();
    if (slowStart.isOver(now)) this.#slowStart = undefined;
    else slowStart.arrived(now);
  }

  #bestAt(port: number, tried?: ReadonlySet<LiveBackend>): number | undefined {
    const count = this.#backends.length;
    let best: number | undefined;
    let least = Number.POSITIVE_INFINITY;
    let bestIsShunned = true;
    for (let step = 0, at = this.#turn; step < count; step++, at = at + 1 === count ? 0 : at + 1) {
      const backend = this.#backends[at];
      if (backend === undefined || backend.carried.gone || tried?.has(backend)) continue;
      const isShunned = backend.isShunned(port);
      const burden = this.#slowStart?.burden(at, backend.underWay) ?? backend.underWay;
      if (isShunned === bestIsShunned ? burden >= least : isShunned) continue;
      best = at;
      least = burden;
      bestIsShunned = isShunned;
    }
    return best;
  }
}

function systemNow(): number {
  return performance.now();
}

/** The first, unless there is none or it could not be dialled and the second could. */
function eitherOf(
  first: LiveBackend | undefined,
  second: () => LiveBackend | undefined,
  port: number,
): LiveBackend | undefined {
  if (first !== undefined && !first.isShunned(port)) return first;
  const other = second();
  if (first === undefined || other === undefined) return first ?? other;
  return other.isShunned(port) ? first : other;
}
