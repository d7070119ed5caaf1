/**
 * Virtual time, and processes in it. What is asynchronous in gantryd is a generator here: each `yield` is an effect
 * boundary, where a process may wait, fail, be stopped or die. Nothing runs beside anything: one seed, one history.
 */

/** Begins a wait; whoever ends it calls the task's resume() or fail(), later. */
export type Wait = (task: Task) => void;

export type Proc<T = void> = Generator<Wait, T, unknown>;

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Milliseconds from 0. */
export class Schedule {
  now = 0;
  /** Events run so far. */
  count = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  after(ms: number, run: () => void): void {
    const heap = this.#heap;
    const event = { at: this.now + Math.max(0, ms), order: this.#order++, run };
    let i = heap.push(event) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up] as Event;
      if (!isBefore(event, parent)) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = event;
  }

  /** Runs what is due next; false: nothing is, ever. */
  step(): boolean {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return false;
    if (heap.length > 0) this.#sink(last);
    this.now = Math.max(this.now, first.at);
    this.count++;
    first.run();
    return true;
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, event)) break;
      heap[i] = heap[child] as Event;
      i = child;
    }
    heap[i] = event;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A process of the operating system: it may be stopped, and killed; what it had asked others for goes on. */
export class Life {
  readonly name: string;
  dead = false;
  #stopped = false;
  #held: (() => void)[] = [];
  readonly #locks = new Set<Mutex>();

  constructor(name: string) {
    this.name = name;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  fork<T>(proc: Proc<T>): Task<T> {
    const task = new Task<T>(this, proc);
    task.begin();
    return task;
  }

  /** What reaches the process: at once, when it runs again, or never. */
  deliver(run: () => void): void {
    if (this.dead) return;
    if (this.#stopped) this.#held.push(run);
    else run();
  }

  /** SIGSTOP. */
  stop(): void {
    this.#stopped = true;
  }

  /** SIGCONT. */
  resume(): void {
    this.#stopped = false;
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.deliver(run);
  }

  /** SIGKILL. */
  kill(): void {
    this.dead = true;
    this.#held = [];
    for (const lock of [...this.#locks]) lock.release(this);
  }

  locked(lock: Mutex): void {
    this.#locks.add(lock);
  }

  unlocked(lock: Mutex): void {
    this.#locks.delete(lock);
  }
}

/** One line of execution in a process. */
export class Task<T = unknown> {
  readonly life: Life;
  done = false;
  value: T | undefined;
  error: unknown;
  failed = false;
  readonly #proc: Proc<T>;
  readonly #waiting: (() => void)[] = [];

  constructor(life: Life, proc: Proc<T>) {
    this.life = life;
    this.#proc = proc;
  }

  begin(): void {
    this.#step(() => this.#proc.next());
  }

  resume(value?: unknown): void {
    this.life.deliver(() => this.#step(() => this.#proc.next(value)));
  }

  fail(error: unknown): void {
    this.life.deliver(() => this.#step(() => this.#proc.throw(error)));
  }

  whenDone(run: () => void): void {
    this.#waiting.push(run);
  }

  #step(go: () => IteratorResult<Wait, T>): void {
    let next: IteratorResult<Wait, T>;
    try {
      next = go();
    } catch (error) {
      if (error instanceof Violation) throw error;
      this.failed = true;
      this.error = error;
      this.#end();
      return;
    }
    if (next.done !== true) {
      next.value(this as Task);
      return;
    }
    this.value = next.value;
    this.#end();
  }

  #end(): void {
    this.done = true;
    for (const run of this.#waiting) run();
  }
}

/** A promise was broken: it ends the history, whatever process noticed. */
export class Violation extends Error {}

export function* pause(schedule: Schedule, ms: number): Proc {
  yield (task) => schedule.after(ms, () => task.resume());
}

/** The task's value; throws what it threw. */
export function* join<T>(task: Task<T>): Proc<T> {
  yield* settled(task as Task);
  if (task.failed) throw task.error;
  return task.value as T;
}

export function* settled(task: Task): Proc {
  if (!task.done) yield (waiting) => task.whenDone(() => waiting.resume());
}

/** As Promise.all: the first error by the order of the tasks, once all are over. */
export function* joinAll(tasks: readonly Task[]): Proc {
  for (const task of tasks) yield* settled(task);
  for (const task of tasks) if (task.failed) throw task.error;
}

/** As src/poke.ts. */
export class Poke {
  readonly #schedule: Schedule;
  #poked = false;
  #wake: (() => void) | undefined;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  get poked(): boolean {
    return this.#poked;
  }

  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  clear(): void {
    this.#poked = false;
  }

  *wait(ms: number): Proc {
    if (this.#poked) return;
    yield (task) => {
      const end = () => {
        if (this.#wake !== end) return;
        this.#wake = undefined;
        task.resume();
      };
      this.#wake = end;
      this.#schedule.after(ms, end);
    };
  }
}

/** As flock(2): whoever dies lets go. */
export class Mutex {
  #holder: Life | undefined;
  readonly #queue: Task[] = [];

  *lock(life: Life): Proc {
    if (this.#holder === undefined) this.#take(life);
    else yield (task) => this.#queue.push(task);
  }

  release(life: Life): void {
    if (this.#holder !== life) return;
    life.unlocked(this);
    this.#holder = undefined;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.life.dead) continue;
      this.#take(next.life);
      next.resume();
      return;
    }
  }

  #take(life: Life): void {
    this.#holder = life;
    life.locked(this);
  }
}
