/**
 * The JobEngine for Docker: what DockerEngine does, and beside it the calls that only containers that end need. What
 * takes more than a call or two has a file of its own.
 */
import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { GantryError } from '../errors.ts';
import { attachTo } from './attachment.ts';
import { type Connection, get } from './connection.ts';
import { awaitEnd } from './container-end.ts';
import { type LineQuery, type LogLine, linesOfLog } from './container-log.ts';
import type { Piece } from './demux.ts';
import { DEADLINES, DockerEngine, pathOf } from './docker-engine.ts';
import type { ExitReport, PullOptions } from './engine.ts';
import { isJoinedAlready, isNoSuchNetwork, statusOf } from './failures.ts';
import { goneOr, short, undefinedFor404 } from './inspect.ts';
import type { Attachment, JobContainer, JobEngine, JobFilter } from './job-engine.ts';
import { jobContainerOf, jobLabelFilters } from './listing.ts';
import { printedBy } from './printed.ts';
import { pullImage } from './pull.ts';

export class DockerJobEngine extends DockerEngine implements JobEngine {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    super(connection);
    this.#connection = connection;
  }

  async jobContainers(filter: JobFilter): Promise<readonly JobContainer[]> {
    const call = { name: 'list', what: "list the jobs' containers", timeoutMs: DEADLINES.askMs };
    const query = { all: 1, filters: JSON.stringify({ label: jobLabelFilters(filter) }) };
    const list = await this.#connection.call(call, (docker, abortSignal) =>
      get<Docker.ContainerInfo[]>(docker, '/containers/json', query, abortSignal),
    );
    return list.flatMap((info) => jobContainerOf(info) ?? []);
  }

  async joinNetwork(
    id: string,
    network: string,
    endpoint?: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    // The engine takes any name for a container that does not run yet, and fails its start.
    if (!(await this.networkExists(network))) throw networkUnknown(network);
    const what = `join the container ${short(id)} to the network ${network}`;
    const call = { name: 'network-connect', what, timeoutMs: DEADLINES.createMs, slow: true };
    await this.#connection.call(call, (docker, abortSignal) =>
      docker
        .getNetwork(encodeURIComponent(network))
        .connect({ Container: id, EndpointConfig: endpoint, abortSignal } as Docker.NetworkConnectOptions)
        .catch((error) => {
          if (!isJoinedAlready(error)) throw joinFailure(error, id, network);
        }),
    );
  }

  attach(id: string): Promise<Attachment> {
    return attachTo(this.#connection, id);
  }

  printed(id: string, signal: AbortSignal): Promise<AsyncIterable<Piece>> {
    return printedBy(this.#connection, id, signal);
  }

  lines(id: string, query: LineQuery, signal: AbortSignal): AsyncIterable<LogLine> {
    return linesOfLog(this.#connection, id, query, signal);
  }

  ended(id: string, signal: AbortSignal): Promise<ExitReport | undefined> {
    return awaitEnd(this.#connection, id, signal);
  }

  async readFile(id: string, path: string): Promise<Readable> {
    // Loaded late: few steps need it, and all would wait for the unpacker.
    const { readContainerFile } = await import('./container-file.ts');
    return readContainerFile(this.#connection, id, path);
  }

  async networkExists(name: string): Promise<boolean> {
    const call = { name: 'network-inspect', what: `show the network ${name}`, timeoutMs: DEADLINES.askMs };
    const path = `/networks/${encodeURIComponent(name)}`;
    const found = await this.#connection.call(call, (docker, abortSignal) =>
      get(docker, path, {}, abortSignal).catch(undefinedFor404),
    );
    return found !== undefined;
  }

  async removeImage(id: string): Promise<boolean> {
    const call = {
      name: 'image-remove',
      what: `remove the image ${id}`,
      timeoutMs: DEADLINES.removeMs,
      slow: true,
    };
    return this.#connection.call(call, (docker, abortSignal) =>
      docker
        .getImage(pathOf(id))
        .remove({ abortSignal })
        .then(
          () => true,
          (error) => {
            if ([404, 409].includes(statusOf(error) ?? 0)) return false;
            throw error;
          },
        ),
    );
  }

  async pullWith(
    ref: string,
    auth: Readonly<Record<string, string>>,
    options: PullOptions = {},
  ): Promise<string> {
    await pullImage(this.#connection, ref, { ...options, auth });
    const image = await this.image(ref);
    if (image !== undefined) return image.id;
    throw new GantryError('image-not-found', `The image ${ref} was pulled, but this host does not have it.`);
  }
}

function joinFailure(error: unknown, id: string, network: string): unknown {
  return isNoSuchNetwork(error) ? networkUnknown(network, error) : goneOr(id, error);
}

function networkUnknown(network: string, cause?: unknown): GantryError {
  return new GantryError('network-unknown', `This host has no network ${network}.`, {
    ...(cause === undefined ? {} : { cause }),
    hint: `Create it with 'docker network create ${network}', or name one that 'docker network ls' shows.`,
  });
}
