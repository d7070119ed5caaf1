/**
 * What is said over the proxy's control socket (HTTP + JSON over a unix socket, mode 0600).
 * Types only; control.ts answers, client.ts asks. A change here that an older proxy would not
 * understand raises PROTOCOL_VERSION.
 */
import type { ErrorCode } from '../errors.ts';
import type { RouteTable } from './routes.ts';

/** 2: routes `via` a component, backends with a `port`. */
export const PROTOCOL_VERSION = 2;

/** File names inside the state directory. */
export const PROXY_SOCKET = 'proxy.sock';
export const PROXY_LOCK = 'proxy.lock';
export const PROXY_TABLES = 'proxy-tables.json';
export const PROXY_LOG = 'proxy.log';

/** GET /v1/owners/{owner}; PUT /v1/owners/{owner} answers the same. Revision 0: the owner has no table yet. */
export interface OwnedTable {
  readonly owner: string;
  readonly revision: number;
  readonly table: RouteTable;
}

/**
 * PUT /v1/owners/{owner}. Applied only if the owner's revision is still `ifRevision` (else 409 route-conflict).
 * All new listeners are bound before anything changes, but for one at another address of a port that the old table
 * has: there the old one must close first, and comes back when it fails. A port that cannot be bound leaves the old
 * table in force (409 port-taken, naming the owner or the foreign process). An empty table forgets the owner.
 * `dryRun`: bind, unbind, answer as if; nothing changes.
 */
export interface PutTable {
  readonly ifRevision: number;
  readonly table: RouteTable;
  readonly dryRun?: boolean;
}

export interface Peer {
  /** Address and port of the client. */
  readonly client: string;
  readonly kind: 'request' | 'upgraded' | 'tcp';
  readonly ageMs: number;
  /** Bytes both ways since the connection (tcp, upgraded) or request began. */
  readonly bytes: number;
  /** Since the last byte either way. */
  readonly idleMs: number;
}

/** What holds a container. `open` = inFlight + upgraded + tcp: exactly what a drain waits for. */
export interface BackendReport {
  readonly owner: string;
  /** Whose backend it is, also where links lead to it: it is reported once, with all that it carries. */
  readonly component: string;
  readonly id: string;
  /** Whether the present table sends it new work. */
  readonly routed: boolean;
  readonly open: number;
  readonly inFlight: number;
  readonly upgraded: number;
  readonly tcp: number;
  /** Age of the oldest of `open`; 0 when there is none. */
  readonly oldestMs: number;
  /** At most 20, the oldest first. */
  readonly peers: readonly Peer[];
}

/** GET /v1/status[?owner=X] */
export interface ProxyStatus {
  readonly protocol: number;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly owners: readonly OwnedTable[];
  readonly listeners: readonly {
    readonly owner: string;
    readonly component: string;
    readonly address: string;
    readonly port: number;
    readonly kind: 'http' | 'tcp';
    readonly connections: number;
  }[];
  /** Every backend that is routed or still held by a connection. */
  readonly backends: readonly BackendReport[];
  /** Set when the last write of the tables failed: they live in memory only until it succeeds. */
  readonly persistError?: string;
  /** Set once it has been asked to stop: it accepts nothing new and ends with its last connection. */
  readonly stopping?: boolean;
}

/**
 * GET /v1/owners/{owner}/changes: newline-delimited JSON, one line when the owner's table changes or one of
 * its unrouted backends loses its last connection, and an empty line every 15 s. A poke, not a source of truth.
 */
export interface Change {
  readonly kind: 'table' | 'idle';
  readonly backend?: string;
}

/** POST /v1/stop: without force refused (409 proxy-failed) while any backend is held; idle clients do not count. */
export interface StopRequest {
  readonly force: boolean;
}

/** Body of every answer >= 400. */
export interface ProxyProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable?: boolean;
  readonly hint?: string;
}
