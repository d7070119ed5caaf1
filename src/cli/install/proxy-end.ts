/** How a proxy and what it has left in the kernel are ended, by `proxy stop` and by `uninstall --purge`. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, GantryError, isGantryError } from '../../errors.ts';
import { withLock } from '../../lock.ts';
import { SILENT } from '../../log.ts';
import { ProxyClient } from '../../proxy/control/client.ts';
import {
  type ListenerReport,
  PROXY_LOCK,
  type ProxyStatus,
  type StopRequest,
} from '../../proxy/control/protocol.ts';

/** How long a proxy without connections, or told to cut them, may take to leave. */
const LEAVE_MS = 15_000;
const POLL_MS = 25;

export interface ProxyEnding extends Required<StopRequest> {
  /** Seconds that what is open has before it is cut; undefined: without `force`, a proxy that carries something is not ended. */
  readonly within?: number | undefined;
}

/**
 * Ends the proxy of a state directory and answers the ports that the kernel leads on. Throws GantryError proxy-failed while
 * it carries something and may not cut it, when it stays, and when its rules cannot be taken out.
 */
export async function endProxy(
  stateDir: string,
  { pid, listeners }: ProxyStatus,
  { force, purge, within }: ProxyEnding,
): Promise<readonly ListenerReport[]> {
  const proxy = new ProxyClient({ stateDir });
  if (within !== undefined) await leave(pid, proxy, within * 1000);
  await stop(proxy, { force: force || within !== undefined, purge }, pid);
  // The proxy has taken its rules out, if it could: if it could not, this can or tells why.
  if (purge) await purgeKernel(stateDir);
  return purge ? [] : listeners.filter(({ plane }) => plane === 'kernel');
}

/** It accepts nothing more and ends with its last connection; resolves when it has, or when the time is over. */
async function leave(pid: number, proxy: ProxyClient, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
  while (performance.now() < end && (await isThere(proxy, pid))) await delay(POLL_MS);
}

/** Whatever a proxy of this state directory has left in the kernel. */
export async function purgeKernel(stateDir: string): Promise<void> {
  const { openKernelPlane } = await import('../../proxy/kernel/open.ts');
  const events = { targetDead() {}, targetGone() {}, restored() {} };
  const plane = openKernelPlane({ stateDir, log: SILENT, events });
  try {
    if ((await plane.ability('tcp')).can) await plane.purge();
  } finally {
    await plane.close();
  }
}

async function stop(proxy: ProxyClient, { force, purge }: Required<StopRequest>, pid: number): Promise<void> {
  await proxy.stop(force, purge).catch((error) => {
    // It has left meanwhile.
    if (!isGantryError(error, 'proxy-unreachable')) throw error;
  });
  const end = performance.now() + LEAVE_MS;
  while (await isThere(proxy, pid)) {
    if (performance.now() >= end) {
      throw new GantryError('proxy-failed', `The proxy (process ${pid}) agreed to stop and is still there`, {
        hint: 'A connection may have come in between; gantryd proxy status shows it, stop --force cuts it.',
        retryable: true,
      });
    }
    await delay(POLL_MS);
  }
}

async function isThere(proxy: ProxyClient, pid: number): Promise<boolean> {
  return (await statusIfAny(proxy))?.pid === pid;
}

/** undefined: none runs. */
export async function statusIfAny(proxy: ProxyClient): Promise<ProxyStatus | undefined> {
  try {
    return await proxy.status();
  } catch (error) {
    if (isGantryError(error, 'proxy-unreachable')) return undefined;
    throw error;
  }
}

/** The same, of one that is just starting, too. */
export async function statusOfAny(proxy: ProxyClient, stateDir: string): Promise<ProxyStatus | undefined> {
  return (await statusIfAny(proxy)) ?? (await statusOfStarting(proxy, stateDir));
}

/** A proxy that has just been started holds its lock before it answers. */
async function statusOfStarting(proxy: ProxyClient, stateDir: string): Promise<ProxyStatus | undefined> {
  const end = performance.now() + LEAVE_MS;
  while (performance.now() < end && (await isLocked(join(stateDir, PROXY_LOCK)))) {
    const status = await statusIfAny(proxy);
    if (status !== undefined) return status;
    await delay(POLL_MS);
  }
  return statusIfAny(proxy);
}

async function isLocked(path: string): Promise<boolean> {
  try {
    await withLock(path, { timeoutMs: 0 }, async () => undefined);
    return false;
  } catch (error) {
    if (isGantryError(error, 'locked')) return true;
    throw error;
  }
}
