/**
 * How to reach etcd, and every bound on waiting for it. Pure: addresses as text in, checked endpoints out.
 */
import { GantryError } from '../errors.ts';
import type { Metrics } from '../metrics/metrics.ts';

export interface StoreOptions {
  /** `host`, `host:port`, `http://host:port` or `https://host:port`; one for each member that is known. */
  readonly endpoints: readonly string[];
  /** With `password`: for an etcd with authentication. */
  readonly user?: string;
  readonly password?: string;
  /** PEM. Any of the three means TLS, as `https` does. Without a CA the system's are trusted. */
  readonly ca?: Buffer;
  /** PEM, both or none: what this client identifies itself with. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** For each call, all its tries together. */
  readonly callTimeoutMs?: number;
  /** Of calls: how long each takes, and which fail. */
  readonly metrics?: Metrics;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** As `http://host:port`. */
  readonly url: string;
}

export const DEFAULT_CALL_TIMEOUT_MS = 3000;
export const DEFAULT_PORT = 2379;

/**
 * A call goes round the members this often, with a pause between: a member may only be restarting. While they answer
 * that none of them leads, it goes on for as long as it may take.
 */
export const ROUNDS = 2;
export const ROUND_PAUSE_MS = 150;
/** With less left than this, a try gets all of it instead of sparing half for the next member. */
export const SHORTEST_TRY_MS = 500;

/**
 * After so long without an answer, what may be asked twice is asked of the next member too: a member whose leader has
 * died keeps a write to itself, and never answers it.
 */
export const HEDGE_MS = 500;
/** After a refusal, what is still open is waited for so long: its answer may be a little behind. */
export const SETTLE_MS = 250;
/** So many follow each other so soon, as long as an election takes; from then on each waits twice as long. */
export const HEDGES = 4;

/**
 * HTTP/2 pings while a call or watch is open: a member that hangs is noticed after the sum. etcd closes connections
 * that ping more often than every 5 s (`--grpc-keepalive-min-time`), or that ping with nothing open.
 */
export const PING_EVERY_MS = 6000;
export const PING_TIMEOUT_MS = 3000;

export const RECONNECT_MIN_MS = 100;
export const RECONNECT_MAX_MS = 1500;

/** A listing or a batch of events may be large; what etcd takes in one write is bounded by etcd. */
export const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export function endpointsOf(options: StoreOptions): readonly Endpoint[] {
  if ((options.cert === undefined) !== (options.key === undefined))
    throw new GantryError(
      'usage',
      'a client certificate for etcd needs its key, and the key its certificate',
    );
  if ((options.user === undefined) !== (options.password === undefined))
    throw new GantryError('usage', 'a user of etcd needs a password, and a password its user');
  if (options.endpoints.length === 0) throw new GantryError('usage', 'no address of an etcd member is given');
  const secure = [options.ca, options.cert].some((pem) => pem !== undefined);
  return options.endpoints.map((text) => endpointOf(text, secure));
}

function endpointOf(text: string, secure: boolean): Endpoint {
  const scheme = /^(\w+):\/\//.exec(text)?.[1];
  const url = parsed(scheme === undefined ? `http://${text}` : text);
  const known = scheme === undefined || scheme === 'http' || scheme === 'https';
  if (url === undefined || !known || url.hostname === '' || /^\/.|[?#@]/.test(url.pathname + rest(url)))
    throw notAnAddress(text);
  if (scheme === 'http' && secure)
    throw new GantryError('usage', `${text} is without TLS, but a certificate is given for etcd`, {
      hint: 'Write https:// or leave the certificate out.',
    });
  const tls = secure || scheme === 'https';
  const port = portOf(text, url);
  return { host: url.hostname, port, tls, url: `${tls ? 'https' : 'http'}://${url.hostname}:${port}` };
}

/** A URL drops the port that is its scheme's own. */
function portOf(text: string, url: URL): number {
  if (url.port !== '') return Number(url.port);
  const written = /:(80|443)\/?$/.exec(text)?.[1];
  return written === undefined ? DEFAULT_PORT : Number(written);
}

function rest(url: URL): string {
  return `${url.search}${url.hash}${url.username === '' ? '' : '@'}`;
}

function parsed(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function notAnAddress(text: string): GantryError {
  return new GantryError('usage', `${text} is not the address of an etcd member`, {
    hint: 'Write it as host:port, http://host:port or https://host:port.',
  });
}
