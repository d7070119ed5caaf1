/**
 * How far logs were read, so that one that was broken off is read on with no line lost or twice. A log has no positions
 * but the times of its lines, in order within one stream of one container, and several lines may have the same. Pure.
 */

/** Lines of the two streams of a container are in the order of time to within this. */
const SKEW_MS = 5_000;

export interface Timed {
  readonly container: string;
  readonly stream: string;
  /** ISO, all of one length. */
  readonly time: string;
}

interface Last {
  readonly time: string;
  /** How many lines of this time were told. */
  readonly count: number;
}

export class LogPlace {
  readonly #last = new Map<string, Last>();
  #newest = '';
  #floor = '';

  /** What is there was told, as far as it was asked for: older lines that were not told are not wanted. */
  caughtUp(at = this.#newest): void {
    if (this.#floor === '') this.#floor = at;
  }

  /** Where a reading has to begin, in epoch milliseconds; undefined: at the beginning. */
  get since(): number | undefined {
    const at = [this.#newest, this.#floor].sort().at(-1) ?? '';
    return at === '' ? undefined : Math.max(Date.parse(at) - SKEW_MS, 0);
  }

  /** For one reading, from `since` or before: tells of each line that comes whether it is new. */
  reading(): (line: Timed) => boolean {
    const before = new Map(this.#last);
    const floor = this.#floor;
    const passed = new Set<string>();
    const again = new Map<string, number>();
    return (line) => {
      const key = `${line.container} ${line.stream}`;
      if (!passed.has(key) && this.#isKnown(line.time, before.get(key), floor, key, again)) return false;
      passed.add(key);
      this.#note(key, line.time);
      return true;
    };
  }

  #isKnown(
    time: string,
    last: Last | undefined,
    floor: string,
    key: string,
    again: Map<string, number>,
  ): boolean {
    if (last === undefined) return time <= floor;
    if (time !== last.time) return time < last.time;
    const count = (again.get(key) ?? 0) + 1;
    again.set(key, count);
    return count <= last.count;
  }

  #note(key: string, time: string): void {
    const last = this.#last.get(key);
    this.#last.set(key, { time, count: last?.time === time ? last.count + 1 : 1 });
    if (time > this.#newest) this.#newest = time;
  }
}
