/**
 * Runs one program to its end: what it printed, how it ended, a deadline. Sees to nothing else; a program that is not
 * there is an answer as well.
 */
import { spawn } from 'node:child_process';

const DEADLINE_MS = 10_000;
/** What is kept of what a program prints. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const NOT_FOUND = 127;
/**
 * What programs are started with. Debian and others keep in sbin what only root needs, and services are often started
 * without it; what is read of answers is English; and nft would keep a history in the home of whoever runs it.
 */
export const SURROUNDINGS = {
  ...process.env,
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`,
  LC_ALL: 'C',
  HOME: '/dev/null',
};

export interface Ended {
  /** 0 when all is well; 127: there is no such program. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never rejects. One that takes longer than ten seconds is killed, and its status is not 0. */
export function runCommand(file: string, args: readonly string[], input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      env: SURROUNDINGS,
      timeout: DEADLINE_MS,
      killSignal: 'SIGKILL',
      cwd: '/',
    });
    const stdout = kept(child.stdout);
    const stderr = kept(child.stderr);
    child.once('error', ({ message }) => resolve({ status: NOT_FOUND, stdout: '', stderr: message }));
    child.once('close', (code, signal) => {
      const late = signal === null ? '' : ` (ended by ${signal}, at the latest after ${DEADLINE_MS} ms)`;
      resolve({ status: code ?? -1, stdout: stdout(), stderr: `${stderr()}${late}` });
    });
    child.stdin.on('error', () => undefined); // it ended without reading: its status says why
    child.stdin.end(input);
  });
}

export async function hasProgram(name: string): Promise<boolean> {
  return (await runCommand('sh', ['-c', 'command -v "$1"', 'sh', name])).status === 0;
}

function kept(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}
