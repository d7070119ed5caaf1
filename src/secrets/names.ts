/** What a secret may be called, how large it may be, and what it is sealed for. Pure. */
import { GantryError } from '../errors.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

/** Of a value; sealed and as text it still fits well into one value of etcd. */
export const MAX_SECRET_BYTES = 512 * 1024;

/** usage */
export function refuseSecretName(name: string): void {
  if (NAME.test(name)) return;
  throw new GantryError('usage', `${JSON.stringify(name)} cannot be the name of a secret`, {
    hint: 'It begins with a letter or digit, goes on with letters, digits, `_`, `.` or `-`, and has 63 characters at most.',
  });
}

/** usage: empty, or larger than it may be. */
export function refuseSecretValue(name: string, value: Buffer): void {
  if (value.length === 0) {
    throw new GantryError('usage', `The value of the secret ${name} is empty`, {
      hint: 'Pipe it in, or name a file with --file.',
    });
  }
  if (value.length <= MAX_SECRET_BYTES) return;
  throw new GantryError('usage', `The value of the secret ${name} is larger than ${MAX_SECRET_BYTES} bytes`, {
    hint: 'Keep what is large elsewhere, and the key to it here.',
  });
}

/** Of a secret in the store. No part holds a slash, so no two are the same. */
export function secretContext(project: string, name: string): string {
  return `${project}/${name}`;
}

/** Of values that come with a job of the project. */
export function jobContext(project: string): string {
  return `${project}/job`;
}
