/**
 * The files that containers find under /run/secrets: on this host each is a file of its own on a tmpfs, in a folder
 * that root alone can enter, so that values reach no disk. They go with the container, and with the machine's memory.
 */
import { createHash, randomBytes } from 'node:crypto';
import { lstat, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { makeFolder, stateWriteError } from '../durable-file.ts';
import { codeOf, GantryError, isGantryError, messageOf } from '../errors.ts';
import { refuseSecretName } from './names.ts';
import { type Owner, SECRETS_FOLDER, type SecretFiles } from './secrets.ts';

/** Names a folder on a tmpfs for the files, where the usual one is none. */
export const SECRETS_DIR_VARIABLE = 'GANTRYD_SECRETS_DIR';

/** Far more than it takes from the files of a container to the container: `sparedMs` of who lets others work meanwhile. */
export const SPARED_MS = 60_000;

/** statfs(2) */
const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;

export interface MountedInput {
  /** Path of the state directory. */
  readonly stateDir: string;
  /** Whose containers they are, as `jobs/shop`: keepOnly looks at no others. */
  readonly scope: string;
  /**
   * keepOnly leaves what was placed so recently: somebody may be about to create its container. Default: 0, for who
   * keeps others out meanwhile.
   */
  readonly sparedMs?: number;
  /** The folder for all files of this machine. Default: defaultSecretsFolder(). */
  readonly folder?: string;
}

export interface MountedSecrets extends SecretFiles {
  /** The containers that have files. */
  containers(): Promise<readonly string[]>;
}

/** host-unfit, of place alone: the folder is no tmpfs, is not only ours, or the files cannot be given to the owner. */
export function mountedSecrets({ stateDir, scope, folder, sparedMs = 0 }: MountedInput): MountedSecrets {
  const own = createHash('sha256').update(stateDir).digest('hex').slice(0, 12);
  const scopeIn = (base: string) => join(base, own, scope);
  /** undefined: nothing there is ours. What others could have put there must not lead a removal elsewhere. */
  const there = async () => {
    const base = folder ?? folderIfAny();
    return base !== undefined && (await isOurs(base)) ? scopeIn(base) : undefined;
  };

  return {
    async place(container, values, owner) {
      if (values.size === 0) return [];
      [...values.keys()].forEach(refuseSecretName);
      const base = folder ?? defaultSecretsFolder();
      await prepareBase(base);
      const target = join(scopeIn(base), container);
      await makeFolder(target).catch((error: unknown) => {
        throw stateWriteError(target, error);
      });
      for (const [name, value] of values) await writeSecret(join(target, name), value, owner);
      return [...values.keys()].map((name) => `${join(target, name)}:${SECRETS_FOLDER}/${name}:ro`);
    },

    containers: async () => namesIn(await there()),

    async remove(container) {
      const parent = await there();
      if (parent !== undefined) await removeFolder(join(parent, container));
    },

    async keepOnly(containers) {
      const parent = await there();
      const gone = (await namesIn(parent)).filter((name) => !containers.includes(name));
      for (const name of gone) {
        if (parent !== undefined && (await ageOf(join(parent, name))) >= sparedMs) await this.remove(name);
      }
    },
  };
}

/** /run/gantryd/secrets for root, else one in the user's own runtime folder; GANTRYD_SECRETS_DIR wins. */
export function defaultSecretsFolder(
  uid: number = process.getuid?.() ?? 0,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const chosen = env[SECRETS_DIR_VARIABLE];
  if (chosen) {
    if (isAbsolute(chosen) && !chosen.includes(':')) return chosen;
    throw unfit(`${SECRETS_DIR_VARIABLE} is to be an absolute path without colons, not ${chosen}`);
  }
  if (uid === 0) return '/run/gantryd/secrets';
  const runtime = env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && isAbsolute(runtime)) return join(runtime, 'gantryd', 'secrets');
  throw unfit('There is no folder in memory for the files of secrets: XDG_RUNTIME_DIR is not set');
}

/** host-unfit when files could not be placed. */
export async function checkSecretsFolder(): Promise<void> {
  await prepareBase(defaultSecretsFolder());
}

function folderIfAny(): string | undefined {
  try {
    return defaultSecretsFolder();
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return undefined;
  }
}

async function prepareBase(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
    const { type } = await statfs(folder);
    if (type !== TMPFS && type !== RAMFS) {
      throw unfit(`Secrets are not written to a disk, and ${folder} is not in memory (no tmpfs)`);
    }
    if (!(await isOurs(folder))) {
      throw unfit(`The folder ${folder} belongs to another user, or others may enter it`);
    }
  } catch (error) {
    if (isGantryError(error)) throw error;
    throw unfit(`The folder ${folder} for the files of secrets cannot be used: ${messageOf(error)}`, error);
  }
}

/** And nobody else may enter it. */
async function isOurs(folder: string): Promise<boolean> {
  try {
    const seen = await lstat(folder);
    return seen.isDirectory() && seen.uid === (process.getuid?.() ?? 0) && (seen.mode & 0o077) === 0;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw stateWriteError(folder, error);
  }
}

/** A new file each time: one that is there may be in use by a container. */
async function writeSecret(path: string, value: Buffer, owner: Owner): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o400);
    try {
      await file.writeFile(value);
      await give(file, owner);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw isGantryError(error) ? error : stateWriteError(path, error);
  }
}

/** Without being root, files can be given to nobody. With a rootless engine its root is this user. */
async function give(file: { chown(uid: number, gid: number): Promise<void> }, owner: Owner): Promise<void> {
  const own = process.getuid?.() ?? 0;
  if (own === 0) return file.chown(owner.uid, owner.gid);
  if (owner.uid === 0 || owner.uid === own) return;
  throw unfit(
    `Only root can give secrets to user ${owner.uid} of a container, and gantryd runs as user ${own}`,
  );
}

async function namesIn(folder: string | undefined): Promise<readonly string[]> {
  if (folder === undefined) return [];
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw stateWriteError(folder, error);
  }
}

/** Milliseconds since files were placed in it, by the clock that stamped them. */
async function ageOf(folder: string): Promise<number> {
  try {
    return Date.now() - (await lstat(folder)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw stateWriteError(folder, error);
  }
}

async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch((error: unknown) => {
    throw stateWriteError(folder, error);
  });
}

function unfit(message: string, cause?: unknown): GantryError {
  return new GantryError('host-unfit', message, {
    hint: `Name a folder of your own on a tmpfs with ${SECRETS_DIR_VARIABLE}, as /dev/shm/gantryd.`,
    cause,
  });
}
