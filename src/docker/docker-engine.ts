/**
 * The Engine for Docker: one method, one or two calls, and what counts as done already. Containers are
 * found by their labels alone; one without ours is never stopped, killed or removed.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type Docker from 'dockerode';
import { GantryError, isGantryError } from '../errors.ts';
import { LastRead } from '../last-read.ts';
import { type Connection, get, getStream } from './connection.ts';
import { onAbort } from './deadline.ts';
import type {
  Container,
  ContainerFilter,
  Engine,
  EngineEvent,
  EngineInfo,
  ExecResult,
  ExitReport,
  Image,
  PullOptions,
  Room,
} from './engine.ts';
import { watchEvents } from './events.ts';
import type { ExecAsked, ExecSession } from './exec-session.ts';
import {
  isBeingRemoved,
  isNoSuchContainer,
  isNoSuchImage,
  isNotRunning,
  isUnreadableLog,
  statusOf,
  wordsOf,
} from './failures.ts';
import { gone, goneOr, inspectContainer, short, undefinedFor404 } from './inspect.ts';
import { Head, Tail } from './lines.ts';
import { containerOf, exitReport, gatewayOf, isOurs, labelFilters } from './listing.ts';
import { processHere } from './process-group.ts';
import { pullImage } from './pull.ts';
import { type ContainerSpec, LABELS } from './spec.ts';
import { openEvents, pieces } from './streams.ts';

/** How long each call may take. The engine answers most in milliseconds; a disk under load makes it seconds. */
export const DEADLINES = {
  askMs: 10_000,
  createMs: 60_000,
  startMs: 60_000,
  killMs: 30_000,
  removeMs: 60_000,
  logsMs: 10_000,
  /** On top of the time the container itself gets to stop. */
  stopExtraMs: 30_000,
  pingMs: 5_000,
  /** Until it has noted a death that it told. */
  settledMs: 2_000,
} as const;

const EXEC_OUTPUT_BYTES = 64 * 1024;
const EXIT_POLL_MS = 500;
const EXEC_POLL_MS = 20;

export class DockerEngine implements Engine {
  readonly #connection: Connection;
  readonly #listed = new LastRead(containersIn);

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  info(): Promise<EngineInfo> {
    return this.#connection.info();
  }

