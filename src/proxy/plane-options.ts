/** What a data plane is made with, and whom it shares its sockets with. */
import type { Log } from '../log.ts';
import type { HttpPath } from './http/http.ts';
import type { KernelEvents, KernelPlane } from './kernel/plane.ts';
import type { Place } from './tables/routes.ts';

export interface ProxyOptions {
  readonly tablesPath: string;
  readonly log: Log;
  /** Called with the first port that is led by the kernel. */
  readonly openKernel: (events: KernelEvents) => Promise<KernelPlane>;
  /** For comparing the two: fast unless said otherwise. */
  readonly httpPath?: HttpPath;
}

/** Other processes that listen on the same sockets. */
export interface Sharing {
  /** Who is not accepted by any of us would wait for ever, as long as one of them listens. */
  readonly mayListen: boolean;
  /** Resolves when they have closed these, or do not answer. */
  withdraw(places: readonly Place[]): Promise<void>;
}

export const ALONE: Sharing = { mayListen: false, withdraw: async () => {} };
