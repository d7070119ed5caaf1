/**
 * One engine, reached through dockerode: finds a common API version on first use, gives every call its
 * deadline and translates what it throws. Nothing is loaded or dialled before the first call.
 */
import { setMaxListeners } from 'node:events';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { inspect } from 'node:util';
import type Docker from 'dockerode';
import { GantryError } from '../errors.ts';
import { type Metrics, NO_METRICS, timed } from '../metrics/metrics.ts';
import { type EngineAddress, engineAddress } from './address.ts';
import { within } from './deadline.ts';
import type { EngineInfo } from './engine.ts';
import { foreign, isVersionRefused, translate } from './failures.ts';

/** What gantryd is tested with. The engine's newest within it is spoken. */
export const API_RANGE = { from: '1.41', to: '1.52' } as const;

const NEGOTIATE_TIMEOUT_MS = 5_000;
const POOLED_SOCKETS = 16;

export interface Call {
  /** One word that it is measured under, the same for all containers. Absent: it is not, as what goes on after a call. */
  readonly name?: string;
  /** Completes "did not …" and "refused to …". */
  readonly what: string;
  readonly timeoutMs: number;
  /** Takes a connection of its own: for streams, and calls that block for long. */
  readonly slow?: boolean;
  readonly until?: AbortSignal;
}

interface Link {
  readonly info: EngineInfo;
  /** Short calls, over few kept connections. */
  readonly quick: Docker;
  /** Streams and blocking calls, each with a connection of its own. */
  readonly slow: Docker;
}

type Load = () => Promise<new (options: Docker.DockerOptions) => Docker>;

export class Connection {
  readonly #load: Load;
  readonly #given: string | undefined;
  readonly #metrics: Metrics;
  readonly #closing = new AbortController();
  #address: EngineAddress | undefined;
  #agents: readonly (HttpAgent | HttpsAgent)[] = [];
  #link: Promise<Link> | undefined;

  constructor(given: string | undefined, load: Load, metrics = NO_METRICS) {
    this.#metrics = metrics;
    this.#given = given;
    this.#load = load;
    // Every call under way listens to it.
    setMaxListeners(0, this.#closing.signal);
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async info(): Promise<EngineInfo> {
    return (await this.#linked()).info;
  }

  /** `run` gets a fresh signal for the abortSignal of its requests: dockerode takes it out of the options. */
  call<T>(call: Call, run: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { name } = call;
    if (name === undefined) return this.#call(call, run);
    return timed(this.#metrics, 'docker', name, () => this.#call(call, run));
  }

  async #call<T>(call: Call, run: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T> {
    const link = await this.#linked();
    const address = link.info.address;
    const until = [this.#closing.signal, ...(call.until === undefined ? [] : [call.until])];
    try {
      return await within({ ...call, address, until }, (signal) =>
        run(call.slow ? link.slow : link.quick, signal),
      );
    } catch (error) {
      // The engine was replaced by one of another age: the next call finds a common version anew.
      if (isVersionRefused(error)) this.#link = undefined;
      throw translate(error, call.what, address);
    }
  }

  /** As call(), for what goes on after it: the signal stays as it is once `run` has answered. */
  async open<T>(call: Call, run: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T> {
    const opening = new AbortController();
    try {
      return await this.call(call, (docker) => run(docker, opening.signal));
    } catch (error) {
      opening.abort();
      throw error;
    }
  }

  close(): void {
    this.#closing.abort(new GantryError('engine-failed', 'The connection to the Docker engine was closed.'));
    for (const agent of this.#agents) agent.destroy();
  }

  #linked(): Promise<Link> {
    this.#link ??= timed(this.#metrics, 'docker', 'version', () => this.#negotiate()).catch((error) => {
      this.#link = undefined;
      throw error;
    });
    return this.#link;
  }

  async #negotiate(): Promise<Link> {
    this.#closing.signal.throwIfAborted();
    this.#address ??= engineAddress(this.#given);
    const address = this.#address;
    const what = 'tell its version';
    const limit = {
      what,
      timeoutMs: NEGOTIATE_TIMEOUT_MS,
      address: address.text,
      until: [this.#closing.signal],
    };
    try {
      const Dockerode = await this.#load();
      const [pooled, single] = this.#openAgents(address);
      const first = new Dockerode(options(address, pooled, undefined));
      const version = await within(limit, (signal) => get<VersionAnswer>(first, '/version', {}, signal));
      const info = agree(version, address.text);
      const quick = new Dockerode(options(address, pooled, info.apiVersion));
      const slow = new Dockerode(options(address, single, info.apiVersion));
      return { info, quick, slow };
    } catch (error) {
      throw foreign(error, address.text) ?? translate(error, what, address.text);
    }
  }

  #openAgents(address: EngineAddress): readonly [HttpAgent | HttpsAgent, HttpAgent | HttpsAgent] {
    for (const agent of this.#agents) agent.destroy();
    const Agent = address.kind === 'tcp' && address.secure ? HttpsAgent : HttpAgent;
    const agents = [
      new Agent({ keepAlive: true, maxSockets: POOLED_SOCKETS }),
      new Agent({ keepAlive: false }),
    ] as const;
    for (const agent of agents) sayLittle(agent);
    this.#agents = agents;
    return agents;
  }
}

/**
 * docker-modem renders the options of every call in full, for a log that is switched off, and with the agent all that
 * waits for a connection: with fifty components that was nine tenths of what gantryd computed.
 */
function sayLittle(agent: object): void {
  Object.defineProperty(agent, inspect.custom, { value: () => 'Agent' });
}

interface VersionAnswer {
  readonly Version?: string;
  readonly ApiVersion?: string;
  readonly MinAPIVersion?: string;
}

/**
 * GET of a JSON value, read here and not by dockerode: its own reading never settles when the answer breaks
 * off, and some of its methods forget the signal.
 */
export async function get<T>(
  docker: Docker,
  path: string,
  query: Query,
  abortSignal: AbortSignal,
  read: (text: string) => T = JSON.parse,
): Promise<T> {
  let text = '';
  for await (const chunk of (await getStream(docker, path, query, abortSignal)).setEncoding('utf8'))
    text += chunk;
  return read(text);
}

export type Query = Readonly<Record<string, string | number>>;

/** The answer of a GET as it comes. */
export function getStream(
  docker: Docker,
  path: string,
  query: Query,
  abortSignal: AbortSignal,
): Promise<Readable> {
  return dial(docker, { method: 'GET', path, query, statusCodes: { 200: true } }, abortSignal);
}

/** The answer of a POST without a body as it comes. */
export function postStream(
  docker: Docker,
  path: string,
  query: Query,
  abortSignal: AbortSignal,
): Promise<Readable> {
  return dial(docker, { method: 'POST', path, query, statusCodes: { 200: true } }, abortSignal);
}

/** The connection itself, after the engine has agreed to make one of it; bytes that came with its answer first. */
export function hijack(
  docker: Docker,
  path: string,
  query: Query,
  abortSignal: AbortSignal,
  body?: object,
): Promise<Duplex> {
  const sent = body === undefined ? { file: NO_BODY } : { body };
  return dial(docker, { method: 'POST', path, query, statusCodes: {}, hijack: true, ...sent }, abortSignal);
}

/** Said to be empty, where docker-modem would send one in chunks, which an engine may take for the first bytes. */
const NO_BODY = Buffer.alloc(0);

interface DialRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query: Query;
  readonly statusCodes: Readonly<Record<number, true>>;
  readonly hijack?: boolean;
  readonly file?: Buffer;
  readonly body?: object;
}

function dial<T extends Readable>(
  docker: Docker,
  { path, query, body = {}, ...parts }: DialRequest,
  abortSignal: AbortSignal,
): Promise<T> {
  const request = { ...parts, path: `${path}?`, isStream: true, abortSignal };
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      { ...request, options: { _query: query, _body: body } },
      (error: unknown, stream: unknown) => (error ? reject(error) : resolve(stream as T)),
    );
  });
}

