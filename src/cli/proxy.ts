/** `gantryd proxy status|metrics|start|upgrade|stop`. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { placeOf } from '../agent/planes.ts';
import { openStateDir } from '../agent/state-dir.ts';
import { codeOf, GantryError, isGantryError } from '../errors.ts';
import { withLock } from '../lock.ts';
import { SILENT } from '../log.ts';
import { proxyText } from '../metrics/proxy-text.ts';
import { ProxyClient } from '../proxy/control/client.ts';
import {
  PROXY_LOCK,
  type ProxyMetrics,
  type ProxyStatus,
  type StopRequest,
} from '../proxy/control/protocol.ts';
import { ensureProxy, type ProxyIdentity, upgradeProxy } from '../proxy/generations/launch.ts';
import type { CommonArguments } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { bringHome } from './own-unit.ts';
import { renderProxy } from './render.ts';

/** How long a proxy without connections, or told to cut them, may take to leave. */
const LEAVE_MS = 15_000;
const POLL_MS = 25;

export async function runProxy(
  args: CommonArguments & {
    readonly action: 'status' | 'metrics' | 'start' | 'upgrade' | 'stop';
    readonly force: boolean;
    readonly purge: boolean;
    /** Seconds. */
    readonly within: number | undefined;
  },
): Promise<number> {
  const output = openOutput({ json: args.json, level: args.logLevel });
  const stateDir = await openStateDir(args.stateDir);
  const proxy = new ProxyClient({ stateDir: stateDir.path });
  const status = (await statusIfAny(proxy)) ?? (await statusOfStarting(proxy, stateDir.path));
  if (args.action === 'metrics') {
    await printMetrics(output, status === undefined ? undefined : await proxy.metrics());
  } else if (args.action === 'upgrade' && status !== undefined) {
    const { was, now } = await upgradeProxy({ stateDir: stateDir.path });
    const words = `The proxy is now ${named(now)}, in place of ${named(was)}, which ends with its last client.`;
    output.document({ running: true, was, now }, words);
  } else if (args.action === 'start' || args.action === 'upgrade') {
    const running = await (await ensureProxy({ stateDir: stateDir.path })).status();
    output.document({ running: true, ...running }, renderProxy(running));
  } else if (status === undefined) {
    const purged = args.action === 'stop' && args.purge;
    if (purged) await purgeKernel(stateDir.path);
    const words = `No proxy runs for ${stateDir.path}${purged ? '; the kernel has no rules of it' : ''}`;
    output.document({ running: false, ...(purged ? { purged } : {}) }, words);
  } else if (args.action === 'status') {
    output.document({ running: true, ...status }, renderProxy(status));
  } else {
    if (args.within !== undefined) await leave(status.pid, proxy, args.within * 1000);
    await stop(proxy, { force: args.force || args.within !== undefined, purge: args.purge }, status.pid);
    const left = args.purge ? [] : status.listeners.filter(({ plane }) => plane === 'kernel');
    output.document({ running: false, stopped: status.pid }, stoppedWords(left));
  }
  if (args.action === 'start' || args.action === 'upgrade') {
    // It serves all the same.
    await bringHome(stateDir.path).catch((error: GantryError) => output.error(error));
  }
  return 0;
}

/** As Prometheus reads it, for the textfile collector of a host without an agent. */
async function printMetrics(output: Output, metrics: ProxyMetrics | undefined): Promise<void> {
  const words = (await proxyText(metrics)).trimEnd();
  output.document(metrics === undefined ? { running: false } : { running: true, ...metrics }, words);
}

function named({ version, pid }: ProxyIdentity): string {
  return `${version} (process ${pid})`;
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
async function purgeKernel(stateDir: string): Promise<void> {
  const { openKernelPlane } = await import('../proxy/kernel/open.ts');
  const plane = openKernelPlane({ stateDir, log: SILENT, events: { targetGone() {}, restored() {} } });
  try {
    if ((await plane.ability('tcp')).can) await plane.purge();
  } finally {
    await plane.close();
  }
}

function stoppedWords(led: ProxyStatus['listeners']): string {
  const stopped = 'The proxy has stopped; its ports are closed until a command starts it again.';
  if (led.length === 0) return stopped;
  return `${stopped}
The kernel leads ${led.map(placeOf).join(', ')} on, and nobody watches it: with --purge it would not.`;
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

async function statusIfAny(proxy: ProxyClient): Promise<ProxyStatus | undefined> {
  try {
    return await proxy.status();
  } catch (error) {
    if (isGantryError(error, 'proxy-unreachable')) return undefined;
    throw error;
  }
}
