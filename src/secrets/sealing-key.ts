/**
 * The public key to seal for. Whoever can write to etcd can put his own there, so a host goes by its own key file,
 * and any other machine notices when the published one is not the one it saw last.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../durable-file.ts';
import { codeOf, GantryError } from '../errors.ts';
import { defaultKeyFile, keyIfThere, publicKeyOf, readKeyFile } from './key-file.ts';
import { publishedKey, type SecretPlace } from './secret-store.ts';

/** In the state directory: the published keys this machine has seen. */
const KNOWN_KEYS = 'known-secrets-keys.json';

export interface SealingOptions {
  /** undefined: there is none, as for an API without an agent; it goes by the published key. */
  readonly stateDir: string | undefined;
  /** Which etcd and project it is, for this machine to know again. */
  readonly at: string;
  /** The key file that was named; undefined: the one of the state directory, if there is one. */
  readonly file: string | undefined;
  /** Whatever key this machine has. */
  readonly isPublishedTrusted: boolean;
}

export interface SealingKey {
  readonly publicKey: string;
  /** Sentences. */
  readonly warnings: readonly string[];
}

/** secrets-key: there is none, or this machine holds another one than is published. */
export async function sealingKey(place: SecretPlace, options: SealingOptions): Promise<SealingKey> {
  const { stateDir, file, isPublishedTrusted } = options;
  const published = await publishedKey(place);
  const path = file ?? (stateDir === undefined ? undefined : defaultKeyFile(stateDir));
  const key =
    isPublishedTrusted || path === undefined
      ? undefined
      : await (file === undefined ? keyIfThere(path) : readKeyFile(path));
  const own = key && publicKeyOf(key);
  if (own === undefined && published === undefined) throw noKey(place.project);
  if (own !== undefined && published !== undefined && own !== published) {
    throw otherKey(place.project, path ?? '');
  }
  const unpublished = `no agent of ${place.project} has published a key yet; it is sealed for the one in ${path}`;
  if (published === undefined) return { publicKey: own ?? '', warnings: [unpublished] };
  const hasChanged = await noteKnown(options, published);
  const isOwn = own !== undefined;
  return { publicKey: published, warnings: hasChanged && !isOwn ? [changed(place.project)] : [] };
}

/** Whether another one was seen last. */
async function noteKnown({ stateDir, at }: SealingOptions, publicKey: string): Promise<boolean> {
  if (stateDir === undefined) return false;
  const path = join(stateDir, KNOWN_KEYS);
  const known = await readKnown(path);
  const before = known[at];
  if (before !== publicKey)
    await writeDurably(path, `${JSON.stringify({ ...known, [at]: publicKey }, null, 1)}\n`);
  return before !== undefined && before !== publicKey;
}

/** One that is damaged is as good as none: it only warns. */
async function readKnown(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return {};
    throw error;
  }
}

function noKey(project: string): GantryError {
  return new GantryError(
    'secrets-key',
    `No agent of ${project} has a key for secrets yet, so nothing can be sealed`,
    {
      hint: 'Make one on a host with `gantryd secret keygen`, copy it to the others, and see that an agent runs there.',
    },
  );
}

function otherKey(project: string, path: string): GantryError {
  return new GantryError(
    'secrets-key',
    `The key in etcd that secrets of ${project} are sealed for is not the one in ${path}`,
    {
      hint: 'If this machine is a host of the project, its key file is wrong or somebody replaced the one in etcd. If it is none, and you trust etcd: --published-key.',
    },
  );
}

function changed(project: string): string {
  return `the key in etcd that secrets of ${project} are sealed for is not the one this machine saw last. Whoever replaced it can read what was just set`;
}