function agree(answer: VersionAnswer, address: string): EngineInfo {
  const newest = answer.ApiVersion ?? '';
  const oldest = answer.MinAPIVersion || newest;
  if (!/^\d+\.\d+$/.test(newest)) {
    throw unsupported(`What answers at ${address} is no Docker engine: it tells no API version.`);
  }
  if (isBefore(newest, API_RANGE.from)) {
    throw unsupported(
      `The Docker engine at ${address} is too old: it speaks API ${newest}, gantryd needs ${API_RANGE.from} (Docker 20.10).`,
    );
  }
  if (isBefore(API_RANGE.to, oldest)) {
    throw unsupported(
      `The Docker engine at ${address} is too new: it speaks API ${oldest} and later, gantryd up to ${API_RANGE.to}.`,
    );
  }
  const apiVersion = isBefore(newest, API_RANGE.to) ? newest : API_RANGE.to;
  return { version: answer.Version ?? 'unknown', apiVersion, address };
}

function isBefore(a: string, b: string): boolean {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA < majorB || (majorA === majorB && minorA < minorB);
}

function unsupported(message: string): GantryError {
  return new GantryError('engine-unsupported', message, {
    hint: `gantryd speaks Docker API ${API_RANGE.from} to ${API_RANGE.to}; use an engine or a gantryd that fits.`,
  });
}

/** Every field is given, undefined too: docker-modem fills what is left out from its own reading of DOCKER_HOST. */
function options(address: EngineAddress, agent: HttpAgent | HttpsAgent, apiVersion: string | undefined) {
  const tcp = address.kind === 'tcp' ? address : undefined;
  return {
    agent,
    version: apiVersion === undefined ? undefined : `v${apiVersion}`,
    socketPath: address.kind === 'socket' ? address.path : undefined,
    host: tcp?.host,
    port: tcp?.port,
    protocol: tcp?.secure ? 'https' : 'http',
    ca: tcp?.tls?.ca,
    cert: tcp?.tls?.cert,
    key: tcp?.tls?.key,
    pathPrefix: '/',
    timeout: undefined,
    connectionTimeout: undefined,
  } as unknown as Docker.DockerOptions;
}
