/**
 * Whether processes live, looked at so often that a dead one is known before anybody would notice. A signal that is none
 * costs a microsecond; whether the number is another process's by now, or of one that has ended and was not buried, is
 * read of one process at a time, in turn. Node cannot wait for the end of a process that is not its child.
 */
import { readFileSync } from 'node:fs';
import { codeOf } from '../../errors.ts';

/** A connection that came between the end of a process and the look meets nobody. */
const LOOK_EVERY_MS = 20;
/** Reading costs twenty times as much as a signal. */
const LOOKS_PER_READ = 5;
/** Fields of /proc/PID/stat after the name, which is in brackets. */
const STATE = 0;
const START_TIME = 19;

export class Processes {
  readonly #gone: (pids: readonly number[]) => void;
  /** By pid: when it started, by the host's clock. */
  #watched = new Map<number, string>();
  #turn: Iterator<number> | undefined;
  #looks = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `gone` hears of each process once. */
  constructor(gone: (pids: readonly number[]) => void) {
    this.#gone = gone;
  }

  /** Looks at these from now on, and at no others. One that is gone already is told of at the next look. */
  watch(pids: Iterable<number>): void {
    const wanted = new Set(pids);
    this.#watched = new Map([...wanted].map((pid) => [pid, this.#watched.get(pid) ?? startOf(pid)]));
    this.#turn = undefined;
    if (wanted.size === 0) this.close();
    else this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** Ends the looks. Idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const gone: number[] = [];
    for (const [pid, start] of this.#watched) if (start === GONE || !isThere(pid)) gone.push(pid);
    const doubted = this.#looks++ % LOOKS_PER_READ === 0 ? this.#next() : undefined;
    if (doubted !== undefined && !gone.includes(doubted) && startOf(doubted) !== this.#watched.get(doubted))
      gone.push(doubted);
    if (gone.length === 0) return;
    for (const pid of gone) this.#watched.delete(pid);
    this.#gone(gone);
  }

  /** Each in turn. */
  #next(): number | undefined {
    this.#turn ??= this.#watched.keys();
    const { done, value } = this.#turn.next();
    if (done) this.#turn = undefined;
    return value;
  }
}

const GONE = '';

/** A process of somebody else is there, too. */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

/** GONE when there is no such process, or only what is left of it until it is buried. */
function startOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[STATE] === 'Z' || fields[STATE] === 'X' ? GONE : (fields[START_TIME] ?? GONE);
  } catch {
    return GONE; // ended while it was read
  }
}
