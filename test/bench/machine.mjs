/**
 * The machine that is measured on: what it is, whose CPU time was used, and whether anybody else is at work.
 * Reads /proc only. CPU time is summed over all processes, so that foreign work in a run can be told.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** USER_HZ, which Linux fixes at 100 for all architectures Node runs on. */
const TICK_MS = 10;
const QUIET_SHARE = 0.1;
const QUIET_WINDOW_MS = 500;

export function describeMachine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: loadavg().map((value) => Number(value.toFixed(2))),
  };
}

/** User and system time of a process and of its children it has waited for; 0 when it is gone. */
export function cpuMs(pid, { children = false } = {}) {
  const [user, system, childUser, childSystem] = timesOf(pid);
  return (user + system + (children ? childUser + childSystem : 0)) * TICK_MS;
}

/** Watches the CPU time that passes: `foreign` is what neither we, our children nor `pids` have used. */
export function watchCpu(pids) {
  const began = performance.now();
  const before = { all: allMs(), ours: oursMs(pids) };
  return () => {
    const wallMs = performance.now() - began;
    const foreignMs = allMs() - before.all - (oursMs(pids) - before.ours);
    return { wallMs, foreign: Math.max(0, foreignMs) / wallMs };
  };
}

/** Waits until others use less than a tenth of one core; false when they did not stop within `timeoutMs`. */
export async function untilQuiet(pids, timeoutMs) {
  for (const end = performance.now() + timeoutMs; ; ) {
    const stop = watchCpu(pids);
    await sleep(QUIET_WINDOW_MS);
    if (stop().foreign < QUIET_SHARE) return true;
    if (performance.now() > end) return false;
  }
}

/** A process that ends moves its time to its parent, so the sum over all only grows. */
function allMs() {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.reduce((sum, pid) => sum + cpuMs(pid, { children: true }), 0);
}

function oursMs(pids) {
  return pids.reduce((sum, pid) => sum + cpuMs(pid, { children: true }), cpuMs('self', { children: true }));
}

/** Fields 14 to 17 of /proc/PID/stat, proc(5). */
function timesOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '');
    return stat.split(' ').slice(11, 15).map(Number);
  } catch {
    return [0, 0, 0, 0];
  }
}
