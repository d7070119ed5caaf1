/**
 * What the routes of the API are to the server: who may call each, what it takes and answers, as schemas, and what it
 * does. The OpenAPI document is made of the same values, so that it cannot say anything else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Role } from '../cluster/values.ts';

/** A JSON Schema (draft 2020-12, as OpenAPI 3.1 has it) without `$ref`s that lead out of it. */
export type Schema = Readonly<Record<string, unknown>>;

/** Who is asked who he is: a token of that role or a higher one; `peer`: an agent of the fleet; `open`: nobody. */
export type Access = Role | 'peer' | 'open';

export interface Caller {
  /** For audits: `token:NAME`, `user@machine`, or `local` where nobody is asked. */
  readonly by: string;
  readonly role: Role;
  /** []: all. */
  readonly projects: readonly string[];
}

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What `:name` in the path stands for, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** As the route's schemas have them, checked. */
  readonly query: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body: unknown;
  readonly caller: Caller;
  /** Aborted when the caller went away, or the server closes. */
  readonly signal: AbortSignal;
  /** Of a route with `upgrade`: answers 101, and the connection is the handler's; what it throws later is told to nobody. */
  readonly upgrade?: () => Duplex;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; absent: nothing is. */
  readonly body?: unknown;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As `/v1/projects/:project/components/:component`. */
  readonly path: string;
  readonly access: Access;
  /** One sentence. */
  readonly summary: string;
  readonly tag: string;
  /** Of each word of the query that it knows; others are refused. */
  readonly query?: Readonly<Record<string, Schema & { readonly description: string }>>;
  /** `bytes`: the handler reads the request itself, without bound. */
  readonly body?: { readonly schema: Schema; readonly maxBytes?: number } | 'bytes';
  /** What a success is; a string is the media type of what is streamed. */
  readonly answer: { readonly status: number; readonly schema?: Schema } | string;
  /** The protocol that the connection goes over to, in small letters: without an offer of it the answer is 400. */
  readonly upgrade?: string;
  /** A route for the clients of another system, answering as that did. It passes over words of the query that it does not know. */
  readonly compatible?: boolean;
  /** Answers a Reply, or nothing when it has answered by `response` itself. A GantryError becomes the answer. */
  readonly handle: (call: Call) => Promise<Reply | undefined>;
}
