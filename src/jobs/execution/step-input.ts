/** What a step reads: where it is, that it is whole, and how it gets into the container, no faster than that reads. */
import { open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { GantryError, messageOf } from '../../errors.ts';
import { pause } from '../../poke.ts';
import { inputOnItsWay, sizeOf } from '../disk/run-folder.ts';
import { nameOf, type StepContext } from './step.ts';

const CHUNK_BYTES = 256 * 1024;
/** An upload of which nothing came for so long does not come any more. */
const UPLOAD_SILENCE_MS = 60_000;
const UPLOAD_POLL_MS = 100;

export type StepInput = { readonly bytes: number } & (
  | { readonly kind: 'none' }
  | { readonly kind: 'memory'; readonly content: Buffer }
  | { readonly kind: 'file'; readonly path: string }
);

const NO_INPUT: StepInput = { kind: 'none', bytes: 0 };

/** Waits for one that is still to be uploaded. Throws output-gone when it is not to be had. */
export async function inputOf(context: StepContext, signal: AbortSignal): Promise<StepInput> {
  const { index, folder, progress, input } = context;
  if (index > 0) {
    const wanted = progress.value.steps[index - 1]?.outputBytes ?? 0;
    return fileInput(context, folder.between(index - 1), wanted);
  }
  const { input: given, job } = input.run;
  if (given.kind === 'upload') {
    await uploaded(context, signal);
    return fileInput(context, folder.input);
  }
  const base64 = given.kind === 'inline' ? given.base64 : job.input;
  const content = Buffer.from(base64 ?? '', 'base64');
  return content.length === 0 ? NO_INPUT : { kind: 'memory', content, bytes: content.length };
}

/** `wanted`: what it had when it was written; a crash of the machine may have taken some. */
async function fileInput(context: StepContext, path: string, wanted?: number): Promise<StepInput> {
  const bytes = await sizeOf(path);
  if (bytes === undefined || (wanted !== undefined && bytes !== wanted)) {
    const what = wanted === undefined ? 'its input' : 'the output of the step before, which it reads,';
    throw new GantryError('output-gone', `${what} is not whole on disk: ${path}`, {
      hint: `${nameOf(context)} cannot be run without it; submit the job again.`,
    });
  }
  return bytes === 0 ? NO_INPUT : { kind: 'file', path, bytes };
}

async function uploaded({ folder }: StepContext, signal: AbortSignal): Promise<void> {
  let seen = -1;
  for (let silentMs = 0; (await sizeOf(folder.input)) === undefined; silentMs += UPLOAD_POLL_MS) {
    const size = (await sizeOf(inputOnItsWay(folder))) ?? -1;
    if (size !== seen) [seen, silentMs] = [size, 0];
    if (silentMs >= UPLOAD_SILENCE_MS) {
      throw new GantryError('output-gone', 'the input was announced, but did not come', {
        hint: 'The command that submits a job sends its input once a host has claimed it: it must run until then.',
      });
    }
    await pause(UPLOAD_POLL_MS, signal);
    signal.throwIfAborted();
  }
}

/** `whole`: the engine has all of it. `refused`: the container, or what leads to it, takes no more. */
export type Fed = 'whole' | 'refused';

/** Ends the container's input in any case. Throws when the input cannot be read. */
export async function feed(input: StepInput, to: Writable): Promise<Fed> {
  const gone = finished(to, { readable: false }).then(
    () => 'whole' as const,
    () => 'refused' as const,
  );
  if (input.kind === 'memory') to.write(input.content);
  try {
    if (input.kind === 'file') await pour(input.path, to);
  } catch (error) {
    to.destroy();
    throw error;
  }
  if (!to.destroyed) to.end();
  return gone;
}

async function pour(path: string, to: Writable): Promise<void> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    // One is read into while the other one is on its way.
    let [buffer, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
    for (let before = Promise.resolve(); ; [buffer, other] = [other, buffer]) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES).catch((error: unknown) => {
        throw unreadable(path, error);
      });
      await before;
      if (bytesRead === 0 || to.destroyed) return;
      before = given(to, buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Once it was taken, or nothing is taken any more. */
function given(to: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      to.off('close', end);
      resolve();
    };
    to.once('close', end);
    to.write(bytes, end);
  });
}

function unreadable(path: string, error: unknown): GantryError {
  return new GantryError('output-gone', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
}
