/**
 * `gantryd exec`: a command in a container of a component, wherever in the fleet. Its streams and its exit code are those
 * of this process; what gantryd says of it goes to stderr.
 */
import { spawnSync } from 'node:child_process';
import { ExecChannel } from '../../api/exec/exec-channel.ts';
import { type FleetExec, type FleetExecAsked, fleetExec } from '../../api/exec/fleet-exec.ts';
import type { ExecAsked, ExecSignal, TerminalSize } from '../../docker/exec-session.ts';
import { GantryError } from '../../errors.ts';
import { printable, short } from '../../event-words.ts';
import { whoAsks } from '../access/who-asks.ts';
import { withFleet } from '../etcd.ts';
import { AttachedExec } from './exec-attached.ts';
import type { ExecArguments } from './exec-options.ts';

const COLUMNS = 80;
const ROWS = 24;
const STTY_MS = 1_000;
/** As shells have it for what SIGINT ended. */
const INTERRUPTED = 130;

/** The exit code of the command; 126, 127: it could not be run, or is not there. */
export async function runExec(args: ExecArguments, argv: readonly string[] = process.argv): Promise<number> {
  const asked = askedOf(args, argv);
  const { host, container } = args;
  const place: FleetExecAsked = {
    ...{ project: args.project, component: args.component[0] ?? '', by: whoAsks() },
    ...(host === undefined ? {} : { host }),
    ...(container === undefined ? {} : { container }),
  };
  return withFleet(args, async (fleet) => {
    // Until something runs, a signal ends this process as it would any.
    return attached(await fleetExec(fleet, place, new AbortController().signal), asked, args);
  });
}

async function attached(
  { socket, of, host, container }: FleetExec,
  asked: ExecAsked,
  args: ExecArguments,
): Promise<number> {
  const whose = `${host}/${short(container)}`;
  const say = (words: string) => args.logLevel !== 'silent' && process.stderr.write(`${printable(words)}\n`);
  const channel = new ExecChannel(socket);
  let isLeft = false;
  const exec = new AttachedExec({
    ...{ channel, streams: process },
    ...(args.interactive ? { stdin: process.stdin } : {}),
    onBegan: () => of > 1 && say(`In ${whose}, one of ${of}`),
    onUnsignalled() {
      isLeft = true;
      channel.close();
    },
  });
  const raw = args.interactive && asked.terminal !== undefined;
  const resized = () => exec.resize(sizeHere());
  const signals = new Signals(exec, () => channel.close());
  if (asked.terminal !== undefined) process.stdout.on('resize', resized);
  if (raw) rawTerminal();
  try {
    const end = await exec.run(asked);
    if (end.neverRan !== undefined) process.stderr.write(`Error: ${printable(end.neverRan)}\n`);
    else if (end.containerEnded) say(`The container ${whose} ended meanwhile`);
    return end.exitCode;
  } catch (error) {
    if (isLeft) throw unsignalled(host);
    if (signals.gaveUp) return INTERRUPTED;
    throw error;
  } finally {
    signals.close();
    if (raw) process.stdin.setRawMode(false);
    process.stdout.off('resize', resized);
    process.stdin.pause();
  }
}

/** Throws usage. */
function askedOf(args: ExecArguments, argv: readonly string[]): ExecAsked {
  const command = commandOf(args, argv);
  if (command.length === 0)
    throw new GantryError('usage', 'There is no command to run', {
      hint: 'It comes last, after --: gantryd exec shop -c web -- ls -l',
    });
  const { interactive: input, tty, user, workdir, env } = args;
  if (tty && input && !process.stdin.isTTY)
    throw new GantryError('usage', '-t with -i needs a terminal, which stdin is not', {
      hint: 'Leave -t out to give the command what is piped.',
    });
  return {
    ...{ command, input, env: env.map(variable) },
    ...(tty ? { terminal: sizeHere() } : {}),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
  };
}

/** Behind `--` as they were typed: the parser makes numbers of some. */
function commandOf({ command }: ExecArguments, argv: readonly string[]): readonly string[] {
  const dashes = argv.indexOf('--');
  return dashes < 0 ? command : [...command, ...argv.slice(dashes + 1)];
}

function variable(text: string): string {
  if (/^[^=]+=/.test(text)) return text;
  const value = process.env[text];
  if (value !== undefined && text !== '') return `${text}=${value}`;
  throw new GantryError('usage', `--env ${text} is neither NAME=VALUE nor a variable that is set here`);
}

/** Node leaves line ends to be completed, which the command's terminal does already; restored with all the rest. */
function rawTerminal(): void {
  process.stdin.setRawMode(true);
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'], timeout: STTY_MS });
}

function sizeHere(): TerminalSize {
  const { columns = COLUMNS, rows = ROWS } = process.stdout;
  return { columns: columns || COLUMNS, rows: rows || ROWS };
}

function unsignalled(host: string): GantryError {
  return new GantryError('interrupted', `The agent of ${host} cannot signal the command; it runs on`, {
    hint: "Its processes are another machine's, or its agent runs in a container. Its input has ended.",
  });
}

/**
 * SIGINT and SIGTERM are the command's: the second SIGINT is SIGKILL to it, and the third ends this process alone. When
 * the terminal goes (SIGHUP), the command's agent ends it.
 */
class Signals {
  readonly #names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  readonly #exec: AttachedExec;
  readonly #leave: () => void;
  #interrupts = 0;
  readonly #on = (name: NodeJS.Signals) => this.#heed(name as ExecSignal);

  constructor(exec: AttachedExec, leave: () => void) {
    this.#exec = exec;
    this.#leave = leave;
    for (const name of this.#names) process.on(name, this.#on);
  }

  /** The connection was let go of because of a signal. */
  gaveUp = false;

  close(): void {
    for (const name of this.#names) process.off(name, this.#on);
  }

  #heed(name: ExecSignal): void {
    if (name === 'SIGINT') this.#interrupts += 1;
    if (name === 'SIGHUP' || this.#interrupts > 2) this.#giveUp();
    else this.#exec.signal(this.#interrupts === 2 ? 'SIGKILL' : name);
  }

  #giveUp(): void {
    this.gaveUp = true;
    this.#leave();
  }
}
