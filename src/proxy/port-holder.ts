/**
 * Who listens on a port that we cannot have, from /proc, as far as this user may look. For the
 * sentence an operator reads; never for a decision.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';

/** In the column st; of udp: not connected. */
const LISTENING = { tcp: '0A', udp: '07' } as const;

type Protocol = keyof typeof LISTENING;

export interface PortHolder {
  readonly pid: number;
  readonly command: string;
}

export async function findPortHolder(
  port: number,
  protocol: Protocol = 'tcp',
): Promise<PortHolder | undefined> {
  const inodes = new Set(
    (await Promise.all(['', '6'].map((family) => listenInodes(protocol, family, port)))).flat(),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of (await list('/proc')).filter((name) => /^\d+$/.test(name)))
    if (await holdsAny(pid, inodes)) return { pid: Number(pid), command: await commandOf(pid) };
  return undefined;
}

/** Columns of /proc/net/tcp and udp: sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode. */
async function listenInodes(protocol: Protocol, family: string, port: number): Promise<string[]> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile(`/proc/net/${protocol}${family}`, 'utf8').catch(() => ''))
    .split('\n')
    .slice(1);
  return lines.flatMap((line) => {
    const columns = line.trim().split(/\s+/);
    const listens = columns[1]?.endsWith(wanted) === true && columns[3] === LISTENING[protocol];
    return listens && columns[9] !== undefined ? [columns[9]] : [];
  });
}

async function holdsAny(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  for (const fd of await list(`/proc/${pid}/fd`)) {
    const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    if (link.startsWith('socket:[') && inodes.has(link.slice(8, -1))) return true;
  }
  return false;
}

/** The program it was started as: threads may go by other names, as `MainThread` in newer versions of Node. */
async function commandOf(pid: string): Promise<string> {
  const [program = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const name = basename(program).trim();
  return name === '' ? (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim() : name;
}

/** Processes come and go, and others' are closed to us: both look like an empty folder. */
async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
