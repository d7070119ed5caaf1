/**
 * Secrets as containers get them: what came with a job is opened as it is, the others are fetched from the store,
 * kept on this host as they were (sealed), and opened. Values stay in memory.
 */
import type { KeyObject } from 'node:crypto';
import type { SecretUse } from '../config/job.ts';
import { GantryError, isGantryError } from '../errors.ts';
import { jobContext, refuseSecretName, secretContext } from './names.ts';
import { open } from './seal.ts';
import { SealedCopies } from './sealed-copies.ts';
import { type SecretPlace, secretUnknown } from './secret-store.ts';
import { readSecret, type SecretValue } from './secret-values.ts';
import type { Secrets } from './secrets.ts';

export interface OpenedInput extends SecretPlace {
  /** Read at each use. secrets-key. */
  readonly key: () => Promise<KeyObject>;
  readonly stateDir: string;
  /** What jobs seal their own values for. Default: `project`. */
  readonly jobsOf?: string;
}

/** Secrets that a release was prepared with, for as long as it runs. */
export interface LastingSecrets extends Secrets {
  /** Fetches what is to last, as the store has it now. As `values`, but while the store is away cluster-unreachable. */
  renew(names: readonly string[]): Promise<void>;
  /** As `values`, from what was fetched last, if anything was: asks the store for the rest alone. */
  lasting(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;
}

type Fetch = (name: string) => Promise<SecretValue | undefined>;

export function openSecrets(input: OpenedInput): LastingSecrets {
  const { project, store, keys, stateDir, jobsOf = project } = input;
  const copies = new SealedCopies(stateDir, project);

  return {
    values: (uses) => openAll(uses, fromStoreOrCopy),

    async auth({ sealed }) {
      return authOf(open(await input.key(), sealed, jobContext(jobsOf)));
    },

    async renew(names) {
      await openAll(
        names.map((name) => ({ name })),
        fromStore,
      );
    },

    async lasting(names) {
      const kept = new Map<string, Buffer>();
      for (const name of names) {
        const value = await fromCopy(name);
        if (value !== undefined) kept.set(name, value);
      }
      const missing = names.filter((name) => !kept.has(name));
      const fetched = await openAll(
        missing.map((name) => ({ name })),
        fromStoreOrCopy,
      );
      return new Map([...kept, ...fetched]);
    },
  };

  async function openAll(uses: readonly SecretUse[], fetch: Fetch): Promise<ReadonlyMap<string, Buffer>> {
    if (uses.length === 0) return new Map();
    const stored = uses.filter((use) => use.sealed === undefined).map(({ name }) => name);
    const fetched = await fetchAll(stored, fetch);
    const key = await input.key();
    const values = new Map(uses.map((use) => [use.name, opened(key, use, fetched)]));
    // Only now: what cannot be opened must not take the place of what could.
    for (const [name, value] of fetched) await copies.write(name, value);
    return values;
  }

  function opened(key: KeyObject, use: SecretUse, fetched: ReadonlyMap<string, SecretValue>): Buffer {
    if (use.sealed !== undefined) return open(key, use.sealed, jobContext(jobsOf));
    return open(key, fetched.get(use.name)?.sealed ?? '', secretContext(project, use.name));
  }

  async function fetchAll(names: readonly string[], fetch: Fetch): Promise<ReadonlyMap<string, SecretValue>> {
    names.forEach(refuseSecretName);
    const found = await Promise.all(names.map(async (name) => [name, await fetch(name)] as const));
    const unknown = found.filter(([, value]) => value === undefined).map(([name]) => name);
    if (unknown.length > 0) throw await secretUnknown(input, unknown);
    return new Map(found.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  }

  async function fromStore(name: string): Promise<SecretValue | undefined> {
    return readSecret(await store.get(keys.secret(name)));
  }

  /** While the store is away what it said last holds. */
  async function fromStoreOrCopy(name: string): Promise<SecretValue | undefined> {
    try {
      return await fromStore(name);
    } catch (error) {
      const kept = isGantryError(error, 'cluster-unreachable') ? await copies.read(name) : undefined;
      if (kept === undefined) throw error;
      return kept;
    }
  }

  /** A copy that this key does not open is of no use: the store may have a newer one. */
  async function fromCopy(name: string): Promise<Buffer | undefined> {
    const kept = await copies.read(name);
    if (kept === undefined) return undefined;
    const key = await input.key();
    try {
      return open(key, kept.sealed, secretContext(project, name));
    } catch (error) {
      if (!isGantryError(error, 'secrets-key')) throw error;
      return undefined;
    }
  }
}

function authOf(plain: Buffer): Readonly<Record<string, string>> {
  const value = parsed(plain.toString('utf8'));
  const isAuth =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((part) => typeof part === 'string');
  if (isAuth) return value as Readonly<Record<string, string>>;
  // Not a word of what it is: it may hold a password.
  throw new GantryError(
    'secrets-key',
    'The registry auth that came with the job is not the JSON of an auth',
    {
      hint: 'It is an object of texts, as {"username": …, "password": …}.',
    },
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
