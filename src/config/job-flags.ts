/**
 * From the flags of a one-shot task to its Job. Throws GantryError usage, which names the flag and says what to write.
 * Pure: the command line reads files and its environment, and knows its folder.
 */
import { resolve } from 'node:path';
import { GantryError } from '../errors.ts';
import { CONSTRAINT_FORMS, parseConstraint } from './constraint.ts';
import { imageProblem, withTag } from './image.ts';
import {
  type Constraint,
  DEFAULT_KEEP_MS,
  type Job,
  type Mount,
  type RegistryAuth,
  type SecretUse,
  type Variable,
} from './job.ts';
import { networksOf, PLAIN_JOB, PLAIN_STEP } from './job-normalise.ts';
import { MAX_KEEP_MS, MAX_RETRIES, MIN_MEMORY_BYTES } from './job-schema.ts';
import { isVolumeName, MOUNT_FORM, parseMount, sourceProblem, targetProblem } from './mount.ts';
import { freeze, given } from './normalise.ts';
import { parseBytes, parseDuration } from './quantities.ts';
import { MAX_MS, NAME } from './schema.ts';
import { shellWords } from './shell-words.ts';

export interface JobFlags {
  readonly image: string;
  /** Of the job; absent: none. */
  readonly name?: string | undefined;
  /** `K=V`, or `K` alone for the value it has in `environment`. They win over those of the files. */
  readonly env?: readonly string[] | undefined;
  readonly envFiles?: readonly EnvFile[] | undefined;
  /** What `K` alone is looked up in. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** `SOURCE=TARGET[:ro]`. A source with a `/`, or that begins with a dot, is a path; any other the name of a volume. */
  readonly mount?: readonly string[] | undefined;
  /** What relative paths count from. Default: the working directory. */
  readonly cwd?: string | undefined;
  readonly network?: readonly string[] | undefined;
  readonly secret?: readonly SecretUse[] | undefined;
  readonly constraint?: readonly string[] | undefined;
  readonly command?: string | undefined;
  readonly entrypoint?: string | undefined;
  readonly user?: string | undefined;
  readonly memory?: string | undefined;
  readonly cpus?: number | string | undefined;
  /** A bare number is seconds. */
  readonly timeout?: string | undefined;
  readonly retries?: number | string | undefined;
  /** A bare number is seconds. */
  readonly keep?: string | undefined;
  readonly remove?: boolean | undefined;
  readonly refresh?: boolean | undefined;
  readonly registryAuth?: RegistryAuth | undefined;
}

export interface EnvFile {
  readonly path: string;
  readonly text: string;
}

const SECRET_NAME = new RegExp(NAME);
const ALONE = /^(?:host|none|container:.*)$/;

export function jobOfFlags(flags: JobFlags): Job {
  const cwd = flags.cwd ?? '.';
  return freeze({
    ...PLAIN_JOB,
    name: flags.name ?? '',
    steps: [
      {
        ...PLAIN_STEP,
        image: imageOf(flags.image),
        environment: [...(flags.envFiles ?? []).flatMap(variablesOfFile), ...variablesOf(flags)],
        refresh: flags.refresh ?? false,
        networks: networksOfFlags(flags.network ?? []),
        mounts: mountsOf(flags.mount ?? [], cwd),
        secrets: secretsOf(flags.secret ?? []),
        ...given({
          command: wordsOf('--command', flags.command),
          entrypoint: wordsOf('--entrypoint', flags.entrypoint),
          user: flags.user || undefined,
          timeoutMs: timeoutOf(flags.timeout),
          memoryBytes: memoryOf(flags.memory),
          cpus: cpusOf(flags.cpus),
          registryAuth: authOf(flags.registryAuth, cwd),
        }),
      },
    ],
    constraints: (flags.constraint ?? []).map(constraintOf),
    retries: retriesOf(flags.retries),
    keepMs: keepOf(flags.keep),
    remove: flags.remove ?? false,
  });
}

/** The variables of a file: `K=V` in lines; blank lines and those that begin with `#` say nothing. */
export function variablesOfFile({ path, text }: EnvFile): Variable[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const clean = line.trimStart();
    if (clean === '' || clean.startsWith('#')) return [];
    if (/^[^=\0]+=[^\0]*$/.test(clean)) return [split(clean)];
    const hint = 'Each line is NAME=value, empty, or a comment that begins with `#`.';
    // Not shown: it may be a piece of a secret.
    throw usage(`${path}:${index + 1}: this line has no NAME= in front`, hint);
  });
}

function variablesOf({ env = [], environment = {} }: JobFlags): Variable[] {
  return env.map((text) => {
    if (/^[^=\0]+=[^\0]*$/.test(text)) return split(text);
    if (text === '' || /[=\0]/.test(text))
      throw usage(`--env "${shown(text)}" has no name`, 'Write --env NAME=value.');
    const value = Object.hasOwn(environment, text) ? environment[text] : undefined;
    if (value !== undefined) return { name: text, value };
    throw usage(
      `--env ${text} has no value, and this shell has no variable ${text}`,
      `Write --env ${text}=value.`,
    );
  });
}

function split(text: string): Variable {
  const equals = text.indexOf('=');
  return { name: text.slice(0, equals), value: text.slice(equals + 1) };
}

