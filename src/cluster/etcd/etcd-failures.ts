/**
 * What etcd, gRPC and TLS throw, as the three errors of the contract. The one place that reads their words.
 */
import { GantryError, isGantryError, messageOf } from '../../errors.ts';

/** What a failure of one member means for the call. */
export interface Failure {
  readonly error: GantryError;
  /** Another member may answer. */
  readonly elsewhere: boolean;
  /** The request has certainly not reached etcd. */
  readonly unsent: boolean;
  /** Members answer, and none leads: an election takes a second or two. */
  readonly leaderless: boolean;
}

/** Said by grpc-js of calls that never had a connection. */
const UNSENT =
  /No connection established|Name resolution failed|Waiting for LB pick|Channel closed before call started/;
/** etcd refuses these before it does anything. */
const NOT_DONE = /etcdserver: (no leader|not capable|too many requests)/;
const LEADERLESS = /etcdserver: (no leader|leader changed|request timed out)/;
const UNREACHABLE =
  /\b(UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|INTERNAL)\b|etcdserver: (no leader|leader changed|request timed out|too many requests|server stopped|not capable)/;
/** What OpenSSL and Node say when the two sides do not trust each other, or do not both speak TLS. */
const TLS_REFUSED = /certificate|altnames|SSL routines|SSL alert|wrong version number/i;
const REFUSED =
  /etcdserver: (permission denied|authentication failed|invalid auth token|user name is empty|user name not found)|UNAUTHENTICATED|PERMISSION_DENIED/;
const TOKEN_REFUSED = /invalid auth token|user name is empty|revision of auth store is old/;
/** Ends before a connection stands: by a member that is going down, or because only one side speaks TLS. */
const CUT_AT_ONCE = /Failed to connect|disconnected before secure TLS connection/;

const FINAL = { elsewhere: false, unsent: false, leaderless: false } as const;

/** `urls`: the members that were asked. */
export function failureOf(thrown: unknown, urls: readonly string[]): Failure {
  if (isGantryError(thrown)) return { error: thrown, ...FINAL };
  const words = messageOf(thrown);
  const unsent = UNSENT.test(words) || NOT_DONE.test(words);
  const elsewhere = { elsewhere: true, unsent, leaderless: LEADERLESS.test(words) };
  if (UNSENT.test(words) && TLS_REFUSED.test(words))
    return { error: tlsRefused(words, urls, thrown), ...elsewhere };
  if (REFUSED.test(words)) return { error: refused(words, urls, thrown), ...FINAL, unsent: true };
  if (UNREACHABLE.test(words)) return { error: unreachable(words, urls, thrown), ...elsewhere };
  return { error: failed(words, urls, thrown), ...FINAL };
}

/** The token is no more; with a new one the same call may be made. etcd has not done what was asked. */
export function isTokenRefused(thrown: unknown): boolean {
  return TOKEN_REFUSED.test(messageOf(thrown));
}

/** A user and password were given to an etcd that asks for none. */
export function isWithoutAuthentication(thrown: unknown): boolean {
  return messageOf(thrown).includes('authentication is not enabled');
}

/** Worth a look at what the port speaks. */
export function isCutAtOnce(thrown: unknown): boolean {
  return CUT_AT_ONCE.test(messageOf(thrown));
}

export function wrongScheme(url: string, speaks: 'tls' | 'plain'): GantryError {
  const message =
    speaks === 'tls'
      ? `${url} is asked without TLS, but speaks TLS`
      : `${url} is asked with TLS, but speaks none`;
  const hint =
    speaks === 'tls' ? 'Write https:// and name its CA.' : 'Write http:// and leave certificates out.';
  return new GantryError('cluster-refused', message, { hint });
}

export function unreachable(words: string, urls: readonly string[], cause?: unknown): GantryError {
  return new GantryError('cluster-unreachable', `no etcd answers at ${urls.join(', ')}: ${reasonOf(words)}`, {
    retryable: true,
    hint: 'Check the addresses, and that etcd runs there and has a leader.',
    cause,
  });
}

function tlsRefused(words: string, urls: readonly string[], cause: unknown): GantryError {
  return new GantryError('cluster-refused', `no TLS with etcd at ${urls.join(', ')}: ${reasonOf(words)}`, {
    hint: 'Check the CA, that the certificate of etcd names this address, and the client certificate if etcd wants one.',
    cause,
  });
}

function refused(words: string, urls: readonly string[], cause: unknown): GantryError {
  const hint = /permission denied|PERMISSION_DENIED/.test(words)
    ? 'Give the user of etcd the role to read and write the keys below the prefix.'
    : 'Check the user and password for etcd.';
  const message = `etcd at ${urls.join(', ')} refuses: ${reasonOf(words)}`;
  return new GantryError('cluster-refused', message, { hint, cause });
}

function failed(words: string, urls: readonly string[], cause: unknown): GantryError {
  const full = /database space exceeded/.test(words);
  return new GantryError('cluster-failed', `etcd at ${urls.join(', ')} failed: ${reasonOf(words)}`, {
    cause,
    ...(full
      ? { hint: 'The quota of etcd is used up: compact, defragment, then `etcdctl alarm disarm`.' }
      : {}),
  });
}

/** What an operator can use of it. */
function reasonOf(words: string): string {
  if (/Deadline exceeded|DEADLINE_EXCEEDED/.test(words)) return 'no answer in time';
  if (/requested lease not found/.test(words)) return 'the lease has ended';
  return words
    .replace(/^.*?Last error: /s, '')
    .replace(/^(\d+ [A-Z_]+: )/, '')
    .replace(/\(\d{4}-\d\d-\d\dT[^)]*\)/, '')
    .replace(/\.? *Resolution note: *$/s, '')
    .replace(/^.*SSL routines:[^:]*:([^:]*):.*$/s, '$1')
    .replace(/^(Error: |etcdserver: )/, '')
    .replace(/\s+/g, ' ')
    .trim();
}
