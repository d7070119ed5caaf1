/**
 * The hosts' key as a file: the private half as PEM (PKCS8), which nobody but its owner may read. A key that others
 * could have read is refused rather than used.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { constants, type FileHandle, link, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  makeFolder,
  removeIfThere,
  stateWriteError,
  syncFolder,
  temporaryPath,
  writeSynced,
} from '../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../errors.ts';
import { publicKeyText } from './seal.ts';

/** In the state directory. */
export const KEY_FILE = 'secrets.key';
/** A PEM of an X25519 key has 119. */
const MAX_BYTES = 4096;

export function defaultKeyFile(stateDir: string): string {
  return join(stateDir, KEY_FILE);
}

/** Makes a key, mode 0600, and answers it. secrets-key when there is a file already: never overwrites. state-write. */
export async function makeKeyFile(path: string): Promise<KeyObject> {
  if (await offer(path)) return readKeyFile(path);
  throw new GantryError('secrets-key', `There is a file already at ${path}, and it is not overwritten`, {
    hint: 'What was sealed for a key that is gone cannot be opened any more. Name another file, or move this one away.',
  });
}

/** The key of one box, made when it is first needed. Several may ask at once: all get the same. */
export async function ownKey(path: string): Promise<KeyObject> {
  const known = await keyIfThere(path);
  if (known !== undefined) return known;
  await offer(path);
  return readKeyFile(path);
}

/** secrets-key: missing, readable by others, of another user, or no key. */
export async function readKeyFile(path: string): Promise<KeyObject> {
  const key = await keyIfThere(path);
  if (key !== undefined) return key;
  throw new GantryError('secrets-key', `The key for the secrets is missing: there is no ${path}`, {
    hint: 'Copy it from another host of the fleet; for the first one make it: gantryd secret keygen.',
  });
}

/** undefined: there is no such file. */
export async function keyIfThere(path: string): Promise<KeyObject | undefined> {
  const file = await opened(path);
  if (file === undefined) return undefined;
  try {
    await refuseUnsafe(file, path);
    return parsed(await file.readFile('utf8'), path);
  } finally {
    await file.close();
  }
}

/** The text form that seal takes. */
export function publicKeyOf(key: KeyObject): string {
  return publicKeyText(key);
}

/** Whether it is ours that is there now. The first link wins. */
async function offer(path: string): Promise<boolean> {
  const { privateKey } = generateKeyPairSync('x25519');
  const temporary = temporaryPath(path);
  try {
    await makeFolder(dirname(path));
    await writeSynced(temporary, privateKey.export({ format: 'pem', type: 'pkcs8' }) as string);
    await link(temporary, path);
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw stateWriteError(path, error);
  } finally {
    await removeIfThere(temporary);
  }
}

async function opened(path: string): Promise<FileHandle | undefined> {
  try {
    // Not blocking: opening a pipe would wait for its writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new GantryError('secrets-key', `The key for the secrets cannot be read: ${messageOf(error)}`, {
      hint: 'Run gantryd as the owner of the file.',
      cause: error,
    });
  }
}

async function refuseUnsafe(file: FileHandle, path: string): Promise<void> {
  const stat = await file.stat();
  const own = process.getuid?.() ?? 0;
  if (!stat.isFile() || stat.size > MAX_BYTES) throw noKey(path);
  if (stat.uid !== 0 && stat.uid !== own) {
    throw new GantryError(
      'secrets-key',
      `The key ${path} belongs to user ${stat.uid}, who can read and replace it`,
      {
        hint: `Run: chown ${own} ${path}`,
      },
    );
  }
  if ((stat.mode & 0o077) === 0) return;
  const octal = (stat.mode & 0o7777).toString(8).padStart(4, '0');
  throw new GantryError('secrets-key', `The key ${path} can be read or written by others (mode ${octal})`, {
    hint: `Run: chmod 600 ${path}`,
  });
}

function parsed(text: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (cause) {
    throw noKey(path, cause);
  }
  if (key.asymmetricKeyType !== 'x25519') throw noKey(path);
  return key;
}

function noKey(path: string, cause?: unknown): GantryError {
  return new GantryError('secrets-key', `${path} does not hold a key for secrets (X25519, PEM)`, {
    hint: 'Restore it from another host. `gantryd secret keygen` makes a new one, which opens nothing that was sealed for the old one.',
    cause,
  });
}
