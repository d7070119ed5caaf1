/**
 * `gantry job run`, where this box has a runner: asks that one to run it, and is its caller's end of the streams. All
 * that takes time to load is loaded in the runner already; so this loads nothing but what Node has.
 */
import { lstat } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { defaultStateDir } from '../../agent/state-path.ts';
import { PACKAGE_ROOT, VERSION } from '../../version.ts';
import { type Frame, FrameReader, frame, type Request, type Taken } from './frames.ts';

/** In the state directory. */
export const RUNNER_SOCKET = 'jobs.sock';
/** A runner that is stopped, or too busy to look, is not waited for. */
const ANSWER_MS = 1_000;
/** As a shell says of a command that Ctrl-C ended. */
const INTERRUPTED = 130;

export type Asked =
  | { readonly kind: 'ended'; readonly exitCode: number }
  /** There is none, or it does not do this; nothing was done. */
  | { readonly kind: 'declined' }
  /** The runner is gone in the middle: this command goes on with it. */
  | { readonly kind: 'broken'; readonly argv: readonly string[] };

/** `words`: what follows `job run`. Never rejects. */
export async function askRunner(words: readonly string[]): Promise<Asked> {
  const socket = await connected(join(stateDirIn(words), RUNNER_SOCKET));
  if (socket === undefined) return { kind: 'declined' };
  const asked = new Asking(socket);
  try {
    const request: Request = { version: VERSION, root: PACKAGE_ROOT, words, env: process.env };
    return await asked.ask(request);
  } finally {
    asked.close();
  }
}

/** As far as it can be told without reading the whole command line: the runner reads that, and declines what is not its own. */
function stateDirIn(words: readonly string[]): string {
  const at = words.findIndex((word) => /^--state-dir(=|$)/.test(word));
  const word = words[at];
  const given = word === '--state-dir' ? words[at + 1] : word?.slice('--state-dir='.length);
  return resolve(given || process.env.GANTRYD_STATE_DIR || defaultStateDir());
}

async function connected(path: string): Promise<Socket | undefined> {
  try {
    // What is told it, also by variables, is for nobody else.
    if ((await lstat(path)).uid !== process.getuid?.()) return undefined;
  } catch {
    return undefined;
  }
  const socket = createConnection(path);
  return new Promise((done) => {
    socket.once('connect', () => done(socket)).on('error', () => done(undefined));
  });
}

class Asking {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #taken: Taken | undefined;
  #position = '';
  #interrupted = false;
  /** That have no room now. */
  readonly #full = new Set<NodeJS.WriteStream>();
  #done: (asked: Asked) => void = () => undefined;
  readonly #onSignal = () => this.#interrupt();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  ask(request: Request): Promise<Asked> {
    return new Promise((done) => {
      this.#done = done;
      this.#socket.setTimeout(ANSWER_MS, () => this.#broken());
      this.#socket.on('close', () => this.#broken()).on('data', (chunk) => this.#read(chunk));
      this.#socket.write(frame('asked', JSON.stringify(request)));
    });
  }

  close(): void {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(name, this.#onSignal);
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    try {
      for (const one of this.#frames.read(chunk)) this.#take(one);
    } catch {
      this.#broken();
    }
  }

  #take({ kind, bytes }: Frame): void {
    if (kind === 'run') this.#agree(JSON.parse(bytes.toString('utf8')));
    else if (kind === 'stdout' || kind === 'stderr') this.#tell(process[kind], bytes);
    else if (kind === 'position') this.#position = bytes.toString('latin1');
    else if (kind === 'ended') this.#done({ kind: 'ended', exitCode: Number(bytes.toString('latin1')) });
    else this.#done({ kind: 'declined' });
  }

  #agree(taken: Taken): void {
    this.#taken = taken;
    this.#socket.setTimeout(0);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, this.#onSignal);
    this.#socket.write(frame('agreed'));
  }

  /** Who is slow to read slows the run; who reads no more does not end it. */
  #tell(stream: NodeJS.WriteStream, bytes: Buffer): void {
    // What came with it is told at once; one waits for room.
    if (stream.destroyed || stream.write(bytes) || this.#full.has(stream)) return;
    this.#full.add(stream);
    this.#socket.pause();
    const goOn = () => {
      stream.off('drain', goOn).off('close', goOn).off('error', goOn);
      this.#full.delete(stream);
      if (this.#full.size === 0) this.#socket.resume();
    };
    stream.once('drain', goOn).once('close', goOn).once('error', goOn);
  }

  /** The second Ctrl-C leaves the run as it is. */
  #interrupt(): void {
    if (this.#interrupted) process.exit(INTERRUPTED);
    this.#interrupted = true;
    this.#socket.write(frame('interrupted'));
  }

  /** Before it was agreed to nothing is run. */
  #broken(): void {
    const from = this.#position === '' ? [] : ['--from', this.#position];
    if (this.#taken === undefined) this.#done({ kind: 'declined' });
    else this.#done({ kind: 'broken', argv: [...this.#taken.attach, ...from] });
  }
}
