/**
 * Our table in the kernel, and what this process knows of it. Each transaction leaves a stamp there: it tells whether
 * the transaction was taken, and later whether the table is still the one that was written here.
 */
import { randomInt } from 'node:crypto';
import { GantryError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Nft } from './nft.ts';
import { afterChange, changeText, type Ruleset, wholeText } from './ruleset.ts';

/** The kept nft runs ahead of others: what takes it more than a few milliseconds goes to a process of its own. */
const MAX_KEPT_CHARS = 16 * 1024;
const MAX_STAMP = 2 ** 32;

/** `replaced`: another process has written the table since. */
export type Sight = 'there' | 'missing' | 'replaced';

export class Table {
  readonly name: string;
  readonly #nft: Nft;
  readonly #log: Log;
  /** undefined: nobody knows, and only the whole of it can be written. */
  #present: Ruleset | undefined;
  readonly #stamps = stamps();
  #stamp = '';

  constructor(name: string, nft: Nft, log: Log) {
    this.name = name;
    this.#nft = nft;
    this.#log = log;
  }

  get known(): boolean {
    return this.#present !== undefined;
  }

  /** In one transaction. Throws GantryError proxy-failed; the table is then what it was. */
  async write(next: Ruleset): Promise<void> {
    const present = this.#present;
    const stamp = this.#stamps.next().value;
    const line = present === undefined ? undefined : changeText(this.name, present, next, stamp);
    if (line === '') return;
    this.#present = undefined;
    if (present !== undefined && line !== undefined && (await this.#changed(line, stamp))) {
      this.#present = afterChange(present, next);
    } else {
      await this.#nft.load(wholeText(this.name, next, stamp));
      await this.#confirm(stamp);
      this.#present = next;
    }
    this.#stamp = stamp;
  }

  /** Costs the same however much is in the table: nft reads no more than the stamp. */
  async look(): Promise<Sight> {
    const stamp = await this.#stampThere();
    if (stamp === undefined) return 'missing';
    return stamp === this.#stamp ? 'there' : 'replaced';
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
  async #changed(line: string, stamp: string): Promise<boolean> {
    try {
      if (line.length > MAX_KEPT_CHARS) {
        await this.#nft.load(`${line}\n`);
        await this.#confirm(stamp);
      } else if (stampIn(await this.#nft.change(line, this.#listStamp)) !== stamp) throw this.#untaken();
      return true;
    } catch (error) {
      this.#log.warn('a change of the kernel rules was not taken; all of them are written', {
        why: messageOf(error),
      });
      return false;
    }
  }

  async #confirm(stamp: string): Promise<void> {
    if ((await this.#stampThere()) !== stamp) throw this.#untaken();
  }

  async #stampThere(): Promise<string | undefined> {
    return stampIn(await this.#nft.try(this.#listStamp));
  }

  get #listStamp(): string {
    return `list set inet ${this.name} stamp`;
  }

  #untaken(): GantryError {
    const message = `nft said nothing, but the table ${this.name} is not as it was told`;
    const hint = 'see whether another program changes that table';
    return new GantryError('proxy-failed', message, { hint, retryable: true });
  }
}

function stampIn(answer: string): string | undefined {
  return /elements = \{ (0x[0-9a-f]{8}) \}/.exec(answer)?.[1];
}

/** Begins by chance, so that no two processes write the same. */
function* stamps(): Generator<string, never> {
  for (let next = randomInt(MAX_STAMP); ; next = (next + 1) % MAX_STAMP)
    yield `0x${next.toString(16).padStart(8, '0')}`;
}
