/** The tokens of the API in etcd: made, listed and revoked. A token itself is known to whoever made it, and to nobody else. */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { pruneAudited, tokenAuditWrite } from '../cluster/audit.ts';
import type { Keys } from '../cluster/keys.ts';
import type { Store, Write } from '../cluster/store.ts';
import { FORMAT, type Role, readToken, type TokenValue } from '../cluster/values.ts';
import { didYouMean } from '../config/suggest.ts';
import { GantryError } from '../errors.ts';

const SECRET_BYTES = 32;
const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const ID_LENGTH = 12;
export const TOKEN_NAME = '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$';

export interface Tokens {
  readonly store: Store;
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface NewToken {
  readonly name: string;
  readonly role: Role;
  /** []: all. */
  readonly projects: readonly string[];
  readonly by: string;
}

/** All that is ever told of a token that exists. */
export type TokenRow = Omit<TokenValue, 'format' | 'hash'>;

export interface MadeToken extends TokenRow {
  /** `gantryd_ID_SECRET`: it cannot be shown again. */
  readonly token: string;
}

/** usage for a name that cannot be one, token-taken for one that is there. */
export async function createToken(tokens: Tokens, asked: NewToken): Promise<MadeToken> {
  refuseTokenName(asked.name);
  const { store, keys, now } = tokens;
  if ((await listTokens(tokens)).some(({ name }) => name === asked.name)) throw taken(asked.name);
  const id = Array.from({ length: ID_LENGTH }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('');
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const { name, role, projects, by } = asked;
  const row: TokenRow = { id, name, role, projects, by, at: new Date(now()).toISOString() };
  const value: TokenValue = { format: FORMAT, ...row, hash: hashOf(secret) };
  const key = keys.token(id);
  const writes = [{ kind: 'put', key, value: JSON.stringify(value) } as const, noted(tokens, row, by)];
  const { done } = await store.commit([{ key, modRevision: 0 }], writes);
  if (!done)
    throw new GantryError('token-taken', `a token ${id} was made at the same time`, { retryable: true });
  await pruned(store, writes);
  return { ...row, token: `gantryd_${id}_${secret}` };
}

/** By name. */
export async function listTokens({ store, keys }: Tokens): Promise<readonly TokenRow[]> {
  const { entries } = await store.list(keys.tokens());
  const rows = entries.flatMap((entry) => {
    const value = readToken(entry);
    if (value === undefined) return [];
    const { format: _, hash: __, ...row } = value;
    return [row];
  });
  return rows.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name or id. token-unknown; usage where two were made by one name at the same time. */
export async function revokeToken(tokens: Tokens, asked: string, by: string): Promise<TokenRow> {
  const rows = await listTokens(tokens);
  const [row, ...more] = rows.filter(({ id, name }) => name === asked || id === asked);
  if (row === undefined) throw tokenUnknown(asked, rows);
  if (more.length > 0)
    throw new GantryError('usage', `${more.length + 1} tokens are called ${asked}`, {
      hint: `Name one by its id: ${[row, ...more].map(({ id }) => id).join(', ')}.`,
    });
  const key = tokens.keys.token(row.id);
  const writes = [{ kind: 'delete', key } as const, noted(tokens, row, by, 'token revoke')];
  await tokens.store.commit([], writes);
  await pruned(tokens.store, writes);
  return row;
}

/** Who made or revoked it, in the transaction that does. */
function noted({ keys, now }: Tokens, row: TokenRow, by: string, action = 'token create'): Write {
  const { id, name, role, projects } = row;
  const detail = `${role}, ${projects.length === 0 ? 'all projects' : projects.join(', ')}`;
  return tokenAuditWrite(keys, { by, action, on: [name], detail, at: now(), id });
}

/** What was asked is done: that too much of the audit is left is for the next one to see to. */
function pruned(store: Store, writes: readonly Write[]): Promise<void> {
  return pruneAudited(store, writes).catch(() => undefined);
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function refuseTokenName(name: string): void {
  if (new RegExp(TOKEN_NAME).test(name)) return;
  throw new GantryError('usage', `${JSON.stringify(name)} cannot be the name of a token`, {
    hint: 'It begins with a letter or digit and goes on with letters, digits, `_`, `.` or `-`.',
  });
}

function taken(name: string): GantryError {
  return new GantryError('token-taken', `there is a token ${name} already`, {
    hint: `gantryd token revoke ${name} takes it back.`,
  });
}

function tokenUnknown(asked: string, rows: readonly TokenRow[]): GantryError {
  const names = rows.map(({ name }) => name);
  return new GantryError('token-unknown', `there is no token ${asked}${didYouMean(asked, names)}`, {
    hint: names.length === 0 ? 'There are none at all.' : 'gantryd token list shows those there are.',
  });
}
