/**
 * Ends connections so that both sides know: a tcp socket is destroyed inside the container, which resets the client as
 * well. What has no socket to destroy (udp, a container that is gone) loses its entry in the kernel's table, and its
 * next packet is taken for a new one.
 */
import { existsSync } from 'node:fs';
import { GantryError } from '../../errors.ts';
import { type Ended, runCommand } from './command.ts';
import { readFlows, type SeenFlow } from './conntrack.ts';
import type { KernelFlow, KernelProtocol, KernelTarget } from './plane.ts';
import { familyOf, MARK } from './ruleset.ts';

/** The kernel's filter for sockets addresses its parts with 16 bits; this many conditions are well below. */
const SOCKETS_PER_FILTER = 200;
/** conntrack(8) when nothing matched. */
const NOTHING_FOUND = 1;
/** What it says of an entry that ended by itself after it was listed; those that come after it stay. */
const ENDED_MEANWHILE = "such conntrack doesn't exist";
/** States of tcp in which the entry of a dead target keeps a new connection from being led anew. */
const MISLEADING = ['SYN_SENT', 'CLOSE'];
const MARKED = ['--mark', `${MARK}/${MARK}`];
/** Each try leaves fewer that could do so. */
const MAX_TRIES = 20;

type Target = Pick<KernelTarget, 'host' | 'port'> & { readonly protocol: KernelProtocol };

/**
 * Those of `flows` that are still there; `pid` is of a process in the network of their container. Answers how many it
 * has ended. Throws GantryError proxy-failed.
 */
export async function endFlows(flows: readonly KernelFlow[], pid: number | undefined): Promise<number> {
  const asked = new Set(flows.map(keyOf));
  const all = await readFlows();
  const there = all.filter((flow) => asked.has(keyOf(flow)));
  const hasSockets = pid !== undefined && existsSync(networkOf(pid));
  const withSocket = hasSockets ? there.filter(({ protocol }) => protocol === 'tcp') : [];
  const without = there.filter(({ protocol }) => !hasSockets || protocol !== 'tcp');
  const ended = hasSockets ? await endSockets(withSocket, pid) : 0;
  return ended + (await forgetFlows(without, all));
}

/** Destroys these sockets in the network of `pid`; answers how many it found. */
async function endSockets(flows: readonly SeenFlow[], pid: number): Promise<number> {
  let ended = 0;
  for (let from = 0; from < flows.length; from += SOCKETS_PER_FILTER)
    ended += await endSome(flows.slice(from, from + SOCKETS_PER_FILTER), pid);
  return ended;
}

/** One by one takes a process for each: those that are all of a target go with one. */
async function forgetFlows(flows: readonly SeenFlow[], all: readonly SeenFlow[]): Promise<number> {
  const there = byTarget(all);
  let forgotten = 0;
  for (const [target, some] of byTarget(flows)) {
    const [one] = some;
    if (one !== undefined && some.length > 1 && some.length === there.get(target)?.length)
      // What has ended there already goes with them, and is not counted.
      forgotten += Math.min(some.length, await forget([...toTarget(one), ...MARKED]));
    else for (const flow of some) forgotten += await forget(filterOf(flow));
  }
  return forgotten;
}

function byTarget(flows: readonly SeenFlow[]): Map<string, SeenFlow[]> {
  const grouped = new Map<string, SeenFlow[]>();
  for (const flow of flows) {
    const target = `${flow.protocol} ${flow.host} ${flow.port}`;
    const same = grouped.get(target);
    if (same === undefined) grouped.set(target, [flow]);
    else same.push(flow);
  }
  return grouped;
}

/**
 * What is left of a target that has just died and that a new connection could meet, whoever the client is: what was not
 * answered, since a repeated SYN goes where the first one went, and what the target has reset, since for ten seconds the
 * kernel takes a SYN from the same port of the client for a packet of that. Not what is open: the reset that a dying
 * process leaves to its clients may still be on its way, and only finds them by the entry. Throws GantryError
 * proxy-failed.
 */
export async function forgetTarget({ protocol, host, port }: Target): Promise<number> {
  const there = [...toTarget({ protocol, host, port }), ...MARKED];
  if (protocol !== 'tcp') return forget(there);
  let forgotten = 0;
  for (const state of MISLEADING) forgotten += await forget([...there, '--state', state]);
  return forgotten;
}

/** Datagrams to a port of this host that were not led anywhere, so that the next ones are. */
export function forgetUnled(port: number, family: 4 | 6): Promise<number> {
  const unmarked = ['--mark', `0/${MARK}`];
  return forget(['-f', `ipv${family}`, '-p', 'udp', '--orig-port-dst', `${port}`, ...unmarked]);
}

async function endSome(flows: readonly SeenFlow[], pid: number): Promise<number> {
  const sockets = flows.map(
    ({ host, port, seenHost, seenPort }) =>
      `( src ${bracketed(host)}:${port} and dst ${bracketed(seenHost)}:${seenPort} )`,
  );
  const program = ['ss', '--kill', '--tcp', '--no-header', '--numeric', sockets.join(' or ')];
  const { status, stdout, stderr } = await runCommand('nsenter', [
    `--net=${networkOf(pid)}`,
    '--',
    ...program,
  ]);
  if (status !== 0) throw failed('ss could not end connections', stderr);
  return stdout.split('\n').filter((line) => line !== '').length;
}

function networkOf(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

function keyOf({ protocol, client, listenerPort, host, port }: KernelFlow): string {
  return `${protocol} ${client} ${listenerPort} ${host} ${port}`;
}

function toTarget({ protocol, host, port }: Target): string[] {
  return [...familyOption(host), '-p', protocol, '--reply-src', host, '--reply-port-src', `${port}`];
}

function filterOf({ protocol, client, listenerPort, host, port }: SeenFlow): string[] {
  const at = client.lastIndexOf(':');
  const from = client.slice(0, at).replace(/^\[|\]$/g, '');
  const original = ['--orig-src', from, '--orig-port-src', client.slice(at + 1)];
  return [...toTarget({ protocol, host, port }), ...original, '--orig-port-dst', `${listenerPort}`];
}

function familyOption(host: string): string[] {
  return ['-f', `ipv${familyOf(host)}`];
}

async function forget(filter: readonly string[]): Promise<number> {
  let count = 0;
  for (let tries = 1; ; tries++) {
    const ended = await runCommand('conntrack', ['-D', ...filter]);
    count += ended.stdout.split('\n').filter((line) => line !== '').length;
    if (ended.status === 0 || foundNothing(ended)) return count;
    if (tries === MAX_TRIES || !ended.stderr.includes(ENDED_MEANWHILE))
      throw failed('conntrack could not end connections', ended.stderr);
  }
}

function foundNothing({ status, stderr }: Ended): boolean {
  return status === NOTHING_FOUND && / 0 flow entries /.test(stderr);
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

function failed(what: string, why: string): GantryError {
  const told = why.trim().split('\n').slice(0, 3).join(' · ');
  const hint =
    'ss and nsenter are in the packages iproute2 and util-linux, conntrack in the package conntrack';
  return new GantryError('proxy-failed', `${what}: ${told}`, { hint, retryable: true });
}
