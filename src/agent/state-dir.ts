/**
 * The state directory: where it is, that it can be used and trusted, and the id of this host. What the
 * files in it mean is their writers' business.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, link, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  makeFolder,
  removeAbandoned,
  removeIfThere,
  stateWriteError,
  syncFolder,
  temporaryPath,
  writeSynced,
} from '../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../errors.ts';
import { PROXY_SOCKET } from '../proxy/control/protocol.ts';
import { defaultStateDir } from './state-path.ts';

export interface StateDir {
  /** Absolute. */
  readonly path: string;
  /** Random, made with the directory, the same ever after. */
  readonly hostId: string;
}

const HOST_ID = 'host-id';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** unix(7): sun_path holds 108 bytes, the last one a NUL. */
const SOCKET_PATH_BYTES = 107;

const CHOOSE = 'choose another folder with --state-dir or GANTRYD_STATE_DIR';

/**
 * Opens the directory, made with mode 0700 where it is missing. Throws state-dir when it cannot be written to,
 * others may write to it, or its path is too long for a socket; state-write when the disk is full.
 */
export async function openStateDir(path: string = defaultStateDir()): Promise<StateDir> {
  const folder = resolve(path);
  refuseLong(folder);
  await make(folder);
  await refuseUnsafe(folder);
  await removeAbandoned(folder);
  return { path: folder, hostId: await hostIdIn(folder) };
}

function refuseLong(folder: string): void {
  const bytes = Buffer.byteLength(join(folder, PROXY_SOCKET));
  if (bytes <= SOCKET_PATH_BYTES) return;
  const over = bytes - SOCKET_PATH_BYTES;
  throw new GantryError(
    'state-dir',
    `the state directory's path is ${over} bytes too long for a socket in it: ${folder}`,
    { hint: `${CHOOSE}, with a path of at most ${SOCKET_PATH_BYTES - PROXY_SOCKET.length - 1} bytes` },
  );
}

async function make(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOSPC') throw stateWriteError(folder, error);
    const notFolder = ['EEXIST', 'ENOTDIR'].includes(codeOf(error));
    const why = notFolder ? 'it, or a folder above it, is a file' : messageOf(error);
    throw refusal(`cannot make the state directory ${folder}: ${why}`, CHOOSE, error);
  }
}

/** Whoever can write here can have gantryd start containers and take over its sockets. */
async function refuseUnsafe(folder: string): Promise<void> {
  const { uid, mode } = await stat(folder);
  const others = mode & 0o022;
  const foreign = uid !== ownUid();
  if ((foreign && others !== 0) || (mode & 0o002) !== 0) {
    const owner = foreign ? `belongs to user ${uid} and ` : '';
    const octal = (mode & 0o7777).toString(8).padStart(4, '0');
    const what = `the state directory ${folder} ${owner}can be written to by others (mode ${octal})`;
    throw refusal(what, foreign ? CHOOSE : `run: chmod go-w ${folder}`);
  }
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw refusal(`cannot write to the state directory ${folder}: ${messageOf(error)}`, CHOOSE, error);
  }
}

async function hostIdIn(folder: string): Promise<string> {
  const path = join(folder, HOST_ID);
  const known = await readHostId(path);
  if (known !== undefined) return known;
  await offerHostId(folder, path);
  const agreed = await readHostId(path);
  if (agreed === undefined) throw refusal(`${path} vanished while it was made`, 'try again');
  return agreed;
}

/** Several may offer at once: the first link wins, and everybody reads the winner's. */
async function offerHostId(folder: string, path: string): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await writeSynced(temporary, `${randomUUID()}\n`);
    await link(temporary, path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    await syncFolder(folder);
  } catch (error) {
    throw stateWriteError(path, error);
  } finally {
    await removeIfThere(temporary);
  }
}

async function readHostId(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw refusal(`cannot read ${path}: ${messageOf(error)}`, CHOOSE, error);
  }
  const id = text.trim();
  if (UUID.test(id)) return id;
  throw refusal(
    `${path} does not hold a host id`,
    'restore it, or remove it for a new id; containers made under the old one are then not known as ours',
  );
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

function refusal(message: string, hint: string, cause?: unknown): GantryError {
  return new GantryError('state-dir', message, { hint, cause });
}
