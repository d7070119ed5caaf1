/**
 * Finds the proxy of a state directory, starts it, or has it replaced by this version. It is started in a session of
 * its own with nothing of the starter's but the log file, so it outlives the starter, its terminal and its
 * signals. flock(1) holds the lock through exec: the kernel keeps it at one proxy per directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from '../../durable-file.ts';
import { GantryError, messageOf } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { isAbsent, ProxyClient } from '../control/client.ts';
import { PROTOCOL_VERSION, PROXY_LOCK, type ProxyStatus, UPGRADABLE_SINCE } from '../control/protocol.ts';
import { MAIN, openProxyLog, surroundings, withLastWords } from './spawned.ts';

const START_DEADLINE_MS = 15_000;
const POLL_MS = 25;
const PROBE_DEADLINE_MS = 5_000;
/** Longer than a proxy waits for its successor, step by step. */
const UPGRADE_DEADLINE_MS = 60_000;
const LOCK_HELD = 75;

/** A process of the proxy, as `upgradeProxy` tells of it. */
export type ProxyIdentity = Pick<ProxyStatus, 'pid' | 'version'>;

/**
 * One that runs but speaks an older protocol is replaced first, where that cuts nothing. Throws GantryError
 * proxy-failed when it cannot be started or replaced, with the end of its log.
 */
export async function ensureProxy({ stateDir }: { readonly stateDir: string }): Promise<ProxyClient> {
  const folder = resolve(stateDir);
  const client = new ProxyClient({ stateDir: folder });
  const probe = new ProxyClient({ stateDir: folder, deadlineMs: PROBE_DEADLINE_MS });
  const running = await statusIfAny(probe);
  if (running === undefined) await start(folder, probe);
  else if (running.protocol < PROTOCOL_VERSION && isUpgradable(running)) await upgradeProxy({ stateDir });
  else refuseOther(running);
  return client;
}

/**
 * Has the running proxy replaced by this version: it hands its listening sockets over and finishes what it carries.
 * Throws GantryError proxy-unreachable when none runs, proxy-failed when it cannot be; it serves on as before then.
 */
export async function upgradeProxy({
  stateDir,
}: {
  readonly stateDir: string;
}): Promise<{ readonly was: ProxyIdentity; readonly now: ProxyIdentity }> {
  const client = new ProxyClient({ stateDir: resolve(stateDir), deadlineMs: UPGRADE_DEADLINE_MS });
  const was = await client.status();
  if (!isUpgradable(was)) refuseOther(was);
  const { pid } = await client.upgrade({ node: process.execPath, main: MAIN });
  return { was: { pid: was.pid, version: was.version }, now: { pid, version: VERSION } };
}

/** Whether the running proxy is of an older version than this one and can hand over to it. */
export function isOutdated(status: ProxyStatus): boolean {
  return isUpgradable(status) && isOlder(status.version, VERSION);
}

/** By its numbers; what follows a `-` does not count. */
function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => (version.split('-')[0] ?? '').split('.').map(Number));
  const at = [0, 1, 2].find((part) => left?.[part] !== right?.[part]);
  return at !== undefined && (left?.[at] ?? 0) < (right?.[at] ?? 0);
}

/** A newer one is not: it may know what this version would not take over. */
function isUpgradable({ protocol }: ProxyStatus): boolean {
  return protocol >= UPGRADABLE_SINCE && protocol <= PROTOCOL_VERSION;
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
  const log = openProxyLog(folder);
  const command = ['-n', '-E', `${LOCK_HELD}`, '--no-fork', join(folder, PROXY_LOCK), process.execPath, MAIN];
  let end: number | string | undefined;
  const child: ChildProcess = spawn('flock', [...command, '--state-dir', folder], {
    ...surroundings(),
    stdio: ['ignore', log, log],
  });
  closeSync(log);
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
    if (isAbsent(error)) return undefined;
    throw error;
  }
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
  const hint = why.includes('ENOENT') ? { hint: 'flock is missing; it is part of util-linux.' } : {};
  return new GantryError(
    'proxy-failed',
    await withLastWords(folder, `the proxy could not be started: ${why}`),
    hint,
  );
}