function imageOf(image: string): string {
  const problem = imageProblem(image);
  if (problem !== undefined)
    throw usage(`--image "${shown(image)}" ${problem}`, 'Write it as `docker run` takes it.');
  return withTag(image);
}

function mountsOf(mounts: readonly string[], cwd: string): Mount[] {
  const found = mounts.map((text) => mountOf(text, cwd));
  const twice = found.find(
    ({ target }, index) => found.findIndex((mount) => mount.target === target) < index,
  );
  if (twice !== undefined)
    throw usage(`--mount is given twice for ${twice.target}`, 'Leave one of them out.');
  return found;
}

function mountOf(text: string, cwd: string): Mount {
  const mount = parseMount(text);
  if (mount === undefined)
    throw usage(`--mount "${shown(text)}" ${MOUNT_FORM}`, 'Write --mount SOURCE=TARGET[:ro].');
  const { source, target, readOnly } = mount;
  const full = isVolumeName(source) && !source.startsWith('.') ? source : resolve(cwd, source);
  const inSource = sourceProblem(full);
  const inTarget = targetProblem(target);
  const problem = inSource === undefined ? inTarget && `its target ${inTarget}` : `its source ${inSource}`;
  if (problem !== undefined)
    throw usage(`--mount "${shown(text)}": ${problem}`, 'Write --mount SOURCE=TARGET[:ro].');
  return { source: full, target, readOnly };
}

function networksOfFlags(networks: readonly string[]): readonly string[] {
  const alone = networks.find((name) => ALONE.test(name));
  if (networks.includes(''))
    throw usage('--network is empty', 'Write --network NAME, once for each network.');
  if (alone !== undefined && networks.length > 1)
    throw usage(
      `--network ${alone} cannot be joined beside another one`,
      `Leave the others out, or "${alone}".`,
    );
  return networksOf([...new Set(networks)]);
}

function secretsOf(secrets: readonly SecretUse[]): readonly SecretUse[] {
  for (const [index, { name }] of secrets.entries()) {
    if (!SECRET_NAME.test(name))
      throw usage(
        `--secret "${shown(name)}" is no name of a secret`,
        'Write --secret NAME or --secret NAME=FILE.',
      );
    if (secrets.findIndex((other) => other.name === name) < index)
      throw usage(`--secret ${name} is given twice`, 'Leave one of them out.');
  }
  return secrets;
}

function constraintOf(text: string): Constraint {
  const constraint = parseConstraint(text);
  if (constraint !== undefined) return constraint;
  throw usage(
    `--constraint "${shown(text)}" ${CONSTRAINT_FORMS}`,
    'Quote it for the shell if it has blanks or `!`.',
  );
}

function wordsOf(flag: string, text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const read = shellWords(text);
  if ('words' in read) return read.words;
  const hint = read.problem.includes('needs a shell')
    ? `Write ${flag} "sh -c '…'", with an image that has a shell.`
    : `Quotes count as in a shell: ${flag} "echo 'two words'".`;
  throw usage(`${flag} "${shown(text)}" ${read.problem}`, hint);
}

function timeoutOf(text: string | undefined): number | undefined {
  const ms = durationOf('--timeout', text);
  if (ms === 0) throw usage('--timeout must be more than 0', 'Leave it out for no limit.');
  if (ms === undefined || ms <= MAX_MS) return ms;
  throw usage(`--timeout ${text} is longer than 24 days`, 'Leave it out for no limit.');
}

function keepOf(text: string | undefined): number {
  const ms = durationOf('--keep', text) ?? DEFAULT_KEEP_MS;
  if (ms <= MAX_KEEP_MS) return ms;
  throw usage(`--keep ${text} is longer than ten years`, 'Write --keep as 12h, 7d or 52w.');
}

function durationOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text, 1_000);
  if (ms !== undefined) return ms;
  throw usage(`${flag} "${shown(text)}" is no length of time`, `Write ${flag} as 90s, 5m, 1h30m or 7d.`);
}

function memoryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes >= MIN_MEMORY_BYTES) return bytes;
  const what = bytes === undefined ? 'is no amount of memory' : 'is less than the 6m that Docker demands';
  throw usage(`--memory "${shown(text)}" ${what}`, 'Write --memory as 64m, 1g or a number of bytes.');
}

function cpusOf(value: number | string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const cpus = value === '' ? Number.NaN : Number(value);
  if (Number.isFinite(cpus) && cpus > 0) return cpus;
  throw usage(`--cpus "${shown(String(value))}" is no number of CPUs`, 'Write --cpus as 0.5 or 2.');
}

function retriesOf(value: number | string | undefined): number {
  const retries = value === '' ? Number.NaN : Number(value ?? 0);
  if (Number.isInteger(retries) && retries >= 0 && retries <= MAX_RETRIES) return retries;
  throw usage(
    `--retries "${shown(String(value))}" is no number from 0 to ${MAX_RETRIES}`,
    'Write --retries 3.',
  );
}

function authOf(auth: RegistryAuth | undefined, cwd: string): RegistryAuth | undefined {
  return auth !== undefined && 'file' in auth ? { file: resolve(cwd, auth.file) } : auth;
}

function usage(message: string, hint: string): GantryError {
  return new GantryError('usage', message, { hint });
}

/** Fit for a terminal, and bounded. */
function shown(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
  return clean.length <= 80 ? clean : `${clean.slice(0, 79)}…`;
}
