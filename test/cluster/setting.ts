/** What the tests on real etcd begin with: stores that close with the test, and who follows and holds. */
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import type { StoreOptions } from '../../src/cluster/options.ts';
import { type Mirror, type Session, type Store, startingWith } from '../../src/cluster/store.ts';
import { isGantryError } from '../../src/errors.ts';
import { type Cleanup, until } from '../ground/harness.ts';

export const PREFIX = '/t/';
export const ALL = startingWith(PREFIX);
/** The shortest that etcd grants. */
export const TTL_MS = 2000;
const PATIENCE_MS = 20_000;

export function opened(t: Cleanup, options: StoreOptions): Store {
  const store = openStore(options);
  t.after(() => store.close());
  return store;
}

export async function followed(store: Store): Promise<Mirror> {
  const mirror = store.follow({ range: ALL, onChange: () => {} });
  await soon('the mirror is current', () => mirror.current);
  return mirror;
}

export async function held(store: Store): Promise<Session> {
  const session = store.session({ ttlMs: TTL_MS, onChange: () => {} });
  await soon('the session is held', () => session.lease());
  return session;
}

/** Written once it is certain: an answer that was lost is asked for again. */
export async function write(store: Store, name: string, value: string): Promise<void> {
  const attempt = () =>
    store.commit([], [{ kind: 'put', key: PREFIX + name, value }]).catch((error) => {
      if (!isGantryError(error, 'cluster-unreachable')) throw error;
      return undefined;
    });
  await until(attempt, { timeoutMs: PATIENCE_MS, what: `${name} to be written` });
}

export function valueIn(mirror: Mirror, name: string): string | undefined {
  return mirror.entries.get(PREFIX + name)?.value;
}

export function soon<T>(what: string, check: () => T | Promise<T>, timeoutMs = PATIENCE_MS) {
  return until(check, { timeoutMs, what });
}

/** How long it took. */
export async function timed(run: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await run();
  return performance.now() - since;
}
