/**
 * Where connections read to: one piece of memory for all of them as long as they bring little, which is then used up
 * before the next read; one of its own for who brings much, used again once nothing of it waits to be written. Of those there
 * are so many: who brings much then has what it brings copied.
 */

/** What one read brings at most. */
const READ_BYTES = 64 * 1024;
/** Up to here a text is written faster than bytes: nothing of it has to outlive the call. */
export const MOST_TEXT_BYTES = 16 * 1024;
/** 16 MiB: whoever has brought much keeps its own as long as it stays, also when it is silent. */
export const MOST_OUT = 256;
/** Kept for connections to come; more are left to the garbage collector. */
const MOST_SPARE = 32;

/**
 * The first `length` of the bytes. `memory`: what they are in, to be kept and released by who needs them longer than
 * the call; without it they have to be copied. Answers whether to go on reading.
 */
export type OnBytes = (bytes: Buffer, length: number, memory: Memory | undefined) => boolean;

export class Memory {
  readonly bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  #keepers = 0;

  /** How many were taken and not given back. */
  static get out(): number {
    return out;
  }

  /** A spare one, or a new one; undefined: there are enough. To be given back. */
  static take(): Memory | undefined {
    if (out === MOST_OUT) return undefined;
    out += 1;
    return spare.pop() ?? new Memory();
  }

  /** Nothing is read into it any more; each keeper releases it once. */
  keep(): void {
    this.#keepers += 1;
  }

  get isKept(): boolean {
    return this.#keepers > 0;
  }

  release(): void {
    this.#keepers -= 1;
    if (this.#keepers === 0) this.giveBack();
  }

  /** INVARIANT: nobody refers to it. */
  giveBack(): void {
    out -= 1;
    if (spare.length < MOST_SPARE) spare.push(this);
  }
}

const spare: Memory[] = [];
let out = 0;

/** INVARIANT: nobody keeps what is in it. */
export const SHARED = Buffer.allocUnsafeSlow(READ_BYTES);
