/**
 * Our table in the kernel, and what this process knows of it. Each transaction leaves a stamp there, the next number of a
 * row of this process's own: it tells whether the table is the one that was written here, an earlier one, or another
 * process's.
 */
import { randomInt } from 'node:crypto';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Nft } from './nft.ts';
import { afterChange, changeText, type Ruleset, wholeText } from './ruleset.ts';

/** The kept nft runs ahead of others: what takes it more than a few milliseconds goes to a process of its own. */
const MAX_KEPT_CHARS = 16 * 1024;
const MAX_STAMP = 2 ** 32;

/** `old`: not as this process wrote it last, but as it did once. `replaced`: another process has written it since. */
export type Sight = 'there' | 'missing' | 'old' | 'replaced';

export class Table {
  readonly name: string;
  readonly #nft: Nft;
  readonly #log: Log;
  /** undefined: nobody knows, and only the whole of it can be written. */
  #present: Ruleset | undefined;
  /** Begins by chance, so that no two processes write the same. */
  readonly #firstStamp = randomInt(MAX_STAMP);
  #tried = 0;
  /** The last one that was taken. */
  #written = 0;

  constructor(name: string, nft: Nft, log: Log) {
    this.name = name;
    this.#nft = nft;
    this.#log = log;
  }

  get known(): boolean {
    return this.#present !== undefined;
  }

  /**
   * In one transaction; answers whether there was anything to write. nft told of no failure then: `look` sees for itself.
   * Throws GantryError proxy-failed; the table is then what it was.
   */
  async write(next: Ruleset): Promise<boolean> {
    const present = this.#present;
    const number = this.#tried + 1;
    const stamp = this.#stampOf(number);
    const line = present === undefined ? undefined : changeText(this.name, present, next, stamp);
    if (line === '') return false;
    this.#tried = number;
    this.#present = undefined;
    if (present !== undefined && line !== undefined && (await this.#changed(line))) {
      this.#present = afterChange(present, next);
    } else {
      await this.#nft.load(wholeText(this.name, next, stamp));
      this.#present = next;
    }
    this.#written = number;
    return true;
  }

  /** Costs the same however much is in the table: nft reads no more than the stamp. */
  async look(): Promise<Sight> {
    const stamp = stampIn(await this.#nft.try(`list set inet ${this.name} stamp`));
    if (stamp === undefined) return 'missing';
    const number = (stamp - this.#firstStamp + MAX_STAMP) % MAX_STAMP;
    if (number === this.#written) return 'there';
    return number <= this.#tried ? 'old' : 'replaced';
  }

  /** What is there is not known any more: the next write is of the whole. */
  forget(): void {
    this.#present = undefined;
  }

  /** Not there already is success. Throws GantryError proxy-failed. */
  async remove(): Promise<void> {
    this.#present = undefined;
    await this.#nft.load(`add table inet ${this.name}\ndelete table inet ${this.name}\n`);
  }

  /** Answers false when the kernel did not take it, which is told: then somebody else has changed our table. */
  async #changed(line: string): Promise<boolean> {
    try {
      if (line.length > MAX_KEPT_CHARS) await this.#nft.load(`${line}\n`);
      else await this.#nft.change(line);
      return true;
    } catch (error) {
      this.#log.warn('a change of the kernel rules was not taken; all of them are written', {
        why: messageOf(error),
      });
      return false;
    }
  }

  #stampOf(number: number): string {
    return `0x${((this.#firstStamp + number) % MAX_STAMP).toString(16).padStart(8, '0')}`;
  }
}

function stampIn(answer: string): number | undefined {
  const stamp = /elements = \{ (0x[0-9a-f]{8}) \}/.exec(answer)?.[1];
  return stamp === undefined ? undefined : Number(stamp);
}
