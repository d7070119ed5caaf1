/**
 * Finds the proxy of a state directory or starts it. It is started in a session of its own with
 * nothing of the starter's but the log file, so it outlives the starter, its terminal and its
 * signals. flock(1) holds the lock through exec: the kernel keeps it at one proxy per directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../durable-file.ts';
import { GantryError, isGantryError, messageOf } from '../errors.ts';
import { ProxyClient } from './client.ts';
import { PROTOCOL_VERSION, PROXY_LOCK, PROXY_LOG, type ProxyStatus } from './protocol.ts';

const START_DEADLINE_MS = 15_000;
const POLL_MS = 25;
const PROBE_DEADLINE_MS = 5_000;
const LOCK_HELD = 75;
const LOG_TAIL_LINES = 10;
/** All of the starter's environment that the proxy gets: what it does must not depend on who started it. */
const ENVIRONMENT = ['PATH', 'HOME', 'TZ', 'LANG'] as const;

/** Throws GantryError proxy-failed when it cannot be started, with the end of its log. */
export async function ensureProxy({ stateDir }: { readonly stateDir: string }): Promise<ProxyClient> {
  const folder = resolve(stateDir);
  const client = new ProxyClient({ stateDir: folder });
  const probe = new ProxyClient({ stateDir: folder, deadlineMs: PROBE_DEADLINE_MS });
  const running = await statusIfAny(probe);
  if (running === undefined) await start(folder, probe);
  else refuseOther(running);
  return client;
}

async function start(folder: string, probe: ProxyClient): Promise<void> {
  await prepareFolder(folder);
  const deadline = performance.now() + START_DEADLINE_MS;
  let child = launch(folder);
  while (performance.now() < deadline) {
    const status = await statusIfAny(probe);
    if (status !== undefined) return refuseOther(status);
    const end = child.end();
    // Another starter won, or a proxy is on its way out: its socket answers soon, or the lock is free soon.
    if (end === LOCK_HELD) child = launch(folder);
    else if (end !== undefined) throw await startFailed(folder, `it ended with ${end}`);
    await sleep(POLL_MS);
  }
  throw await startFailed(folder, `it did not answer within ${START_DEADLINE_MS} ms`);
}

interface Launched {
  /** The exit code, signal or error once it has ended. */
  end(): number | string | undefined;
}

function launch(folder: string): Launched {
  const logFd = openSync(join(folder, PROXY_LOG), 'a', 0o600);
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const command = ['-n', '-E', `${LOCK_HELD}`, '--no-fork', join(folder, PROXY_LOCK), process.execPath, main];
  let end: number | string | undefined;
  const child: ChildProcess = spawn('flock', [...command, '--state-dir', folder], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', logFd, logFd],
    env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
  });
  closeSync(logFd);
  child.once('error', (error) => {
    end = messageOf(error);
  });
  child.once('exit', (code, signal) => {
    end = code ?? signal ?? 'an unknown end';
  });
  child.unref();
  return { end: () => end };
}

async function statusIfAny(probe: ProxyClient): Promise<ProxyStatus | undefined> {
  try {
    return await probe.status();
  } catch (error) {
    if (isGantryError(error, 'proxy-unreachable') && isAbsent(error.cause)) return undefined;
    throw error;
  }
}

/** Nobody listens there (any more), which is something else than somebody not answering. */
function isAbsent(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ECONNRESET';
}

function refuseOther(status: ProxyStatus): void {
  if (status.protocol === PROTOCOL_VERSION) return;
  const message = `the running proxy (${status.version}) speaks protocol ${status.protocol}, not ${PROTOCOL_VERSION}`;
  throw new GantryError('proxy-failed', message, {
    hint: 'Stop it when it is idle (`gantryd proxy stop`); the next command starts the new one.',
  });
}

async function prepareFolder(folder: string): Promise<void> {
  await makeFolder(folder).catch((cause) => {
    throw new GantryError('state-dir', `cannot make the state directory ${folder}: ${messageOf(cause)}`, {
      cause,
    });
  });
}

async function startFailed(folder: string, why: string): Promise<GantryError> {
  const path = join(folder, PROXY_LOG);
  const text = await readFile(path, 'utf8').catch(() => '');
  const tail = text.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  const said = tail === '' ? '' : `. The end of ${path}:\n${tail}`;
  const hint = why.includes('ENOENT') ? { hint: 'flock is missing; it is part of util-linux.' } : {};
  return new GantryError('proxy-failed', `the proxy could not be started: ${why}${said}`, hint);
}
