/**
 * Who calls the API, and what he may have done. Tokens are compared in constant time, as hashes; none is ever logged,
 * or sent back.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Keys } from '../cluster/keys.ts';
import type { Mirror, Store } from '../cluster/store.ts';
import { type Role, readToken, type TokenValue } from '../cluster/values.ts';
import { GantryError } from '../errors.ts';
import { Refusal } from './problem.ts';
import type { Caller, Route } from './route.ts';

/** Each includes those before it. */
export const ROLES: readonly Role[] = ['read', 'deploy', 'admin'];

/** `gantryd_ID_SECRET`. */
const TOKEN = /^gantryd_([a-z0-9]{8,32})_([A-Za-z0-9_-]{43})$/;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;
const NOBODY: Caller = { by: 'anybody', role: 'read', projects: [] };
const NO_HASH = sha256('');

export interface Known {
  readonly caller: Caller;
  /** Whom a bound on requests is counted for; undefined: his address. */
  readonly id?: string;
  /** An agent of the fleet: its routes and no others. */
  readonly peer?: true;
}

/** Says who calls. */
export interface Door {
  /** Throws no-token, forbidden, or cluster-unreachable while nobody can tell. */
  identify(headers: IncomingHttpHeaders): Known;
}

/** Of an agent that serves its peers. */
export function peerDoor(token: string): Door {
  const hash = sha256(token);
  return {
    identify(headers) {
      const shown = /^Bearer (\S{1,1024})$/i.exec(headers.authorization ?? '')?.[1] ?? '';
      if (timingSafeEqual(sha256(shown), hash)) return { caller: { ...NOBODY, by: 'peer' }, peer: true };
      throw peerUnknown();
    },
  };
}

/** Its client asks on, with the token that the key in etcd has by then. */
function peerUnknown(): GantryError {
  return new Refusal('no-token', 'the token is not the one of this agent', {
    hint: 'It is made anew with every start of the agent; its key in etcd has the present one.',
    retryable: true,
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/** For whoever reaches it; only for loopback. A page in a browser of this machine reaches it too, and is refused. */
export function openDoor(): Door {
  return {
    identify({ host = '', origin, 'sec-fetch-site': site }) {
      const foreign = origin !== undefined || (site !== undefined && site !== 'none');
      if (!foreign && LOOPBACK.test(host)) return { caller: { by: 'local', role: 'admin', projects: [] } };
      throw new GantryError('forbidden', 'an API that asks for no token is for programs of its own machine', {
        hint: 'Ask it as 127.0.0.1 or localhost, and from no web page; or start it without --api-open.',
      });
    },
  };
}

export interface TokenDoor extends Door {
  /** Until the tokens are known; rejects when aborted. */
  ready(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** By the tokens in etcd, as they are followed; while it is away by those that were known last. */
export function tokenDoor(store: Store, keys: Keys): TokenDoor {
  const values = new Map<string, TokenValue>();
  const mirror: Mirror = store.follow({ range: keys.tokens(), onChange: () => readAll() });
  const readAll = () => {
    values.clear();
    for (const entry of mirror.entries.values()) {
      const value = readToken(entry);
      if (value !== undefined && keys.token(value.id) === entry.key) values.set(value.id, value);
    }
  };
  return {
    identify(headers) {
      if (mirror.revision === 0) throw notYet(mirror.trouble);
      const [, id = '', secret = ''] = TOKEN.exec(shownIn(headers)) ?? [];
      const value = values.get(id);
      const isIt = timingSafeEqual(sha256(secret), value === undefined ? NO_HASH : bytesOf(value.hash));
      if (value === undefined || !isIt) throw unknown(shownIn(headers) !== '');
      return { id, caller: { by: `token:${value.name}`, role: value.role, projects: value.projects } };
    },
    ready: (signal) => mirror.listed(signal),
    close: () => mirror.close(),
  };
}

/**
 * Throws forbidden. `project`: that the route is about, if it is about one; a compatible route is about one that its
 * path does not name, and looks itself.
 */
export function allow(
  known: Known,
  route: Pick<Route, 'access' | 'compatible'>,
  project: string | undefined,
): void {
  const { access } = route;
  if (access === 'open') return;
  if (known.peer === true || access === 'peer') {
    if (known.peer === true && access === 'peer') return;
    throw new GantryError(
      'forbidden',
      'that is for the agents of the fleet among themselves, or not for them',
    );
  }
  const { role, projects, by } = known.caller;
  if (ROLES.indexOf(role) < ROLES.indexOf(access))
    throw new GantryError('forbidden', `${by} has the role ${role}; this needs ${access}`, {
      hint: `gantryd token create NAME --role ${access} makes a token that may.`,
    });
  if (projects.length === 0 || route.compatible === true) return;
  if (project === undefined ? access === 'read' : projects.includes(project)) return;
  const what = project === undefined ? 'what is about all projects' : `the project ${project}`;
  throw new GantryError('forbidden', `${by} is not for ${what}`, {
    hint: `It is for: ${projects.join(', ')}.`,
  });
}

/** Who calls a route that asks nobody. */
export const ANYBODY: Known = { caller: NOBODY };

function shownIn({ authorization = '' }: IncomingHttpHeaders): string {
  return /^Bearer +(\S{1,200})$/i.exec(authorization)?.[1] ?? '';
}

function unknown(shown: boolean): GantryError {
  const message = shown ? 'the token is not known, or was revoked' : 'no token was shown';
  return new Refusal('no-token', message, {
    hint: 'Send `Authorization: Bearer TOKEN`; gantryd token create makes one.',
    headers: { 'www-authenticate': shown ? 'Bearer error="invalid_token"' : 'Bearer' },
  });
}

function notYet(trouble: string | undefined): GantryError {
  const why = trouble === undefined ? '' : `: ${trouble}`;
  return new GantryError('cluster-unreachable', `the tokens are not known yet${why}`, { retryable: true });
}

function bytesOf(hash: string): Buffer {
  const bytes = Buffer.from(hash, 'hex');
  return bytes.length === NO_HASH.length ? bytes : Buffer.alloc(NO_HASH.length);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
