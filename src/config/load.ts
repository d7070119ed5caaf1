/**
 * Reads a project file, or takes one that is stored, and throws what is wrong with it. The only part of
 * src/config that touches the file system, for load-jobs.ts too; what the text means is parse.ts.
 */
import { constants, open, readdir } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { GantryError, messageOf } from '../errors.ts';
import { type ParseOptions, parseProject, parseStored } from './parse.ts';
import { formatProblem } from './problems.ts';
import type { Problem, Project } from './project.ts';
import type { StoredProject } from './stored.ts';
import { suggest } from './suggest.ts';

/** A project file is text written by people; anything larger is another file. */
export const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** Further problems are counted but not listed in the message. `problemsOf` has them all. */
const MAX_LISTED = 50;

export interface LoadOptions {
  /** The component that the paths of the overrides count from. */
  readonly component?: string | undefined;
}

/**
 * The project of the file with the overrides (`PATH=VALUE`) applied. Throws GantryError config-unreadable,
 * or config-invalid whose message lists every problem on a line of its own.
 */
export async function loadProject(
  path: string,
  overrides: readonly string[] = [],
  options: LoadOptions = {},
): Promise<Project> {
  return (await load(path, { overrides, component: options.component })).project;
}

/** The file in the form in which the project of this name is stored. Throws as loadProject does. */
export async function loadForStore(
  path: string,
  project: string,
  overrides: readonly string[] = [],
): Promise<StoredProject> {
  return (await load(path, { overrides, project })).stored;
}

/** The way back from what loadForStore answered, with overrides applied. Throws GantryError config-invalid. */
export function projectOfStored(
  stored: unknown,
  project: string,
  overrides: readonly string[] = [],
  options: LoadOptions = {},
): Project {
  const result = parseStored(stored, project, { overrides, component: options.component });
  if ('project' in result) return result.project;
  const hint = `Correct its file, then store it again: \`gantryd setconfig ${project} FILE\`.`;
  throw invalid(`the stored config of ${project}`, project, result.problems, hint);
}

async function load(path: string, options: Omit<ParseOptions, 'file' | 'folder'>) {
  const text = await readText(path, 'project file');
  const result = parseProject(text, { ...options, file: path, folder: dirname(resolve(path)) });
  if ('project' in result) return result;
  const hint = `Fix what is listed, then run \`gantry ${path} check\`. Every field is described in docs/config.md.`;
  throw invalid(path, path, result.problems, hint);
}

/** The problems behind a config-invalid error. */
export function problemsOf(error: GantryError): readonly Problem[] {
  return error.code === 'config-invalid' && Array.isArray(error.cause) ? error.cause : [];
}

/** config-invalid with all of them; `place` is what each line begins with. */
export function invalid(
  what: string,
  place: string,
  problems: readonly Problem[],
  hint: string,
): GantryError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const lines = problems.slice(0, MAX_LISTED).map((problem) => `  ${formatProblem(place, problem)}`);
  if (problems.length > MAX_LISTED) lines.push(`  and ${problems.length - MAX_LISTED} more`);
  const message = `${what} has ${count}:\n${lines.join('\n')}`;
  return new GantryError('config-invalid', message, { hint, cause: problems });
}

/** The text of a file of ours, `what` for messages. Throws GantryError config-unreadable. */
export async function readText(path: string, what: string): Promise<string> {
  const unreadable = unreadableAs(what, path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readBounded(path, what));
  } catch (error) {
    if (error instanceof GantryError) throw error;
    if (error instanceof TypeError) throw unreadable('is not UTF-8 text', 'Save the file as UTF-8.', error);
    throw await translate(path, error, unreadable);
  }
}

async function readBounded(path: string, what: string): Promise<Buffer> {
  const unreadable = unreadableAs(what, path);
  // Not blocking: opening a pipe would wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (stat.isDirectory()) throw unreadable('is a folder', `Name the ${what} in it.`);
    if (!stat.isFile()) throw unreadable('is no regular file', 'Write it to a file first.');
    if (stat.size > MAX_FILE_BYTES) {
      throw unreadable(`is larger than ${MAX_FILE_BYTES} bytes`, `Is it a ${what} at all?`);
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function translate(path: string, error: unknown, unreadable: Unreadable): Promise<GantryError> {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const similar = suggest(basename(path), await namesIn(dirname(resolve(path))));
    return unreadable(
      'does not exist',
      similar === undefined
        ? 'Check the path; it counts from the working directory.'
        : `Did you mean ${similar}?`,
      error,
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return unreadable(
      'may not be read by this user',
      'Change its permissions, or run as another user.',
      error,
    );
  }
  return unreadable(`cannot be read: ${messageOf(error)}`, 'Check the path and the disk.', error);
}

/** File names for a suggestion; a folder that cannot be listed has none to offer. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

type Unreadable = (why: string, hint: string, cause?: unknown) => GantryError;

function unreadableAs(what: string, path: string): Unreadable {
  return (why, hint, cause) => {
    const message = `the ${what} ${path} ${why} (looked at ${resolve(path)})`;
    return new GantryError('config-unreadable', message, { hint, cause });
  };
}
