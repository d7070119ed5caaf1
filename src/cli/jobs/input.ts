/**
 * The input of a run: what is small goes with its record, anything else is given to the host that has claimed it. stdin
 * can be given once, a file as often as it takes.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { RunInput } from '../../cluster/job-values.ts';
import { GantryError, messageOf } from '../../errors.ts';

/** In the record of a run. */
export const MAX_INLINE_BYTES = 256 * 1024;

export interface RunInputSource {
  /** undefined: it was read, and cannot be again. */
  open(): Readable | undefined;
}

export interface GivenInput {
  readonly input: RunInput;
  /** Where it is to be uploaded. */
  readonly source?: RunInputSource;
}

/** `path`: of a file, or `-` for stdin; undefined: none. Throws usage when it cannot be read. */
export async function readInput(path: string | undefined): Promise<GivenInput> {
  if (path === undefined) return { input: { kind: 'none' } };
  return path === '-' ? fromStdin() : fromFile(path);
}

async function fromFile(path: string): Promise<GivenInput> {
  try {
    const file = await open(path, 'r');
    try {
      const stats = await file.stat();
      if (stats.isDirectory()) throw new Error('it is a folder');
      // A pipe or a device tells no size: it is read like stdin.
      if (!stats.isFile()) return await begun(createReadStream(path));
      if (stats.size <= MAX_INLINE_BYTES) return inline(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return { input: { kind: 'upload' }, source: { open: () => createReadStream(path) } };
}

async function fromStdin(): Promise<GivenInput> {
  try {
    return await begun(process.stdin);
  } catch (error) {
    throw unreadable('-', error);
  }
}

/** Read until it ends or is too much to be inline; then what was read comes again before the rest. */
async function begun(stream: Readable): Promise<GivenInput> {
  const rest = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const parts: Buffer[] = [];
  for (let held = 0; held <= MAX_INLINE_BYTES; ) {
    const { done, value } = await rest.next();
    if (done === true) return inline(Buffer.concat(parts));
    parts.push(value);
    held += value.length;
  }
  let whole: Readable | undefined = Readable.from(all(parts, rest), { objectMode: false });
  const once = () => {
    const first = whole;
    whole = undefined;
    return first;
  };
  return { input: { kind: 'upload' }, source: { open: once } };
}

async function* all(parts: Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) yield part;
  for (let got = await rest.next(); got.done !== true; got = await rest.next()) yield got.value;
}

function inline(bytes: Buffer): GivenInput {
  return { input: { kind: 'inline', base64: bytes.toString('base64') } };
}

function unreadable(path: string, error: unknown): GantryError {
  const what = path === '-' ? 'stdin' : path;
  return new GantryError('usage', `The input ${what} cannot be read: ${messageOf(error)}`, {
    hint: 'Check --input.',
    cause: error,
  });
}
