/**
 * The same checks of the same containers, asked by HAProxy from the same host with nothing else to do: what so many
 * questions cost there, whoever asks.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { dockerCall } from '../../ground/docker.ts';
import type { Host } from '../../ground/hosts.ts';

export interface AskedChecks {
  readonly host: Host;
  readonly port: number;
  readonly path: string;
  readonly intervalMs: number;
  /** Of the time that counts. */
  readonly ms: number;
}

/** As long as it takes until each was asked a few times. */
const SETTLE_MS = 20_000;
const NS_PER_MS = 1e6;
const END_MS = 5_000;

/** Its CPU time, as a share of one core. Throws when not all that it asks are well. */
export async function haproxyShare({ host, port, path, intervalMs, ms }: AskedChecks): Promise<number> {
  const addresses = await addressesOn(host);
  const socket = join(host.folder, 'haproxy.sock');
  const file = join(host.folder, 'haproxy.cfg');
  await writeFile(file, configOf(socket, addresses, { port, path, intervalMs }));
  const running = host.spawn('haproxy', ['-db', '-q', '-f', file]);
  try {
    await delay(SETTLE_MS);
    const before = cpuMs(running.pid);
    const began = performance.now();
    await delay(ms);
    const share = (cpuMs(running.pid) - before) / (performance.now() - began);
    const well = await countWell(socket);
    if (well !== addresses.length)
      throw new Error(`of ${addresses.length} servers HAProxy found ${well} well`);
    return share;
  } finally {
    running.signal('SIGTERM');
    await Promise.race([running.ended, delay(END_MS)]);
  }
}

async function addressesOn(host: Host): Promise<string[]> {
  const all = (await dockerCall('GET', '/containers/json', undefined, [200], host.docker)) as {
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  }[];
  return all.flatMap(({ NetworkSettings }) =>
    Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress),
  );
}

function configOf(
  socket: string,
  addresses: readonly string[],
  { port, path, intervalMs }: Pick<AskedChecks, 'port' | 'path' | 'intervalMs'>,
): string {
  const servers = addresses.map((address, at) => `  server s${at} ${address}:${port} check`);
  return `global
  nbthread 1
  stats socket ${socket}
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend containers
  option httpchk GET ${path}
  default-server inter ${intervalMs}ms fall 3 rise 1
${servers.join('\n')}
`;
}

/** Time on a core, of its only thread: the first field of /proc/PID/schedstat (sched-stats in Linux' documentation). */
function cpuMs(pid: number): number {
  const [ns] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Number(ns) / NS_PER_MS;
}

/** By its `show stat`: a line for each server, with its state, and what it answered last: at first it is up unasked. */
async function countWell(path: string): Promise<number> {
  const socket = connect({ path });
  socket.end('show stat\n');
  const lines = (await text(socket)).split('\n');
  return lines.filter((line) => /^containers,s\d+,.*,UP,.*,L7OK,/.test(line)).length;
}
