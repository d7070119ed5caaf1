/**
 * What is said over the proxy's control socket (HTTP + JSON over a unix socket, mode 0600).
 * Types only; control.ts answers, client.ts asks. A change here that an older proxy would not
 * understand raises PROTOCOL_VERSION.
 */
import type { ErrorCode } from '../../errors.ts';
import type { RouteKind, RouteTable } from '../tables/routes.ts';

/**
 * 2: routes `via` a component, backends with a `port`. 3: generations, holds, `hold`, `leave` and `canary` of a route.
 * 4: `plane` and kind `udp` of a listener, `pid` of a backend, `workers` of limits.
 */
export const PROTOCOL_VERSION = 4;
/** The first that hands its sockets over to a newer proxy. */
export const UPGRADABLE_SINCE = 3;

/** File names inside the state directory. PROXY_SOCKET leads to the own socket of the process that serves. */
export const PROXY_SOCKET = 'proxy.sock';
export const PROXY_LOCK = 'proxy.lock';
export const PROXY_TABLES = 'proxy-tables.json';
export const PROXY_LOG = 'proxy.log';

/** Of a proxy process's own control socket; an older generation is found by it. */
export function generationSocket(pid: number): string {
  return `proxy-${pid}.sock`;
}

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
  readonly kind: 'request' | 'upgraded' | 'tcp' | 'udp';
  /** Of what the kernel carries: since it was first seen. */
  readonly ageMs: number;
  /** Bytes both ways since the connection (tcp, upgraded) or request began; 0 where the kernel does not count them. */
  readonly bytes: number;
  /** Since the last byte either way. */
  readonly idleMs: number;
}

/** What holds a container. `open` = inFlight + upgraded + tcp + udp: exactly what a drain waits for. */
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
  /** Absent: 0. */
  readonly udp?: number;
  /** Of `open`, what the kernel carries: it goes on when no proxy is there. Absent: 0. */
  readonly kernel?: number;
  /** The process that its table names has ended, so that the kernel leads nobody there. */
  readonly gone?: boolean;
  /** Age of the oldest of `open`; 0 when there is none. */
  readonly oldestMs: number;
  /** At most 20, the oldest first. */
  readonly peers: readonly Peer[];
  /** Only of a route with a canary: what was answered since the canary's id was first seen. */
  readonly answers?: AnswerCounts;
}

/** Work on one backend. */
export type OpenCount = Pick<BackendReport, 'owner' | 'component' | 'id' | 'open'>;

/** Of http requests that a backend answered, could not be given, or broke off; not of those whose client left first. */
export interface AnswerCounts {
  readonly requests: number;
  /** Answered with a status of 500 or above, or not at all. */
  readonly errors: number;
  /** How many took how long to the first byte of an answer; bounds are in latency.ts. Adds up over processes. */
  readonly latency: readonly number[];
}

/** A proxy process that has handed its sockets over: it carries what it has, accepts nothing, and follows all routes. */
export interface OlderGeneration {
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  /** Client connections, idle ones included; it ends with the last. */
  readonly connections: number;
  /** Work under way; part of the counts of the backends. */
  readonly open: number;
  /** It does not answer: its counts are from before, and every backend it could still use counts as held. */
  readonly silent?: boolean;
}

/** A proxy process that accepts clients on the listening sockets of the one that serves, which is one itself. */
export type WorkerReport = OlderGeneration;

export interface ListenerReport {
  readonly owner: string;
  readonly component: string;
  readonly address: string;
  readonly port: number;
  readonly kind: RouteKind;
  /** Of clients, also those that the kernel carries. */
  readonly connections: number;
  /** Absent: userspace. */
  readonly plane?: 'kernel';
  /** Why its table's `kernel` or `auto` is not in force, as a sentence. */
  readonly planeWhy?: string;
}