  async room(): Promise<Room | undefined> {
    const call = { name: 'info', what: 'ask where it keeps its data', timeoutMs: DEADLINES.askMs };
    const { DockerRootDir: path = '' } = await this.#connection.call(call, (docker, abortSignal) =>
      get<{ DockerRootDir?: string }>(docker, '/info', {}, abortSignal),
    );
    const disk = await statfs(path).catch(() => undefined);
    return disk === undefined ? undefined : { path, freeBytes: disk.bavail * disk.bsize };
  }

  async image(ref: string): Promise<Image | undefined> {
    const call = { name: 'image-inspect', what: `show the image ${ref}`, timeoutMs: DEADLINES.askMs };
    const found = await this.#connection.call(call, (docker, abortSignal) =>
      get<Docker.ImageInspectInfo>(docker, `/images/${pathOf(ref)}/json`, {}, abortSignal).catch(
        undefinedFor404,
      ),
    );
    if (found === undefined) return undefined;
    const user = found.Config?.User ?? '';
    const image = { id: found.Id, digests: found.RepoDigests ?? [], tags: found.RepoTags ?? [] };
    return user === '' ? image : { ...image, user };
  }

  async pull(ref: string, options: PullOptions = {}): Promise<Image> {
    await pullImage(this.#connection, ref, options);
    const image = await this.image(ref);
    if (image !== undefined) return image;
    throw new GantryError('image-not-found', `The image ${ref} was pulled, but this host does not have it.`);
  }

  async containers(filter: ContainerFilter): Promise<readonly Container[]> {
    const call = { name: 'list', what: 'list the containers', timeoutMs: DEADLINES.askMs };
    const query = { all: 1, filters: JSON.stringify({ label: labelFilters(filter) }) };
    const read = (text: string) => this.#listed.of(text);
    return this.#connection.call(call, (docker, abortSignal) =>
      get(docker, '/containers/json', query, abortSignal, read),
    );
  }

  async exists(nameOrId: string): Promise<boolean> {
    return (await this.#inspect(nameOrId)) !== undefined;
  }

  create(spec: ContainerSpec): Promise<string> {
    const call = {
      name: 'create',
      what: `create the container ${spec.name}`,
      timeoutMs: DEADLINES.createMs,
      slow: true,
    };
    return this.#connection.call(call, async (docker, abortSignal) => {
      const request = { _query: { name: spec.name }, _body: spec.body, abortSignal };
      const container = await docker
        .createContainer(request as Docker.ContainerCreateOptions)
        .catch((error) => Promise.reject(createFailure(error, spec)));
      if (typeof container.id === 'string') return container.id;
      throw new Error('the answer names no container');
    });
  }

  async start(id: string): Promise<void> {
    const call = {
      name: 'start',
      what: `start the container ${short(id)}`,
      timeoutMs: DEADLINES.startMs,
      slow: true,
    };
    await this.#connection.call(call, (docker, abortSignal) =>
      docker
        .getContainer(id)
        .start({ abortSignal })
        .catch((error) => {
          if (statusOf(error) === 304) return;
          throw goneOr(id, error);
        }),
    );
  }

  async stop(id: string, timeoutMs: number): Promise<void> {
    const own = await this.#own(id, 'stop');
    if (own === undefined) return;
    const seconds = Math.ceil(timeoutMs / 1000);
    const call = {
      name: 'stop',
      what: `stop the container ${short(id)}`,
      timeoutMs: seconds * 1000 + DEADLINES.stopExtraMs,
      slow: true,
    };
    await this.#connection.call(call, (docker, abortSignal) =>
      Promise.race([
        docker.getContainer(own).stop({ t: seconds, abortSignal }).catch(alreadyDone),
        this.#ended(own, abortSignal),
      ]),
    );
  }

  async kill(id: string): Promise<void> {
    const own = await this.#own(id, 'kill');
    if (own === undefined) return;
    const call = {
      name: 'kill',
      what: `kill the container ${short(id)}`,
      timeoutMs: DEADLINES.killMs,
      slow: true,
    };
    await this.#connection.call(call, (docker, abortSignal) =>
      docker.getContainer(own).kill({ signal: 'SIGKILL', abortSignal }).catch(alreadyDone),
    );
  }

  async remove(id: string): Promise<void> {
    await this.#remove(id, true);
  }

  removeStopped(id: string): Promise<boolean> {
    return this.#remove(id, false);
  }

  /** Answers whether it is gone. */
  async #remove(id: string, force: boolean): Promise<boolean> {
    const own = await this.#own(id, 'remove');
    if (own === undefined) return true;
    const call = {
      name: 'remove',
      what: `remove the container ${short(id)}`,
      timeoutMs: DEADLINES.removeMs,
      slow: true,
    };
    return this.#connection.call(call, (docker, abortSignal) =>
      docker
        .getContainer(own)
        .remove({ v: true, force, abortSignal })
        .then(() => true, force ? goneAlready : goneUnlessRunning),
    );
  }

  async exit(id: string): Promise<ExitReport | undefined> {
    const info = await this.#inspect(id);
    return info && exitReport(info);
  }

  async pid(id: string): Promise<number | undefined> {
    const info = await this.#inspect(id);
    const pid = info?.State.Pid ?? 0;
    // It may have ended before the engine knows; then its number may be somebody else's.
    return info === undefined || pid <= 0 ? undefined : processHere(pid, info.Id);
  }

  async logs(id: string, lines: number): Promise<readonly string[]> {
    const info = await this.#inspect(id);
    if (info === undefined) return [];
    const call = {
      name: 'logs',
      what: `show the log of ${short(id)}`,
      timeoutMs: DEADLINES.logsMs,
      slow: true,
    };
    return this.#connection.call(call, async (docker, signal) => {
      const tail = new Tail(lines);
      const query = { stdout: 1, stderr: 1, tail: lines };
      const path = `/containers/${info.Id}/logs`;
      const stream = await getStream(docker, path, query, signal).catch(undefinedForNoLog);
      if (stream === undefined) return [];
      for await (const piece of pieces(stream, info.Config.Tty)) tail.add(piece);
      return tail.lines();
    });
  }

  /** After engine-timeout the command may still run: Docker has no call to end it. */
  exec(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const call = { name: 'exec', what: `run a command in ${short(id)}`, timeoutMs, slow: true };
    const result = this.#connection.call(call, async (docker, abortSignal) => {
      const request = { Cmd: [...command], AttachStdout: true, AttachStderr: true, abortSignal };
      try {
        const exec = await docker.getContainer(id).exec(request);
        const stream = await exec.start({ abortSignal } as Docker.ExecStartOptions);
        const head = new Head(EXEC_OUTPUT_BYTES);
        for await (const { bytes } of pieces(stream, false)) head.add(bytes);
        return { exitCode: await execCode(exec, abortSignal), output: head.text() };
      } catch (error) {
        throw isNoSuchContainer(error) || isNotRunning(error) ? gone(id, error) : error;
      }
    });
    return result.catch((error) => Promise.reject(endless(error, id, timeoutMs)));
  }

  async openExec(id: string, asked: ExecAsked): Promise<ExecSession> {
    const own = await this.#own(id, 'run a command in');
    if (own === undefined) throw gone(id, new Error('no such container'));
    // Loaded late: few ask for it.
    const { openExec } = await import('./container-exec.ts');
    return openExec(this.#connection, own, asked);
  }

  async gateway(network: string | undefined): Promise<string | undefined> {
    const name = network === undefined || network === 'default' ? 'bridge' : network;
    if (name === 'host' || name === 'none' || name.startsWith('container:')) return undefined;
    const call = { name: 'network-inspect', what: `show the network ${name}`, timeoutMs: DEADLINES.askMs };
    return this.#connection.call(call, async (docker, abortSignal) =>
      gatewayOf(await get(docker, `/networks/${encodeURIComponent(name)}`, {}, abortSignal)),
    );
  }

  watch(listener: (event: EngineEvent) => void, signal: AbortSignal): void {
    const connection = this.#connection;
    const ended = new AbortController();
    const detach = [signal, connection.closing].map((s) => onAbort(s, () => ended.abort()));
    const ask = { name: 'ping', what: 'answer', timeoutMs: DEADLINES.pingMs };
    const source = {
      open: (until: AbortSignal) => openEvents(connection, until),
      ping: () => connection.call(ask, (docker, abortSignal) => get(docker, '/version', {}, abortSignal)),
      settled: (id: string) => this.#inspect(id, DEADLINES.settledMs),
    };
    void watchEvents(source, listener, ended.signal).finally(() => {
      for (const each of detach) each();
    });
  }

  close(): void {
    this.#connection.close();
  }

  #inspect(
    nameOrId: string,
    timeoutMs: number = DEADLINES.askMs,
  ): Promise<Docker.ContainerInspectInfo | undefined> {
    return inspectContainer(this.#connection, nameOrId, { timeoutMs });
  }

  /** The full id; undefined: gone. engine-failed when it is not ours. */
  async #own(id: string, verb: string): Promise<string | undefined> {
    const info = await this.#inspect(id);
    if (info === undefined) return undefined;
    if (isOurs(info.Config.Labels)) return info.Id;
    throw new GantryError(
      'engine-failed',
      `gantryd did not make the container ${short(id)} and will not ${verb} it.`,
      {
        hint: `Only containers with the label ${LABELS.project} and its companions are gantryd's.`,
      },
    );
  }

  /** Settles once the container is seen not to run: the stop call itself may never settle. */
  async #ended(id: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(EXIT_POLL_MS, undefined, { signal });
      // A failed look proves nothing: the stop call itself ends when the engine is gone.
      const ended = await this.#inspect(id).then(
        (info) => !info?.State.Running,
        () => false,
      );
      if (ended) return;
    }
  }
}

