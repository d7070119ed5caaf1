/**
 * A route as the data plane follows it: the containers behind it, and which of them the next
 * client is led to.
 */
import type { LiveBackend } from './backend.ts';
import type { CanarySplit, ProxyLimits } from './routes.ts';
import type { WaitingRoom } from './waiting.ts';

const WHOLE = 100;

/** What stands behind the listeners of one component in one table. Immutable but for the turns. */
export class LiveRoute {
  readonly backends: readonly LiveBackend[];
  readonly limits: ProxyLimits;
  /** Where clients wait while there is no backend; undefined: they are refused. */
  readonly room: WaitingRoom | undefined;
  readonly #percent: number;
  readonly #canary: Group;
  readonly #others: Group;
  /** Hundredths of a client that the canary has not got yet of its share. */
  #due = 0;

  constructor(
    backends: readonly LiveBackend[],
    limits: ProxyLimits,
    canary?: CanarySplit,
    room?: WaitingRoom,
  ) {
    this.backends = backends;
    this.limits = limits;
    this.room = room;
    this.#percent = canary?.percent ?? 0;
    const isCanary = (backend: LiveBackend) => canary?.backends.includes(backend.name.id) === true;
    this.#canary = new Group(backends.filter(isCanary));
    this.#others = new Group(backends.filter((backend) => !isCanary(backend)));
  }

  /**
   * The backend with the least open on it, in turns among equals; one that could not be dialled comes last. With a
   * canary, exactly its share of the clients gets one of its backends, evenly over time; a group without a backend
   * that can be dialled leaves its clients to the other. Whose backend could not be reached is no share of anybody.
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
  #turn = 0;

  constructor(backends: readonly LiveBackend[]) {
    this.#backends = backends;
  }

  best(port: number, tried?: ReadonlySet<LiveBackend>): LiveBackend | undefined {
    const count = this.#backends.length;
    let best: LiveBackend | undefined;
    for (let step = 0; step < count; step++) {
      const backend = this.#backends[(this.#turn + step) % count];
      if (backend === undefined || tried?.has(backend)) continue;
      if (best === undefined || isBetter(backend, best, port)) best = backend;
    }
    this.#turn = count === 0 ? 0 : (this.#turn + 1) % count;
    return best;
  }
}

function isBetter(a: LiveBackend, b: LiveBackend, port: number): boolean {
  const shunned = b.isShunned(port);
  return a.isShunned(port) === shunned ? a.open < b.open : shunned;
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
