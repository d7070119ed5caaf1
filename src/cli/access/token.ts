/** `gantryd token create|list|revoke`. A token is printed when it is made, and never again. */
import { createToken, listTokens, revokeToken, type TokenRow, type Tokens } from '../../api/tokens.ts';
import { keys } from '../../cluster/keys.ts';
import { openFleetStore, prefixOf, refuseName, whoAsks } from '../etcd.ts';
import type { EtcdArguments } from '../fleet/options.ts';
import { outputOf } from '../output.ts';
import { table } from '../render.ts';
import type { NewTokenArguments, TokenArguments } from './token-options.ts';

export async function runCreate(args: NewTokenArguments): Promise<number> {
  const { name, role, project: projects } = args;
  for (const project of projects) refuseName(project);
  const made = await withTokens(args, (tokens) =>
    createToken(tokens, { name, role, projects: [...new Set(projects)], by: whoAsks() }),
  );
  outputOf(args).document(made, made.token);
  return 0;
}

export async function runList(args: EtcdArguments): Promise<number> {
  const tokens = await withTokens(args, listTokens);
  outputOf(args).document({ tokens }, tokens.length === 0 ? 'There are no tokens' : words(tokens));
  return 0;
}

export async function runRevoke(args: TokenArguments): Promise<number> {
  const revoked = await withTokens(args, (tokens) => revokeToken(tokens, args.name, whoAsks()));
  outputOf(args).document({ ...revoked, revoked: true }, `Token ${revoked.name} is revoked`);
  return 0;
}

function words(tokens: readonly TokenRow[]): string {
  const rows = tokens.map(({ name, id, role, projects, at, by }) => [
    ...[name, id, role, projects.length === 0 ? 'all' : projects.join(', ')],
    ...[at.replace(/\.\d+Z$/, 'Z'), by],
  ]);
  return table(['NAME', 'ID', 'ROLE', 'PROJECTS', 'MADE', 'BY'], rows);
}

async function withTokens<T>(args: EtcdArguments, body: (tokens: Tokens) => Promise<T>): Promise<T> {
  const prefix = prefixOf(args);
  const store = await openFleetStore(args);
  try {
    return await body({ store, keys: keys(prefix), now: Date.now });
  } finally {
    await store.close();
  }
}
