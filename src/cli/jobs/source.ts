/**
 * The job that a command is about, from its options or a file. Reads the files that are named, and seals what is secret
 * for the hosts before it is written anywhere.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Job, RegistryAuth, Schedule, SecretUse } from '../../config/job.ts';
import { GantryError, messageOf } from '../../errors.ts';
import type { RunJobArguments } from './options.ts';
import type { Place } from './place.ts';

/** Of a file that an option names, or a job on stdin. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Throws usage, secrets-key. */
export async function jobOfArguments(
  args: RunJobArguments,
  place: Place,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Job> {
  const { jobOfFlags } = await import('../../config/job-flags.ts');
  const { image, name, env, mount, network, constraint, command, entrypoint } = args;
  const envFiles = args.envFile.map(async (path) => ({
    path,
    text: (await readNamed('--env-file', path)).toString('utf8'),
  }));
  return jobOfFlags({
    ...{ image, name, env, mount, network, constraint, command, entrypoint },
    ...{ user: args.user, memory: args.memory, cpus: args.cpus, timeout: args.timeout },
    ...{ retries: args.retries, keep: args.keep, remove: args.remove },
    environment,
    envFiles: await Promise.all(envFiles),
    secret: await secretsOf(args.secret, place),
    registryAuth: args.registryAuth === undefined ? undefined : await authOf(args.registryAuth, place),
  });
}

/** `-`: stdin. Throws config-unreadable, config-invalid. */
export async function jobOfFile(file: string): Promise<Job> {
  const { loadJob, readJob } = await import('../../config/load-jobs.ts');
  return file === '-' ? readJob(await readStdin(), 'stdin') : loadJob(file);
}

/** Throws config-unreadable, config-invalid. */
export async function schedulesOfFile(file: string): Promise<readonly Schedule[]> {
  const { loadSchedules } = await import('../../config/load-jobs.ts');
  return loadSchedules(file, { timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone });
}

async function secretsOf(given: readonly string[], place: Place): Promise<readonly SecretUse[]> {
  const uses: SecretUse[] = [];
  for (const text of given) {
    const [, name = text, path] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    uses.push(path === undefined ? { name } : { name, sealed: await sealedFile(name, path, place) });
  }
  return uses;
}

async function sealedFile(name: string, path: string, place: Place): Promise<string> {
  const { refuseSecretName, refuseSecretValue } = await import('../../secrets/names.ts');
  refuseSecretName(name);
  const value = await readNamed(`--secret ${name}`, path);
  refuseSecretValue(name, value);
  return sealed(value, place);
}

/** The JSON of an auth, in base64; anything else is a file where the job runs. */
async function authOf(text: string, place: Place): Promise<RegistryAuth> {
  const plain = Buffer.from(text, 'base64');
  return isJsonObject(plain) ? { sealed: await sealed(plain, place) } : { file: text };
}

function isJsonObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

async function sealed(value: Buffer, place: Place): Promise<string> {
  const [{ seal }, { jobContext }] = await Promise.all([
    import('../../secrets/seal.ts'),
    import('../../secrets/names.ts'),
  ]);
  return seal(await publicKey(place), value, jobContext(place.fleet.project));
}

/** Of the hosts that will run it. */
async function publicKey({ box, fleet, sealingFor }: Place): Promise<string> {
  if (box !== undefined) {
    const { defaultKeyFile, ownKey, publicKeyOf } = await import('../../secrets/key-file.ts');
    return publicKeyOf(await ownKey(defaultKeyFile(box.stateDir)));
  }
  const { sealingKey } = await import('../../secrets/sealing-key.ts');
  const { store, keys, project } = fleet;
  const { publicKey, warnings } = await sealingKey(
    { store, keys: keys.project(project), project },
    await sealingFor(),
  );
  for (const warning of warnings) process.stderr.write(`Warning: ${warning}\n`);
  return publicKey;
}

async function readNamed(option: string, path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    return await readFile(path);
  } catch (error) {
    throw new GantryError('usage', `${option}: ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Check the path and the rights of the file.',
      cause: error,
    });
  }
}

async function readStdin(): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BYTES)
      throw new GantryError('config-unreadable', `the job on stdin is larger than ${MAX_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
