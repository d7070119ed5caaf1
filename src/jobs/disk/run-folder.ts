/**
 * What a host keeps of a run on disk: STATE/runs/PROJECT/RUN, with the log's segments, the input of the first step, the
 * output of each step until the next one has read it, the last one's output, and how far the attempt is. Paths, making,
 * listing and removing; what is in the files is their writers' business.
 */
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { makeFolder, removeIfThere, stateWriteError } from '../../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../../errors.ts';

const RUNS = 'runs';
const INPUT = 'input';
const OUTPUT = 'output';

export interface RunFolder {
  readonly path: string;
  /** Of the first step; there once it is whole. */
  readonly input: string;
  /** Of the last step; there once the run has ended well. */
  readonly output: string;
  readonly state: string;
  /** The output of a step, while it is taken and until the next step has read it. */
  between(step: number): string;
}

export function runFolder(stateDir: string, project: string, run: string): RunFolder {
  const path = join(stateDir, RUNS, project, run);
  return {
    path,
    input: join(path, INPUT),
    output: join(path, OUTPUT),
    state: join(path, 'state.json'),
    between: (step) => join(path, `between.${step}`),
  };
}

/** One that is there is success. Throws state-write. */
export async function makeRunFolder({ path }: RunFolder): Promise<void> {
  await makeFolder(path).catch((error: unknown) => {
    throw stateWriteError(path, error);
  });
}

/** With all that is in it; gone is success. Throws state-write. */
export async function removeRunFolder({ path }: RunFolder): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
    throw stateWriteError(path, error);
  });
}

/** Ids of the runs of which this host has something on disk. */
export async function runsOnDisk(stateDir: string, project: string): Promise<readonly string[]> {
  const folder = join(stateDir, RUNS, project);
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw new GantryError('state-dir', `cannot read ${folder}: ${messageOf(error)}`, { cause: error });
  }
}

/** Bytes of all its files; 0: it is not there. */
export async function runFolderBytes({ path }: RunFolder): Promise<number> {
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map(async (name) => (await sizeOf(join(path, name))) ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Removes what only an attempt that is under way needs. */
export async function removeBetween(folder: RunFolder): Promise<void> {
  const names = await readdir(folder.path).catch(() => []);
  for (const name of names) {
    if (name.startsWith('between.')) await removeIfThere(join(folder.path, name));
  }
}

/** The output of a run that has ended well, and how many bytes it has. Throws output-gone. */
export async function outputOf({
  output,
}: RunFolder): Promise<{ readonly bytes: Readable; readonly size: number }> {
  try {
    const file = await open(output, 'r');
    const { size } = await file.stat();
    // An empty range cannot be said to a stream.
    const bytes = size === 0 ? file.createReadStream() : file.createReadStream({ end: size - 1 });
    return { bytes, size };
  } catch (error) {
    throw new GantryError('output-gone', `there is no output of this run here: ${messageOf(error)}`, {
      hint: 'A run has an output once all its steps have ended with 0, and for as long as it is kept.',
      cause: error,
    });
  }
}

/**
 * Takes the input of a run that waits for it; there at once, and whole. Fails as the bytes do, or with state-write. One
 * that comes later takes the place of one under way: whoever sent that may be gone, without anybody knowing yet.
 */
export async function receiveInput(folder: RunFolder, bytes: Readable, signal: AbortSignal): Promise<void> {
  const part = inputOnItsWay(folder);
  await makeRunFolder(folder);
  await removeIfThere(part);
  const failed = (error: unknown) => Promise.reject(stateWriteError(part, error));
  const file = await open(part, 'w', 0o600).catch(failed);
  try {
    for await (const chunk of addAbortSignal(signal, bytes)) await file.writeFile(chunk).catch(failed);
    if (!(await isAt(part, file))) throw replaced();
    await rename(part, folder.input).catch(failed);
  } catch (error) {
    if (await isAt(part, file)) await removeIfThere(part);
    throw error;
  } finally {
    await file.close();
  }
}

async function isAt(path: string, file: FileHandle): Promise<boolean> {
  const [own, there] = [await file.stat(), await stat(path).catch(() => undefined)];
  return there !== undefined && there.ino === own.ino && there.dev === own.dev;
}

function replaced(): GantryError {
  return new GantryError('output-gone', 'the input of this run is being sent by somebody else', {
    retryable: true,
  });
}

/** Where it gathers until it is whole. */
export function inputOnItsWay({ input }: RunFolder): string {
  return `${input}.part`;
}

/** undefined: there is no such file. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
