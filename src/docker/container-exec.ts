/**
 * A command in a running container, over one connection to the engine for both directions. The engine says on it, too,
 * why a command could not be run, in the place of its output; and it has no call to signal a command, only its process
 * id: https://docs.docker.com/reference/api/engine/ "Exec"
 */
import { type Duplex, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type Docker from 'dockerode';
import { within } from '../deadline.ts';
import { GantryError, isGantryError } from '../errors.ts';
import { type Connection, get, hijack } from './connection.ts';
import { onAbort } from './deadline.ts';
import type { Piece } from './demux.ts';
import type { ExecAsked, ExecEnd, ExecSession, ExecSignal, TerminalSize } from './exec-session.ts';
import { brokenOff, isMissingProgram, isNotRunning, statusOf } from './failures.ts';
import { gone, goneOr, inspectContainer, short } from './inspect.ts';
import { Head } from './lines.ts';
import { signalGroup } from './process-group.ts';
import { pieces } from './streams.ts';

const OPEN_MS = 30_000;
const ASK_MS = 10_000;
/** The engine notes the beginning and the end of a command a moment after its streams have them. */
const POLL_MS = 20;
const NOTED_MS = 10_000;
/** An engine that has much to do begins a command late, and goes on answering meanwhile. */
const START_MS = 30_000;
const MAX_WORDS_BYTES = 4 * 1024;

/** What the engine knows of a command. */
interface Known {
  readonly Running: boolean;
  readonly ExitCode: number | null;
  /** As the machine of the engine numbers it; 0: it never ran. */
  readonly Pid: number;
}

/** container-gone where the container does not run, engine-timeout when the command has not begun within that time. */
export async function openExec(
  connection: Connection,
  container: string,
  asked: ExecAsked,
  startMs = START_MS,
): Promise<ExecSession> {
  const { address } = await connection.info();
  const exec = await created(connection, container, asked);
  const socket = await begun(connection, container, exec, asked);
  const session = new Session({ connection, address, container, exec, socket, asked });
  try {
    await session.start(startMs);
  } catch (error) {
    session.close();
    throw error;
  }
  return session;
}

async function created(connection: Connection, container: string, asked: ExecAsked): Promise<string> {
  const { command, env, user, workdir, input } = asked;
  const call = { name: 'exec', what: `run a command in ${short(container)}`, timeoutMs: OPEN_MS };
  const body = {
    ...{ Cmd: [...command], AttachStdout: true, AttachStderr: true, AttachStdin: input },
    ...terminalOf(asked),
    ...(env === undefined ? {} : { Env: [...env] }),
    ...(user === undefined ? {} : { User: user }),
    ...(workdir === undefined ? {} : { WorkingDir: workdir }),
  };
  return connection.call(call, async (docker, abortSignal) => {
    try {
      return (await docker.getContainer(container).exec({ ...body, abortSignal })).id;
    } catch (error) {
      throw isNotRunning(error) ? gone(container, error) : goneOr(container, error);
    }
  });
}

function begun(connection: Connection, container: string, exec: string, asked: ExecAsked): Promise<Duplex> {
  const call = {
    ...{ name: 'exec-start', what: `start a command in ${short(container)}` },
    ...{ timeoutMs: OPEN_MS, slow: true },
  };
  const body = { Detach: false, ...terminalOf(asked) };
  return connection.open(call, async (docker, signal) => {
    try {
      const socket = await hijack(docker, `/exec/${exec}/start`, {}, signal, body);
      return socket.on('error', () => {}); // whoever reads or writes learns of it
    } catch (error) {
      throw isNotRunning(error) ? gone(container, error) : goneOr(container, error);
    }
  });
}

/** The size is passed over by engines before API 1.42, and told again once the command runs. */
function terminalOf({ terminal }: ExecAsked): object {
  if (terminal === undefined) return { Tty: false };
  return { Tty: true, ConsoleSize: [terminal.rows, terminal.columns] };
}

interface SessionInput {
  readonly connection: Connection;
  /** Where the engine is. */
  readonly address: string;
  readonly container: string;
  readonly exec: string;
  readonly socket: Duplex;
  readonly asked: ExecAsked;
}

class Session implements ExecSession {
  readonly #of: SessionInput;
  readonly input: Writable;
  #output: AsyncIterable<Piece>;
  #pid = 0;
  #end: ExecEnd | undefined;
  #isClosed = false;

  constructor(of: SessionInput) {
    this.#of = of;
    this.input = new ExecInput(of.socket);
    this.#output = this.#read();
    of.socket.once(
      'close',
      onAbort(of.connection.closing, () => of.socket.destroy()),
    );
  }

  get output(): AsyncIterable<Piece> {
    return this.#output;
  }

  /** Until the engine knows what became of it: then there is a process, or the reason why there is none. */
  async start(withinMs: number): Promise<void> {
    const { container, asked } = this.#of;
    const { terminal } = asked;
    const isBegun = ({ Pid, ExitCode }: Known) => Pid > 0 || ExitCode !== null;
    const known = await this.#known(isBegun, withinMs, () => notBegun(container, withinMs));
    this.#pid = known.Pid;
    if (known.Pid === 0) await this.#heedWords(known.ExitCode ?? NOT_RUN);
    else if (terminal !== undefined) await this.resize(terminal);
  }

  async #heedWords(exitCode: number): Promise<void> {
    const words = new Head(MAX_WORDS_BYTES);
    for await (const { bytes } of this.#output) words.add(bytes);
    const neverRan = words.text().trim() || 'the engine did not say why';
    this.#end = { exitCode: isMissingProgram(neverRan) ? MISSING : exitCode, neverRan };
    this.#output = nothing();
  }

  async *#read(): AsyncGenerator<Piece> {
    const { socket, asked, address, container } = this.#of;
    try {
      yield* pieces(socket, asked.terminal !== undefined);
    } catch (error) {
      if (this.#isClosed)
        throw new GantryError('interrupted', 'The command was let go of.', { cause: error });
      throw brokenOff(`go on telling what a command in ${short(container)} prints`, address, error);
    }
  }

  async resize({ columns, rows }: TerminalSize): Promise<void> {
    const { connection, exec } = this.#of;
    const call = { name: 'exec-resize', what: 'resize a terminal', timeoutMs: ASK_MS };
    await connection.call(call, (docker, abortSignal) =>
      docker
        .getExec(exec)
        .resize({ h: rows, w: columns, abortSignal } as Parameters<Docker.Exec['resize']>[0])
        .catch((error) => {
          if (statusOf(error) === undefined) throw error; // else it has ended
        }),
    );
  }

  async signal(name: ExecSignal): Promise<boolean> {
    if (this.#pid === 0 || this.#end !== undefined) return false;
    const isLeft = (await this.#ask())?.Running === true;
    return isLeft && signalGroup(this.#pid, this.#of.container, name);
  }

  async ended(signal: AbortSignal): Promise<ExecEnd> {
    this.#end ??= await this.#report(signal);
    return this.#end;
  }

  async #report(signal: AbortSignal): Promise<ExecEnd> {
    const { connection, container } = this.#of;
    const isOver = ({ Running, ExitCode }: Known) => !Running && ExitCode !== null;
    const known = await this.#known(isOver, NOTED_MS, (cause) => unnoted(signal, cause), signal);
    const exitCode = known.ExitCode ?? NOT_RUN;
    if (exitCode <= SIGNALLED) return { exitCode };
    const info = await inspectContainer(connection, container, { timeoutMs: ASK_MS, until: signal });
    return info?.State.Running === true ? { exitCode } : { exitCode, containerEnded: true };
  }

  /** A container that was removed takes what the engine knows of its commands along. */
  async #known(
    is: (known: Known) => boolean,
    withinMs: number,
    late: (cause: unknown) => GantryError,
    signal?: AbortSignal,
  ): Promise<Known> {
    const until = within(withinMs, ...(signal === undefined ? [] : [signal]));
    for (;;) {
      const known = (await this.#ask()) ?? KILLED;
      if (is(known)) return known;
      await delay(POLL_MS, undefined, { signal: until }).catch((cause) => {
        throw late(cause);
      });
    }
  }

  /** undefined: the engine has forgotten it. */
  #ask(): Promise<Known | undefined> {
    const { connection, exec } = this.#of;
    const call = { name: 'exec-inspect', what: 'tell how a command is', timeoutMs: ASK_MS };
    return connection.call(call, (docker, abortSignal) =>
      get<Known>(docker, `/exec/${exec}/json`, {}, abortSignal).catch((error) => {
        if (statusOf(error) !== 404) throw error;
        return undefined;
      }),
    );
  }

  close(): void {
    this.#isClosed = true;
    this.input.destroy();
    this.#of.socket.destroy();
  }
}

/** Exit codes above it are of what a signal ended. */
const SIGNALLED = 128;
/** What Docker gives a command that could not be run. */
const NOT_RUN = 126;
/** As shells and `docker exec` have it; engines differ in it where a path leads nowhere. */
const MISSING = 127;
const KILLED: Known = { Running: false, ExitCode: 137, Pid: -1 };

async function* nothing(): AsyncGenerator<Piece> {}

function notBegun(container: string, withinMs: number): GantryError {
  const message = `The Docker engine has not begun a command in ${short(container)} after ${withinMs / 1000} s.`;
  return new GantryError('engine-timeout', message, {
    hint: 'It may be overloaded or hang; its own log tells more. Should it still begin it, the command runs with nobody to watch it.',
  });
}

function unnoted(signal: AbortSignal, cause: unknown): GantryError {
  if (isGantryError(signal.reason)) return signal.reason;
  if (signal.aborted)
    return new GantryError('interrupted', 'Waiting for a command was interrupted.', { cause });
  return new GantryError('engine-timeout', 'The Docker engine does not say what became of a command.', {
    ...{ retryable: true, cause },
    hint: 'It may be overloaded or hang; its own log tells more.',
  });
}

/** Its end is told to the command, and leaves the connection to what is printed. */
class ExecInput extends Writable {
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    this.on('error', () => {}); // who has nothing to write any more need not listen
    for (const end of ['end', 'close']) socket.once(end, () => this.#break());
  }

  #break(): void {
    if (!this.writableFinished) this.destroy(brokenPipe());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#socket.write(chunk, (error) => (error ? done(brokenPipe(error)) : done()));
  }

  override _final(done: (error?: Error) => void): void {
    this.#socket.end(() => done());
  }
}

function brokenPipe(cause?: unknown): Error {
  return Object.assign(new Error('the command takes no more input', { cause }), { code: 'EPIPE' });
}