/** GET /v1/status[?owner=X] */
export interface ProxyStatus {
  readonly protocol: number;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly owners: readonly OwnedTable[];
  readonly listeners: readonly ListenerReport[];
  /** Every backend that is routed or still held by a connection, summed over all generations. */
  readonly backends: readonly BackendReport[];
  /** Those before this one that still carry something; absent: none. */
  readonly older?: readonly OlderGeneration[];
  /** Every process that accepts clients, this one first; absent: this one alone. */
  readonly workers?: readonly WorkerReport[];
  /** Clients that wait for a backend, in all processes; absent: none. */
  readonly waiting?: number;
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

/**
 * POST /v1/upgrade: the proxy starts this program as its successor, hands its sockets over and carries on what it has.
 * Answers UpgradeAnswer once the successor serves; 409 proxy-failed when it cannot, and then nothing has changed.
 */
export interface UpgradeRequest {
  /** Path of the Node to run it with. */
  readonly node: string;
  /** Path of its main.js. */
  readonly main: string;
}

export interface UpgradeAnswer {
  /** Of the successor. */
  readonly pid: number;
}

/**
 * POST /v1/follow, from the proxy that serves to an older generation or a worker: lead who is there by these tables.
 * Nothing happens when `lastRevision` is below one that was followed before. Answers GenerationReport; 409 proxy-failed
 * from a proxy that serves itself. A worker whose proxy has died frees the ports before it answers. INVARIANT: stays as it is as long as proxies from UPGRADABLE_SINCE on are replaced.
 */
export interface FollowRequest {
  readonly lastRevision: number;
  /** What changed; the tables of other owners stay. */
  readonly owners: readonly OwnedTable[];
  /** What other processes have open that lasts: balancing goes by it. Absent: as it was. */
  readonly elsewhere?: readonly OpenCount[];
}

export interface GenerationReport {
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  /** Client connections, idle ones included. */
  readonly connections: number;
  readonly lastRevision: number;
  /** Of every owner's table that it follows. */
  readonly revisions: Readonly<Record<string, number>>;
  /** Only what this process carries. */
  readonly backends: readonly BackendReport[];
  /** Its clients that wait for a backend, by owner; absent: none. */
  readonly waiting?: Readonly<Record<string, number>>;
  /** Absent: it is too old to count. */
  readonly counts?: ProxyCounts;
  /** Of `open` of its backends, what lasts. Absent: all of it. */
  readonly lasting?: readonly OpenCount[];
  /** Its part of them. Absent: it accepts nobody. */
  readonly listeners?: readonly ListenerReport[];
  readonly residentBytes?: number;
  readonly cpuSeconds?: number;
}

/** What was counted of one release of a component since the process began. Nothing here ever goes down. */
export interface TrafficReport {
  readonly owner: string;
  readonly component: string;
  /** Its number; `none`: no backend was found, or nobody said of which release it is; `other`: there are too many. */
  readonly release: string;
  /** Requests whose client left before the answer began, then those answered with 1xx, 2xx … 5xx. */
  readonly answers: readonly number[];
  /** How many requests took how long to the head of their answer. INVARIANT: bounds stay, since generations are summed. */
  readonly latency: readonly number[];
  /** All of `latency` together. */
  readonly tookMs: number;
  /** Connections of tcp clients that were led to a backend. */
  readonly tcp: number;
  readonly dialFailures: number;
  /** Clients that had to wait for a backend. */
  readonly held: number;
  /** Clients that were sent away without one. */
  readonly refused: number;
}

/** What is open now on the backends of one release. */
export interface OpenReport {
  readonly owner: string;
  readonly component: string;
  readonly release: string;
  /** Whether the present table sends them new work. */
  readonly routed: boolean;
  readonly inFlight: number;
  readonly upgraded: number;
  readonly tcp: number;
  /** Absent: 0. */
  readonly udp?: number;
}

/** A backend that left the table and is still held. */
export interface DrainReport {
  readonly owner: string;
  readonly component: string;
  readonly backend: string;
  /** Since it left. */
  readonly ageMs: number;
}

/** Adds up over processes: counts.ts. */
export interface ProxyCounts {
  readonly traffic: readonly TrafficReport[];
  readonly open: readonly OpenReport[];
  readonly drains: readonly DrainReport[];
}

/**
 * GET /v1/metrics[?owner=X]: everything that a watcher over time asks for, of all generations. What an older generation
 * has counted stays in the sums when it has ended; a proxy that was started anew counts from 0.
 */
export interface ProxyMetrics extends ProxyCounts {
  readonly version: string;
  readonly startedAt: string;
  /** Upper ends of the buckets of `latency`; one more holds what took longer. */
  readonly latencyBoundsMs: readonly number[];
  /** Processes that carry something, this one included but no worker. */
  readonly generations: number;
  /** Those that do not answer, workers too: their counts are from before. */
  readonly silent: number;
  /** Processes that accept clients, this one included. Absent: 1. */
  readonly workers?: number;
  readonly listeners: ProxyStatus['listeners'];
  /** Client connections of older generations, idle ones included; of all owners. */
  readonly olderConnections: number;
  /** Clients that wait for a backend, by owner. */
  readonly waiting: Readonly<Record<string, number>>;
  /** Of all processes. */
  readonly residentBytes: number;
  /** Of all processes, also of those that have ended since the one that serves began. */
  readonly cpuSeconds: number;
}

/** GET /v1/holds[?owner=X]: every connection of every backend, of all generations, the oldest first; at most 10,000. */
export interface HoldReport extends Peer {
  readonly owner: string;
  readonly component: string;
  readonly backend: string;
  /** Of the proxy process that carries it; 0: the kernel does. */
  readonly pid: number;
  /** Whether the backend still gets new work. */
  readonly routed: boolean;
}

/** POST /v1/cut: ends what holds a backend, at once. Answers CutAnswer. */
export interface CutRequest {
  readonly owner: string;
  /** The container's id. */
  readonly backend: string;
  /** Only this client, as `Peer.client` names it. */
  readonly client?: string;
  /** Only those on which no byte has moved for so many milliseconds. */
  readonly idleMs?: number;
}

export interface CutAnswer {
  readonly cut: number;
}

/** POST /v1/stop: without force refused (409 proxy-failed) while any backend is held; idle clients do not count. */
export interface StopRequest {
  readonly force: boolean;
  /** Takes the kernel's rules out as well, which cuts what it carries; else they stay, and connections with them. */
  readonly purge?: boolean;
}

/** Body of every answer >= 400. */
export interface ProxyProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable?: boolean;
  readonly hint?: string;
}
