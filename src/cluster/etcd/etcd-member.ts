/**
 * One member of etcd and the connection to it, through etcd3's plain calls. What etcd3 does on top of them is left
 * out on purpose: its watcher loses events and wedges, its lease is told lost after twice its time, its retries
 * write twice, its token renewal has no end: docs/decisions/0011-etcd.md.
 */
import { X509Certificate } from 'node:crypto';
import type { CallOptions, Interceptor, InterceptorOptions } from '@grpc/grpc-js';
import type { IOptions } from 'etcd3';
import { GantryError, messageOf } from '../../errors.ts';
import { type Metrics, NO_METRICS, timed } from '../../metrics/metrics.ts';
import {
  type Endpoint,
  MAX_ANSWER_BYTES,
  PING_EVERY_MS,
  PING_TIMEOUT_MS,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  type StoreOptions,
} from '../options.ts';
import { keepQuietAboutAddresses } from '../quiet.ts';
import { isCutAtOnce, isTokenRefused, isWithoutAuthentication, wrongScheme } from './etcd-failures.ts';
import { Etcd3, InterceptingCall, noop } from './etcd-package.ts';
import { spokenAt } from './etcd-probe.ts';

/** What a call is measured under. */
export type CallName = 'range' | 'txn' | 'lease-grant' | 'lease-renew' | 'lease-revoke' | 'watch';

/** A call of etcd3, given the options that every call must be made with. */
export type Call<T> = (client: Etcd3, options: CallOptions) => Promise<T>;

export class Member {
  readonly endpoint: Endpoint;
  readonly #client: Etcd3;
  readonly #metrics: Metrics;
  readonly #login: { readonly name: string; readonly password: string } | undefined;
  /** What the login gave; undefined: an etcd that wants none. */
  #token: Promise<string | undefined> | undefined;

  constructor(endpoint: Endpoint, options: StoreOptions) {
    this.endpoint = endpoint;
    this.#client = client(endpoint, options);
    this.#metrics = options.metrics ?? NO_METRICS;
    const { user, password } = options;
    this.#login = user === undefined || password === undefined ? undefined : { name: user, password };
  }

  /** Throws what etcd3 throws, or a GantryError that says more. Asks again only when its token was refused. */
  async call<T>(name: CallName, call: Call<T>, timeoutMs: number): Promise<T> {
    const deadline = Date.now() + timeoutMs; // gRPC takes it as wall clock, and begins its own timer at once
    return timed(this.#metrics, 'etcd', name, () =>
      this.#authenticated(deadline, (headers) => call(this.#client, { deadline, interceptors: [headers] })),
    );
  }

  /** Opens a stream, which has no deadline of its own. */
  async open<T>(name: CallName, call: Call<T>, timeoutMs: number): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    return timed(this.#metrics, 'etcd', name, () =>
      this.#authenticated(deadline, (headers) => call(this.#client, { interceptors: [headers] })),
    );
  }

  close(): void {
    this.#client.close();
  }

  async #authenticated<T>(deadline: number, call: (headers: Interceptor) => Promise<T>): Promise<T> {
    try {
      const token = await this.#tokenBy(deadline);
      try {
        return await call(withHeaders(token));
      } catch (error) {
        if (this.#login === undefined || !isTokenRefused(error)) throw error;
        this.#token = undefined;
        return await call(withHeaders(await this.#tokenBy(deadline)));
      }
    } catch (error) {
      throw await this.#explained(error);
    }
  }

  /** One login for all calls that need it. */
  #tokenBy(deadline: number): Promise<string | undefined> {
    if (this.#login === undefined) return Promise.resolve(undefined);
    if (this.#token === undefined) {
      const token = this.#logIn(this.#login, deadline);
      this.#token = token;
      token.catch(() => {
        if (this.#token === token) this.#token = undefined;
      });
    }
    return this.#token;
  }

  async #logIn(login: { name: string; password: string }, deadline: number): Promise<string | undefined> {
    try {
      const options = { deadline, interceptors: [withHeaders(undefined)] };
      return (await this.#client.auth.authenticate(login, options)).token;
    } catch (error) {
      if (isWithoutAuthentication(error)) return undefined;
      throw error;
    }
  }

  /** A connection that is cut at once may mean that only one side speaks TLS. */
  async #explained(error: unknown): Promise<unknown> {
    const { tls, url } = this.endpoint;
    if (!isCutAtOnce(error)) return error;
    const spoken = await spokenAt(this.endpoint);
    return spoken !== undefined && (spoken === 'tls') !== tls ? wrongScheme(url, spoken) : error;
  }
}

function client(endpoint: Endpoint, options: StoreOptions): Etcd3 {
  if (endpoint.tls) keepQuietAboutAddresses(endpoint.host);
  try {
    if (options.ca !== undefined) new X509Certificate(options.ca); // gRPC takes anything, and then trusts nobody
    return new Etcd3(settings(endpoint, options));
  } catch (error) {
    throw new GantryError('usage', `a certificate or key for etcd cannot be used: ${messageOf(error)}`, {
      hint: 'They are PEM files; the key belongs to the certificate and has no passphrase.',
      cause: error,
    });
  }
}

function settings({ url }: Endpoint, { ca, cert, key }: StoreOptions): IOptions {
  const pems = {
    ...(ca === undefined ? {} : { rootCertificate: ca }),
    ...(cert === undefined || key === undefined ? {} : { certChain: cert, privateKey: key }),
  };
  return {
    hosts: [url],
    // etcd3's type asks for a CA; without one gRPC takes the system's.
    ...(Object.keys(pems).length === 0 ? {} : { credentials: pems as NonNullable<IOptions['credentials']> }),
    grpcOptions: {
      'grpc.keepalive_time_ms': PING_EVERY_MS,
      'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MIN_MS,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    },
    faultHandling: { host: () => noop, global: noop },
  };
}

/**
 * `hasleader`: a member that has lost its leader ends the call or watch instead of staying silent. The words of a
 * refused token are changed since etcd3, seeing them, asks anew without end.
 */
function withHeaders(token: string | undefined): Interceptor {
  return (options: InterceptorOptions, next) =>
    new InterceptingCall(next(options), {
      start(metadata, _listener, start) {
        metadata.set('hasleader', 'true');
        if (token !== undefined) metadata.set('token', token);
        start(metadata, {
          onReceiveStatus(status, pass) {
            pass({
              ...status,
              details: status.details.replace('etcdserver: invalid auth token', 'invalid auth token'),
            });
          },
        });
      },
    });
}
