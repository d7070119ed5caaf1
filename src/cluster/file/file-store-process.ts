/**
 * Which process holds something, so that others can tell when it is gone: its number, when it started, and of which
 * boot of the machine, since numbers are given out again. All processes must see the same /proc: one machine, and no
 * containers with process numbers of their own.
 */
import { readFileSync } from 'node:fs';
import { codeOf, GantryError, messageOf } from '../../errors.ts';

export interface ProcessId {
  readonly boot: string;
  readonly pid: number;
  /** In the kernel's ticks since the boot: field 22 of /proc/PID/stat, proc(5). */
  readonly start: string;
}

/** Fields 3 and 22, counted from behind the name, which is in brackets and may hold anything. */
const STATE = 0;
const START = 19;
/** Zombie, and dead: killed, though nobody has asked for its exit code yet. */
const GONE = ['Z', 'X'];

let own: ProcessId | undefined;

export function ownProcess(): ProcessId {
  own ??= {
    boot: textAt('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    pid: process.pid,
    start: startOf(process.pid) ?? '',
  };
  return own;
}

/** Read at once: /proc is memory, and there are few processes to ask for. */
export function isGone({ boot, pid, start }: ProcessId): boolean {
  const mine = ownProcess();
  if (pid === mine.pid && start === mine.start && boot === mine.boot) return false;
  return boot !== mine.boot || startOf(pid) !== start;
}

/** Milliseconds by a clock that all processes share and nobody sets; begins anew with the machine. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

function startOf(pid: number): string | undefined {
  const stat = textAt(`/proc/${pid}/stat`);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return GONE.includes(fields[STATE] ?? '') ? undefined : fields[START];
}

/** undefined: there is no such file, or no such process any more. */
function textAt(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return undefined;
    throw new GantryError('state-dir', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}