function undefinedForNoLog(error: unknown): undefined {
  if (statusOf(error) !== 404 && !isUnreadableLog(error)) throw error;
}

/** Of stop, kill and remove. */
function alreadyDone(error: unknown): void {
  const done =
    statusOf(error) === 304 || isNoSuchContainer(error) || isBeingRemoved(error) || isNotRunning(error);
  if (!done) throw error;
}

function goneAlready(error: unknown): true {
  alreadyDone(error);
  return true;
}

/** What conflicts with a removal that is not forced is that it runs. */
function goneUnlessRunning(error: unknown): boolean {
  if (statusOf(error) === 409 && !isBeingRemoved(error)) return false;
  return goneAlready(error);
}

function createFailure(error: unknown, spec: ContainerSpec): unknown {
  if (isNoSuchImage(error)) {
    return new GantryError(
      'image-not-found',
      `This host lacks the image of ${spec.name}: ${wordsOf(error)}`,
      {
        cause: error,
      },
    );
  }
  if (statusOf(error) !== 409) return error;
  return new GantryError('name-taken', `A container named ${spec.name} exists already.`, { cause: error });
}

/** A command without end is hardly the engine's fault. */
function containersIn(list: string): readonly Container[] {
  const infos = JSON.parse(list) as readonly Docker.ContainerInfo[];
  return infos.flatMap((info) => containerOf(info) ?? []);
}

function endless(error: unknown, id: string, timeoutMs: number): unknown {
  if (!isGantryError(error, 'engine-timeout')) return error;
  const message = `The command in ${short(id)} did not end within ${timeoutMs / 1000} s.`;
  return new GantryError('engine-timeout', message, {
    cause: error,
    retryable: true,
    hint: 'It may still be running in the container: the engine cannot end it.',
  });
}

async function execCode(exec: Docker.Exec, signal: AbortSignal): Promise<number> {
  for (;;) {
    const { Running, ExitCode } = await exec.inspect({ abortSignal: signal });
    if (!Running && typeof ExitCode === 'number') return ExitCode;
    // The engine notes the end a moment after the output has ended.
    await delay(EXEC_POLL_MS, undefined, { signal });
  }
}

/** Slashes and colons belong to an image's name, anything else is made harmless. */
export function pathOf(ref: string): string {
  return encodeURIComponent(ref).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@');
}
