/**
 * Runs this thread ahead of every usual process of the host: as SCHED_FIFO of the lowest real-time priority, which
 * pre-empts who has a core. Node's own priorities (nice) count only within a session or a cgroup, so they would leave
 * the thread waiting behind the containers. For threads that work for a millisecond at a time and then sleep; the kernel
 * keeps a share of each core for all others in any case. What the thread starts is usual again.
 */
import { readlinkSync } from 'node:fs';
import { runCommand } from './command.ts';

const AHEAD = ['--fifo', '--pid', '1'];
/** The same for a shell, of itself: what it becomes by `exec` keeps it. Where it may not, it goes on as it is. */
export const SHELL_GOES_FIRST = `chrt ${AHEAD.join(' ')} $$ >/dev/null 2>&1;`;

/** Answers whether it does; never fails. It takes chrt(1) of util-linux, and root outside of limited cgroups. */
export async function goFirst(): Promise<boolean> {
  const thread = readlinkSync('/proc/thread-self').split('/').at(-1) ?? '';
  return (await runCommand('chrt', ['--reset-on-fork', ...AHEAD, thread])).status === 0;
}
