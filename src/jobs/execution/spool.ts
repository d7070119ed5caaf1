/**
 * The output of a step as it goes to disk. A spool that is opened again for a step that goes on is given all of the
 * step's output anew, from its beginning, and drops what it has: how much that is, the file itself says.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { Delimiters } from '../../config/job.ts';
import { stateWriteError } from '../../durable-file.ts';
import { GatheredWrites, type Sized } from '../disk/gathered-writes.ts';
import { DelimiterFilter } from './delimiters.ts';

export class Spool {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #delimiters: Delimiters | undefined;
  readonly #writes = new GatheredWrites((pieces: readonly Sized[]) => this.#write(pieces));
  #filter: DelimiterFilter | undefined;
  /** In the file, or on the way there. */
  #size: number;
  /** Of what comes: in the file already. */
  #skip: number;

  private constructor(path: string, file: FileHandle, size: number, delimiters: Delimiters | undefined) {
    this.#path = path;
    this.#file = file;
    this.#delimiters = delimiters;
    this.#filter = delimiters === undefined ? undefined : new DelimiterFilter(delimiters);
    this.#size = size;
    this.#skip = size;
  }

  /** `goesOn`: keeps what is there. Throws state-write, as all its calls do. */
  static async open(path: string, goesOn: boolean, delimiters?: Delimiters): Promise<Spool> {
    try {
      const file = await open(path, goesOn ? 'a' : 'w', 0o600);
      const { size } = await file.stat();
      return new Spool(path, file, size, delimiters);
    } catch (error) {
      throw stateWriteError(path, error);
    }
  }

  get size(): number {
    return this.#size;
  }

  /** What comes now begins with the first byte again. */
  rewind(): void {
    this.#filter = this.#delimiters === undefined ? undefined : new DelimiterFilter(this.#delimiters);
    this.#skip = this.#size;
  }

  /** A promise: wait for it before more is given. */
  take(bytes: Buffer): Promise<void> | undefined {
    if (this.#filter === undefined) return this.#add(bytes);
    let room: Promise<void> | undefined;
    for (const part of this.#filter.take(bytes)) room = this.#add(part) ?? room;
    return room;
  }

  /** There is no more. */
  async finish(): Promise<void> {
    for (const part of this.#filter?.finish() ?? []) await this.#add(part);
    await this.#writes.flush();
  }

  /** Once what was taken is in the file, or could not be written. Idempotent, never throws. */
  async close(): Promise<void> {
    // Who took part in the writing was told.
    await this.#writes.flush().catch(() => undefined);
    await this.#file.close().catch(() => undefined);
  }

  #add(bytes: Buffer): Promise<void> | undefined {
    const known = Math.min(this.#skip, bytes.length);
    this.#skip -= known;
    if (known === bytes.length) return undefined;
    const fresh = known === 0 ? bytes : bytes.subarray(known);
    this.#size += fresh.length;
    return this.#writes.add({ bytes: fresh });
  }

  async #write(pieces: readonly Sized[]): Promise<void> {
    let rest = pieces.map((piece) => piece.bytes);
    try {
      while (rest.length > 0) {
        const batch = rest.slice(0, MAX_VECTORS);
        const { bytesWritten } = await this.#file.writev(batch);
        rest = without(rest, bytesWritten);
      }
    } catch (error) {
      throw stateWriteError(this.#path, error);
    }
  }
}

/** IOV_MAX of Linux. */
const MAX_VECTORS = 1024;

function without(buffers: readonly Buffer[], written: number): Buffer[] {
  let left = written;
  let whole = 0;
  for (const { length } of buffers) {
    if (length > left) break;
    left -= length;
    whole++;
  }
  const rest = buffers.slice(whole);
  const [first] = rest;
  if (first !== undefined && left > 0) rest[0] = first.subarray(left);
  return rest;
}
