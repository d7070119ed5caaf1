/**
 * Waits until hosts of a fleet take no requests to `web`. A request that is neither answered nor refused is a defect of
 * its own: then, and when it takes too long, all that is known of the host is told.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../../src/errors.ts';
import { get } from '../ground/get.ts';
import type { Host } from '../ground/hosts.ts';
import { type Agent, type FleetShop, WAIT_MS } from './fleet.ts';

/** Longer than the proxy takes to give up a container that says nothing, shorter than any bound here. */
const SILENT_MS = 6_000;
const POLL_MS = 20;
const LAST_EVENTS = 30;
const LAST_LOG_CHARS = 8_000;

export interface RefusedOptions {
  /** Default: all. */
  readonly hosts?: readonly Host[];
  /** Theirs, to be told of. */
  readonly agents: readonly Agent[];
  /** Each host has so long. */
  readonly withinMs?: number;
}

export async function untilRefused(
  shop: FleetShop,
  { hosts = shop.hosts, agents, withinMs = WAIT_MS }: RefusedOptions,
): Promise<void> {
  await Promise.all(
    hosts.map(async (host) => {
      const wrong = await takesRequests(shop, host, withinMs);
      const agent = agents.find((it) => it.host === host);
      if (wrong !== undefined) throw new Error(`${host.name} ${wrong}\n${await knownOf(shop, host, agent)}`);
    }),
  );
}

/** What is wrong, once it is; undefined when it refuses in time. */
async function takesRequests(shop: FleetShop, host: Host, withinMs: number): Promise<string | undefined> {
  const began = performance.now();
  for (let answered = 0; ; answered++) {
    const got = await get(shop.http(host), '/version', SILENT_MS);
    const tookMs = Math.round(performance.now() - began);
    if (got.kind === 'silent') return `neither answered nor refused a request: ${got.why} (${tookMs} ms in)`;
    if (tookMs > withinMs)
      return `took ${answered} requests for ${tookMs} ms, the last: ${JSON.stringify(got)}`;
    if (got.kind === 'failed' || got.status !== 200) return undefined;
    await delay(POLL_MS);
  }
}

async function knownOf(shop: FleetShop, host: Host, agent: Agent | undefined): Promise<string> {
  const { port } = shop.http(host);
  const sockets = await host.run('ss', ['-tanp', `( sport = :${port} or dport = :${port} )`]);
  const parts = {
    'its sockets': `${sockets.stdout}${sockets.stderr}`,
    'its proxy': await logOf(host),
    'its agent': (agent?.stdout ?? '').split('\n').slice(-LAST_EVENTS).join('\n'),
    'what its agent complained of': agent?.stderr ?? '',
  };
  return Object.entries(parts)
    .map(([what, text]) => `--- ${what}\n${text}`)
    .join('\n');
}

async function logOf({ stateDir }: Host): Promise<string> {
  const path = join(stateDir, 'proxy.log');
  const text = await readFile(path, 'utf8').catch((error: unknown) => `cannot be read: ${codeOf(error)}`);
  return text.slice(-LAST_LOG_CHARS);
}
