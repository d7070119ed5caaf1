/**
 * What the kernel carries, from /proc/net/nf_conntrack: the connections with our mark that have not ended. The parser is
 * pure; the reader takes the file piece by piece, so that tens of thousands of entries hold nothing up.
 * Format: nf_conntrack_standalone.c of Linux.
 */
import { open } from 'node:fs/promises';
import { GantryError, messageOf } from '../../errors.ts';
import type { KernelFlow, KernelProtocol } from './plane.ts';
import { MARK_BIT } from './ruleset.ts';

/** Of this process's own network. */
export const CONNTRACK = '/proc/self/net/nf_conntrack';
const READ_BYTES = 256 * 1024;
/** Nobody sends in these states any more. */
const ENDED = [' TIME_WAIT ', ' CLOSE '];
/** What the client asked for, and from where it is answered. */
const TUPLES = new RegExp(
  [
    '^ipv[46] +[0-9]+ (?<protocol>[a-z0-9]+) [^=]* src=(?<client>[^ ]+) dst=[^ ]+ sport=(?<clientPort>[0-9]+) dport=(?<listenerPort>[0-9]+)',
    '(?: packets=[0-9]+ bytes=(?<asked>[0-9]+))?(?: .UNREPLIED.)?',
    ' src=(?<host>[^ ]+) dst=(?<seen>[^ ]+) sport=(?<port>[0-9]+) dport=(?<seenPort>[0-9]+)',
    '(?: packets=[0-9]+ bytes=(?<replied>[0-9]+))? ',
  ].join(' *'),
);
const PROTOCOLS: ReadonlySet<string> = new Set<KernelProtocol>(['tcp', 'udp']);

/** A flow, and as whom its container sees the client: behind a masquerade that is an address of this host. */
export interface SeenFlow extends KernelFlow {
  readonly seenHost: string;
  readonly seenPort: number;
}

/** undefined: the line is none of ours, or of a connection that has ended. */
export function flowOf(line: string): SeenFlow | undefined {
  // Most lines are of others or have ended, and cost no more than this.
  const mark = line.lastIndexOf(' mark=');
  if (mark < 0 || (Number.parseInt(line.slice(mark + 6), 10) & MARK_BIT) === 0) return undefined;
  if (ENDED.some((state) => line.includes(state))) return undefined;
  const words = TUPLES.exec(line)?.groups;
  if (words === undefined || !isProtocol(words.protocol)) return undefined;
  const { client, clientPort, listenerPort, asked, host, seen, port, seenPort, replied } = words;
  return {
    protocol: words.protocol,
    client: `${bracketed(shortened(client ?? ''))}:${clientPort}`,
    listenerPort: Number(listenerPort),
    host: shortened(host ?? ''),
    port: Number(port),
    bytes: asked === undefined ? undefined : Number(asked) + Number(replied),
    seenHost: shortened(seen ?? ''),
    seenPort: Number(seenPort),
  };
}

/** All that are ours. Throws GantryError proxy-failed. */
export async function readFlows(path = CONNTRACK): Promise<SeenFlow[]> {
  const flows: SeenFlow[] = [];
  try {
    for await (const lines of blocksOf(path))
      for (const line of lines) {
        const flow = flowOf(line);
        if (flow !== undefined) flows.push(flow);
      }
  } catch (error) {
    const message = `the kernel's connections cannot be read from ${path}: ${messageOf(error)}`;
    const hint = 'the kernel needs CONFIG_NF_CONNTRACK_PROCFS, and the proxy must run as root';
    throw new GantryError('proxy-failed', message, { hint, cause: error, retryable: true });
  }
  return flows;
}

/** Each read is an own turn of the event loop, and the kernel gives a few dozen lines at a time. */
async function* blocksOf(path: string): AsyncGenerator<string[]> {
  const file = await open(path);
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    let rest = '';
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n');
      rest = lines.pop() ?? '';
      yield lines;
    }
    yield [rest];
  } finally {
    await file.close();
  }
}

function isProtocol(word: string | undefined): word is KernelProtocol {
  return word !== undefined && PROTOCOLS.has(word);
}

/** The kernel writes IPv6 in full; everybody else, Docker too, as short as can be. */
function shortened(address: string): string {
  return address.includes(':') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
