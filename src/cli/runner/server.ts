/**
 * The runner's end of client.ts: takes `job run` commands of this box over a socket, and is to each what its own
 * process would have been. What needs its caller's own files or stdin, and what would be done otherwise here, is
 * declined before anything is done.
 */
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RunValue } from '../../cluster/job-values.ts';
import { ERROR_CODES, isGantryError, messageOf } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import type { OnLogged } from '../../jobs/disk/run-log-writer.ts';
import { type Submission, submitRun } from '../../jobs/intents/intents.ts';
import { runId } from '../../jobs/intents/run-id.ts';
import type { TakeRun } from '../../jobs/jobs-host.ts';
import { attended, keptUntilTold, told } from '../jobs/attended.ts';
import type { Box, Place } from '../jobs/place.ts';
import { openSink } from '../jobs/sink.ts';
import { refuseElsewhere } from '../jobs/waiting.ts';
import { openOutput } from '../output.ts';
import { RUNNER_SOCKET } from './client.ts';
import type { Request } from './frames.ts';
import { attachWords, Declined, judged, type Order } from './judge.ts';
import { RunnerLink } from './link.ts';

export interface BoxPlace extends Place {
  readonly box: Box;
}

/** A command has answered what it is asked by then, or is gone. */
const ANSWER_MS = 5_000;
const SOCKET_MODE_MASK = 0o177;

/** What a runner knows of itself: how long it stays when it has nothing to do, as the last command wished that it ran something for. */
export class RunnerSelf {
  patienceMs: number;
  /** Once it runs jobs. */
  take: TakeRun | undefined;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }
}

export interface ServeRunner {
  readonly place: BoxPlace;
  readonly self: RunnerSelf;
  readonly emit: (event: AgentEvent) => void;
}

export interface RunnerServer {
  /**
   * Takes no more, and breaks off what is told to commands: they go on by themselves. What a command may have agreed to is
   * made first, so that it finds it.
   */
  close(): Promise<void>;
}

/** The caller holds the runner's lock. Where there can be no socket, commands do without. */
export async function serveRunner(around: ServeRunner): Promise<RunnerServer> {
  const path = join(around.place.box.stateDir, RUNNER_SOCKET);
  const open = new Map<Socket, Serving>();
  const server = createServer((socket) => {
    const serving = new Serving(around, socket);
    open.set(socket, serving);
    socket.once('close', () => open.delete(socket));
    void serving.serve();
  });
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const [socket, serving] of open) void serving.decided.then(() => socket.destroy());
    await closed;
  };
  try {
    await rm(path, { force: true });
    await listening(server, path);
  } catch (error) {
    around.emit(trouble(error));
  }
  return { close };
}

function listening(server: Server, path: string): Promise<void> {
  const mask = process.umask(SOCKET_MODE_MASK);
  try {
    return new Promise((resolve, reject) => {
      server.once('error', reject).listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
}

/** One command. */
class Serving {
  readonly #around: ServeRunner;
  readonly #link: RunnerLink;
  #decided: Promise<void> = Promise.resolve();
  #decide: () => void = () => undefined;

  constructor(around: ServeRunner, socket: Socket) {
    this.#around = around;
    this.#link = new RunnerLink(socket);
  }

  /** Pending while the command may have agreed to a run that is not there yet. Never rejects. */
  get decided(): Promise<void> {
    return this.#decided;
  }

  /** Never rejects. */
  async serve(): Promise<void> {
    try {
      const request = JSON.parse(await this.#link.expect('asked', ANSWER_MS)) as Request;
      const order = await judged(request, this.#around.place);
      if (order instanceof Declined) return await this.#decline(order);
      await this.#carryOut(order);
    } catch (error) {
      if (!this.#link.gone.aborted) this.#around.emit(trouble(error));
    } finally {
      this.#decide();
      this.#link.end();
    }
  }

  async #decline({ why, isOutdated }: Declined): Promise<void> {
    // The next one is of the version that asked.
    if (isOutdated) this.#around.self.patienceMs = 0;
    await this.#link.send('declined', why);
  }

  /** Nothing is done before the command knows by which name it finds it again, and has agreed. */
  async #carryOut(order: Order): Promise<void> {
    const { args, job, fleet, lingerMs } = order;
    const id = runId(job.name, fleet.now());
    this.#decided = new Promise((resolve) => {
      this.#decide = resolve;
    });
    await this.#link.send(
      'run',
      JSON.stringify({ run: id, attach: attachWords(args, this.#around.place.box, id) }),
    );
    await this.#link.expect('agreed', ANSWER_MS);
    this.#around.self.patienceMs = lingerMs;
    await this.#link.send('ended', String(await this.#exitCode(order, id)));
  }

  async #exitCode(order: Order, id: string): Promise<number> {
    const { args, job } = order;
    const place = { ...this.#around.place, fleet: order.fleet };
    const options = { json: args.json, level: args.logLevel, streams: this.#link.streams };
    const sink = openSink({ ...options, showLogs: args.showLogs });
    let run: RunValue | undefined;
    try {
      refuseElsewhere(job);
      let isTold = false;
      const onTold = (position: string) => this.#link.note('position', position);
      // As it is logged: who reads slowly holds the container back, where a log would lose its oldest part.
      const onLogged: OnLogged = async (entries, next) => {
        for (const entry of entries) await sink.entry(entry);
        await onTold(next);
      };
      const take: Submission['take'] = async (made, conditions) => {
        const taken = await this.#around.self.take?.(made, conditions, onLogged);
        isTold = taken === true;
        return taken;
      };
      run = await submitRun(order.fleet, keptUntilTold(job, args.remove), {
        ...{ input: { kind: 'none' }, id, take },
      });
      this.#decide();
      const followed = { place, run, sink, onTold, isTold };
      const ended = await attended(followed, this.#link.interrupted, this.#link.gone);
      return await told(place, ended, sink, args.remove);
    } catch (error) {
      // A command that goes on with it finds out by itself what is wrong.
      if (run !== undefined || !isGantryError(error)) throw error;
      openOutput(options).error(error);
      return ERROR_CODES[error.code].exit;
    }
  }
}

function trouble(error: unknown): AgentEvent {
  const code = isGantryError(error) ? error.code : 'internal';
  return { kind: 'trouble', code, message: messageOf(error), component: '', at: Date.now() };
}
