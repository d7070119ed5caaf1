/** What a proxy and its successor say to each other over the channel between them, in this order. Types only. */
import type { SavedTables } from '../tables/persist.ts';

/** From the proxy that serves. `door` comes with its listening socket, once per socket. */
export type FromElder =
  | ({ readonly kind: 'tables' } & SavedTables)
  | { readonly kind: 'door'; readonly address: string; readonly port: number }
  | { readonly kind: 'all-doors' }
  /** It accepts nothing any more, and the lock is the successor's alone. */
  | { readonly kind: 'retired' };

export type FromSuccessor =
  /** It has the tables and its control socket: nothing has changed yet. */
  | { readonly kind: 'prepared' }
  /** The control socket leads to it. */
  | { readonly kind: 'serving' };
