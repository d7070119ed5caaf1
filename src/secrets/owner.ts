/** Whom the processes of a container run as, told from what Docker is told and the accounts of its image. */
import type { Readable } from 'node:stream';
import { GantryError, isGantryError } from '../errors.ts';
import type { Owner } from './secrets.ts';

export const ROOT: Owner = { uid: 0, gid: 0 };

const NUMBER = /^[0-9]{1,10}$/;
/** Of a file with accounts. */
const MAX_BYTES = 1024 * 1024;

/**
 * The owner that `user` (`''`, `UID`, `UID:GID`, `NAME`, `NAME:GROUP`) means. `passwd`, `group`: the image's files of
 * those names, as far as it has them. host-unfit: a name that they do not have. Pure.
 */
export function ownerOf(user: string | undefined, passwd: string | undefined, group?: string): Owner {
  const [name = '', groupName] = (user ?? '').split(':');
  if (name === '') return ROOT;
  const account = accountOf(name, passwd);
  const uid = NUMBER.test(name) ? Number(name) : account?.uid;
  if (uid === undefined) throw unknown('user', name, '/etc/passwd', passwd);
  if (groupName === undefined || groupName === '') return { uid, gid: account?.gid ?? 0 };
  const gid = NUMBER.test(groupName) ? Number(groupName) : groupIdOf(groupName, group);
  if (gid === undefined) throw unknown('group', groupName, '/etc/group', group);
  return { uid, gid };
}

/** As ownerOf, reading what it takes out of the container. `readFile`: as JobEngine's. */
export async function findOwner(
  user: string | undefined,
  readFile: (path: string) => Promise<Readable>,
): Promise<Owner> {
  const [name = '', group = ''] = (user ?? '').split(':');
  const passwd = name === '' || NUMBER.test(name) ? undefined : await textOf('/etc/passwd', readFile);
  const groups = group === '' || NUMBER.test(group) ? undefined : await textOf('/etc/group', readFile);
  return ownerOf(user, passwd, groups);
}

async function textOf(
  path: string,
  readFile: (path: string) => Promise<Readable>,
): Promise<string | undefined> {
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of await readFile(path)) {
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_BYTES) throw tooLarge(path);
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    if (isGantryError(error, 'file-missing')) return undefined;
    throw error;
  }
}

/** passwd(5): name:password:UID:GID:… */
function accountOf(name: string, passwd = ''): Owner | undefined {
  const fields = lineOf(name, passwd);
  const [, , uid = '', gid = ''] = fields ?? [];
  return NUMBER.test(uid) && NUMBER.test(gid) ? { uid: Number(uid), gid: Number(gid) } : undefined;
}

/** group(5): name:password:GID:… */
function groupIdOf(name: string, group = ''): number | undefined {
  const gid = lineOf(name, group)?.[2] ?? '';
  return NUMBER.test(gid) ? Number(gid) : undefined;
}

function lineOf(name: string, file: string): readonly string[] | undefined {
  return file
    .split('\n')
    .map((line) => line.replace(/\r$/, '').split(':'))
    .find(([first]) => first === name);
}

function unknown(what: string, name: string, path: string, text: string | undefined): GantryError {
  const why = text === undefined ? `the image has no ${path}` : `${path} of the image does not have it`;
  return new GantryError('host-unfit', `Secrets cannot be given to the ${what} ${name}: ${why}`, {
    hint: 'Name the user by number, as `1000` or `1000:1000`, or add it to the image.',
  });
}

function tooLarge(path: string): GantryError {
  return new GantryError('host-unfit', `${path} of the image is larger than ${MAX_BYTES} bytes`, {
    hint: 'Name the user by number, as `1000:1000`.',
  });
}
