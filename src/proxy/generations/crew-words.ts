/** What the proxy that serves and its workers say to each other over the channel between them. Types only. */
import type { Place } from '../tables/routes.ts';
import type { Share } from './share.ts';

export type FromProxy =
  /** Comes with its listening socket, once per socket, after the table that names it is followed. */
  | ({ readonly kind: 'door' } & Pick<Place, 'address' | 'port'>)
  /** Close these now, and say `withdrawn`: something else is to be bound there. */
  | { readonly kind: 'withdraw'; readonly id: number; readonly places: readonly Place[] }
  /** So much of what a host may have is this process's. */
  | { readonly kind: 'share'; readonly share: Share }
  /** Accept nothing more, and end with the last client. */
  | { readonly kind: 'retire' };

export type FromWorker =
  /** It can be asked over its control socket. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'withdrawn'; readonly id: number }
  /** A backend that has left the table has lost its last connection here. */
  | { readonly kind: 'idle' };
