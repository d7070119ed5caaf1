/**
 * The secrets of a project where they are kept: sealed before they are written, listed without being opened. Needs
 * the public key alone.
 */
import { randomUUID } from 'node:crypto';
import { auditWrite, pruneAudited } from '../cluster/audit.ts';
import { lastPart, type ProjectKeys } from '../cluster/keys.ts';
import type { Entry, Store, Write } from '../cluster/store.ts';
import { FORMAT } from '../cluster/value-reader.ts';
import { didYouMean } from '../config/suggest.ts';
import { GantryError } from '../errors.ts';
import { refuseSecretName, refuseSecretValue, secretContext } from './names.ts';
import { seal } from './seal.ts';
import { readSecret, readSecretsKey, type SecretsKeyValue, type SecretValue } from './secret-values.ts';

/** Names in a message. */
const MAX_TOLD = 50;

export interface SecretPlace {
  readonly store: Store;
  readonly keys: ProjectKeys;
  readonly project: string;
  /** There is no audit on one box: each record says who asked. */
  readonly isBox?: true;
}

export interface ListedSecret {
  readonly name: string;
  readonly bytes: number;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
}

export interface NewSecret {
  readonly name: string;
  readonly value: Buffer;
  readonly publicKey: string;
  readonly by: string;
  /** Epoch milliseconds. */
  readonly now: number;
}

/** Sets it, whatever it was before. usage: a name or value that cannot be; secrets-key: no public key. */
export async function setSecret(place: SecretPlace, secret: NewSecret): Promise<void> {
  const { keys, project } = place;
  const { name, value, publicKey, by, now } = secret;
  refuseSecretName(name);
  refuseSecretValue(name, value);
  const kept: SecretValue = {
    ...{ format: FORMAT, sealed: seal(publicKey, value, secretContext(project, name)) },
    ...{ bytes: value.length, by, at: new Date(now).toISOString() },
  };
  const write = { kind: 'put', key: keys.secret(name), value: JSON.stringify(kept) } as const;
  await change(place, write, { name, action: 'secret set', by, now });
}

/** In the order of their names; one that nobody can read is left out. */
export async function listSecrets({ store, keys }: SecretPlace): Promise<readonly ListedSecret[]> {
  const { entries } = await store.list(keys.secrets());
  return entries.flatMap((entry) => listedOf(entry) ?? []);
}

function listedOf(entry: Entry): ListedSecret | undefined {
  const value = readSecret(entry);
  if (value === undefined) return undefined;
  const { bytes, by, at } = value;
  return { name: lastPart(entry.key), bytes, by, at };
}

/** secret-unknown when there is none of that name. `by`, `now`: as of NewSecret. */
export async function removeSecret(
  place: SecretPlace,
  { name, by, now }: Pick<NewSecret, 'name' | 'by' | 'now'>,
): Promise<void> {
  refuseSecretName(name);
  const { store, keys } = place;
  const key = keys.secret(name);
  if ((await store.get(key)) === undefined) throw await secretUnknown(place, [name]);
  await change(place, { kind: 'delete', key }, { name, action: 'secret rm', by, now });
}

interface Asked extends Pick<NewSecret, 'name' | 'by' | 'now'> {
  readonly action: string;
}

/** With its entry in the audit. */
async function change({ store, keys, isBox }: SecretPlace, write: Write, asked: Asked): Promise<void> {
  const { name, action, by, now: at } = asked;
  const entry = auditWrite(keys, { by, action, on: [name], at, id: randomUUID() });
  const writes = isBox === true ? [write] : [write, entry];
  await store.commit([], writes);
  // What was asked is done: that too much of the audit is left is for the next one to see to.
  await pruneAudited(store, writes).catch(() => undefined);
}

/** The public half of the hosts' key, as the first agent wrote it; undefined: none has. */
export async function publishedKey({ store, keys }: SecretPlace): Promise<string | undefined> {
  return readSecretsKey(await store.get(keys.secretsKey))?.publicKey;
}

/** Writes it where none is. Answers the one that is there then: ours, or another. */
export async function publishKey(
  place: SecretPlace,
  publicKey: string,
  by: string,
  now: number,
): Promise<string> {
  const { store, keys } = place;
  const there = await store.get(keys.secretsKey);
  const known = readSecretsKey(there)?.publicKey;
  if (known !== undefined) return known;
  const value: SecretsKeyValue = { format: FORMAT, publicKey, by, at: new Date(now).toISOString() };
  // A value that nobody can read is replaced.
  const { done } = await store.commit(
    [{ key: keys.secretsKey, modRevision: there?.modRevision ?? 0 }],
    [{ kind: 'put', key: keys.secretsKey, value: JSON.stringify(value) }],
  );
  return done ? publicKey : ((await publishedKey(place)) ?? publicKey);
}

/** Of names that were not set; tells which ones may have been meant. */
export async function secretUnknown(place: SecretPlace, names: readonly string[]): Promise<GantryError> {
  const known = (await listSecrets(place)).map(({ name }) => name);
  const told = names.map((name) => `${name}${didYouMean(name, known).replace(/^; (.*)$/, ' ($1)')}`);
  const none = names.length === 1 ? 'is no secret' : 'are no secrets';
  const hint =
    known.length === 0 ? 'No secret is set.' : `Those that are set: ${known.slice(0, MAX_TOLD).join(', ')}.`;
  return new GantryError('secret-unknown', `There ${none} ${told.join(', ')}`, {
    hint: `${hint} \`secret set\` sets one.`,
  });
}
