/**
 * What every process of a proxy is started with: a session of its own, the log, and nothing of the starter's that
 * could change what it does.
 */
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOf } from '../../errors.ts';
import { PROXY_LOG } from '../control/protocol.ts';

/** This version's program. */
export const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

const LOG_TAIL_LINES = 20;
const ENVIRONMENT = ['PATH', 'HOME', 'TZ', 'LANG'] as const;

export function surroundings(): { cwd: string; detached: true; env: NodeJS.ProcessEnv } {
  const env = Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]]));
  return { cwd: '/', detached: true, env };
}

/** The caller closes it. */
export function openProxyLog(folder: string): number {
  return openSync(join(folder, PROXY_LOG), 'a', 0o600);
}

/** SIGKILL. One that has ended meanwhile is what was wanted. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** Why a process of the proxy did not start, in its own last words. */
export async function withLastWords(folder: string, why: string): Promise<string> {
  const path = join(folder, PROXY_LOG);
  const text = await readFile(path, 'utf8').catch(() => '');
  const tail = text.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  return tail === '' ? why : `${why}. The end of ${path}:\n${tail}`;
}
