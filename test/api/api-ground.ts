/** The API on a memory store, over real sockets: what the tests of its routes stand on. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ApiAround } from '../../src/api/around.ts';
import { type Door, tokenDoor } from '../../src/api/auth.ts';
import { type Paths, pathsOf, targetOf } from '../../src/api/paths.ts';
import type { Route } from '../../src/api/route.ts';
import { apiRoutes } from '../../src/api/routes.ts';
import { type Api, type ApiOptions, openApi } from '../../src/api/server.ts';
import { createToken } from '../../src/api/tokens.ts';
import { keys } from '../../src/cluster/keys.ts';
import type { Role } from '../../src/cluster/values.ts';
import { type JsonCheck, jsonCheck } from '../../src/config/json-check.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';

export interface Asking {
  readonly token?: string | undefined;
  /** Sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly body: any;
}

export interface Ground {
  readonly around: ApiAround & { readonly store: MemoryStore };
  readonly api: Api;
  readonly url: string;
  /** Of all projects unless named. */
  token(role: Role, projects?: readonly string[]): Promise<string>;
  ask(method: string, path: string, asking?: Asking): Promise<Answered>;
}

/** What the tests of a fleet put into its etcd is below these. */
const KEYS = keys();

export interface GroundOptions extends Partial<Omit<ApiOptions, 'door' | 'routes'>> {
  readonly door?: Door;
  readonly routes?: (around: ApiAround) => readonly Route[];
  readonly around?: Partial<Omit<ApiAround, 'store' | 'keys'>>;
}

export async function apiGround(t: TestContext, options: GroundOptions = {}): Promise<Ground> {
  const { routes = apiRoutes, door, around: more, ...rest } = options;
  const store = new MemoryStore(new MemoryCluster());
  const around = { store, keys: KEYS, now: Date.now, ...more };
  const tokens = door === undefined ? tokenDoor(store, around.keys) : undefined;
  const own = { address: '127.0.0.1', port: 0, ...rest };
  const served = routes(around);
  const paths = pathsOf(served);
  const api = await openApi({ ...own, door: door ?? (tokens as Door), routes: served });
  t.after(async () => {
    tokens?.close();
    await api.close();
    await store.close();
  });
  await tokens?.ready(AbortSignal.timeout(5_000));
  const url = `http://127.0.0.1:${api.port}`;
  let made = 0;
  return {
    ...{ around, api, url },
    async token(role, projects = []) {
      const name = `t${++made}`;
      return (await createToken(around, { name, role, projects, by: 'somebody@test' })).token;
    },
    async ask(method, path, asking) {
      const answered = await ask(`${url}${path}`, method, asking);
      if (answered.status < 300) assertAsDescribed(paths, method, path, answered);
      return answered;
    },
  };
}

const CHECKS = new WeakMap<object, JsonCheck>();

/** Whatever a test asks for, a success is what the route's schema says, and so what the OpenAPI document does. */
function assertAsDescribed(paths: Paths, method: string, path: string, { status, body }: Answered): void {
  const { answer } = paths.find(method, targetOf(path)).route;
  if (typeof answer === 'string' || answer.schema === undefined || method === 'HEAD') return;
  assert.ok(status === answer.status || [200, 201, 202].includes(status), `${method} ${path} ${status}`);
  const check = CHECKS.get(answer.schema) ?? jsonCheck(answer.schema);
  CHECKS.set(answer.schema, check);
  assert.deepEqual(check(body), [], `${method} ${path} answers ${JSON.stringify(body).slice(0, 1_000)}`);
}

export async function ask(url: string, method: string, asking: Asking = {}): Promise<Answered> {
  const { token, body, headers } = asking;
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const answer = await fetch(url, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
}
