/** Where commands about jobs look and write: a project in etcd, or the file store of one box. */
import type { Keys } from '../cluster/keys.ts';
import type { Store } from '../cluster/store.ts';

export interface JobFleet {
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  /** Who asks, as `user@machine`. */
  readonly by: string;
  /** There is no audit on one box: each record says who asked. */
  readonly isBox?: true;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
