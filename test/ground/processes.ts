/**
 * Real processes in tests: run one to its end or keep one going, with all output kept and a certain end
 * with the test. Also the built gantry and gantryd commands, in an environment free of the developer's own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { type Cleanup, engineAddress, until } from './harness.ts';

const RUN_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_CHARS = 4 * 1024 * 1024;

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Written to stdin, which is then closed. */
  readonly input?: string;
  readonly timeoutMs?: number;
  /** Is told each part of stdout as it comes; what is kept is bounded. */
  readonly onStdout?: (part: string) => void;
}

export interface RunResult {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that goes on while the test does other things; killed when the test ends. */
export interface Running {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Settles when it has ended. */
  readonly ended: Promise<RunResult>;
  signal(name: NodeJS.Signals): void;
  /** Waits for a text or pattern on stdout or stderr. */
  says(wanted: string | RegExp, timeoutMs?: number): Promise<void>;
}

export interface Cli {
  readonly env: NodeJS.ProcessEnv;
  /** Runs `gantry …` to its end; a failing exit code is an answer, not an exception. */
  gantry(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  gantryd(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a command that the test goes on to watch or signal. */
  start(command: 'gantry' | 'gantryd', args: readonly string[], options?: RunOptions): Running;
}

/** Runs a command to its end. Throws, with its output, when it takes longer than `timeoutMs`. */
export async function run(
  t: Cleanup,
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const started = start(t, file, args, options);
  const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), timeoutMs);
  });
  const result = await Promise.race([started.ended, late]).finally(() => clearTimeout(timer));
  if (result !== 'late') return result;
  started.signal('SIGKILL');
  throw new Error(
    `${file} ${args.join(' ')} took over ${timeoutMs} ms\n${started.stdout}\n${started.stderr}`,
  );
}

export function start(t: Cleanup, file: string, args: readonly string[], options: RunOptions = {}): Running {
  const child = spawn(file, args, { env: options.env ?? process.env, cwd: options.cwd ?? PACKAGE_ROOT });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] = (output[name] + text).slice(-MAX_OUTPUT_CHARS);
      if (name === 'stdout') options.onStdout?.(text);
    });
  child.stdin.on('error', () => child.stdin.destroy()); // it may end without reading
  child.stdin.end(options.input ?? '');
  const ended = ending(child, output);
  t.after(() => killed(child, ended));
  return running(child, output, ended);
}

/** The built commands of this checkout, with `stateDir` as their state directory; `prefix` comes before their lines. */
export function cli(
  t: Cleanup,
  stateDir: string,
  extra: NodeJS.ProcessEnv = {},
  prefix: readonly string[] = [],
): Cli {
  const env = { ...isolatedEnvironment(stateDir), ...extra };
  const line = (command: string, args: readonly string[]): [string, string[]] => {
    const bin = join(PACKAGE_ROOT, 'bin', `${command}.js`);
    const [file = process.execPath, ...rest] = [...prefix, process.execPath, bin, ...args];
    return [file, rest];
  };
  const merged = (options: RunOptions = {}) => ({ ...options, env: { ...env, ...options.env } });
  return {
    env,
    gantry: (args, options) => run(t, ...line('gantry', args), merged(options)),
    gantryd: (args, options) => run(t, ...line('gantryd', args), merged(options)),
    start: (command, args, options) => start(t, ...line(command, args), merged(options)),
  };
}

/** Nothing of the developer's: no Docker config, no colours, no settings of a gantryd that is really in use. */
function isolatedEnvironment(stateDir: string): NodeJS.ProcessEnv {
  const { PATH, TMPDIR, GANTRYD_GROUND } = process.env;
  return {
    PATH,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    ...(GANTRYD_GROUND === undefined ? {} : { GANTRYD_GROUND }),
    HOME: stateDir,
    LANG: 'C.UTF-8',
    NO_COLOR: '1',
    DOCKER_HOST: engineAddress(),
    GANTRYD_STATE_DIR: stateDir,
  };
}

interface Output {
  stdout: string;
  stderr: string;
}

function running(child: ChildProcess, output: Output, ended: Promise<RunResult>): Running {
  const heard = (wanted: string | RegExp) => (text: string) =>
    typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
  return {
    pid: child.pid ?? -1,
    ended,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    signal: (name: NodeJS.Signals) => void child.kill(name),
    async says(wanted: string | RegExp, timeoutMs = RUN_TIMEOUT_MS) {
      const check = () => [output.stdout, output.stderr].some(heard(wanted)) || endedSilent(child, output);
      const found = await until(check, { timeoutMs, what: `${child.spawnargs.join(' ')} to say ${wanted}` });
      if (found !== true) throw new Error(`ended without saying ${wanted}:\n${found}`);
    },
  };
}

function endedSilent(child: ChildProcess, output: Output): string | undefined {
  if (child.exitCode === null && child.signalCode === null) return undefined;
  return `${output.stdout}\n${output.stderr}`;
}

function ending(child: ChildProcess, output: Output): Promise<RunResult> {
  return new Promise((resolve) => {
    child.once('error', (error) =>
      resolve({ code: undefined, signal: undefined, stdout: '', stderr: String(error) }),
    );
    child.once('close', (code, signal) =>
      resolve({ code: code ?? undefined, signal: signal ?? undefined, ...output }),
    );
  });
}

async function killed(child: ChildProcess, ended: Promise<RunResult>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  child.stdout?.destroy(); // a grandchild that inherited them must not hold the test open
  child.stderr?.destroy();
  await ended;
}
