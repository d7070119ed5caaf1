/**
 * How each act of a schedule is done to a fleet, and what it explains: an excuse names the host, the container if it was
 * one, and the time from right before the deed to when its effect was over, both as they were seen. Whatever is left
 * out has no excuse: agents, engines, etcd, registries and disks may fail as they like, no client may notice.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import type { ProxyStatus } from '../../src/proxy/control/protocol.ts';
import type { FleetShop } from '../e2e/fleet.ts';
import { getText } from '../e2e/shop.ts';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import type { Agents } from './agents.ts';
import { type Operators, SICKNESS } from './fleet-operators.ts';
import type { Excuse } from './judge.ts';
import type { Deed, Kind } from './schedule.ts';

/** A killed proxy is back in this time, by what is promised; and is waited for as long as this. */
const PROXY_BACK_MS = 10_000;
const PROXY_WAIT_MS = 60_000;
const EFFECT_MS = 15_000;
const ASK_MS = 5_000;

export interface Field {
  readonly shop: FleetShop;
  readonly agents: Agents;
  readonly operators: Operators;
  /** undefined: there is none. */
  readonly gate: { open(): Promise<void>; shut(): Promise<void>; mute(): Promise<void> } | undefined;
  say(text: string): void;
  /** Something that must never happen. */
  problem(text: string): void;
  excuse(excuse: Excuse): void;
}

type Doing = { [K in Kind]: (field: Field, deed: Extract<Deed, { readonly kind: K }>) => Promise<void> };

export const DEEDS: Doing = {
  deploy: async ({ operators }, deed) => void (await operators.deploy(deed)),
  'deploy-bad': ({ operators }, deed) => operators.deployBad(deed.way),
  rollback: ({ operators }) => operators.rollback(),
  pause: ({ operators }, deed) => operators.pause(deed.ms),
  pull: ({ operators }) => operators.pull(),
  'cli-kill': ({ operators }, deed) => operators.interrupted(deed, 'SIGKILL'),
  'cli-stop': ({ operators }, deed) => operators.interrupted(deed, 'SIGSTOP'),
  'proxy-upgrade': ({ operators }, { host }) => operators.on(host, ['proxy', 'upgrade']),
  'agent-kill': ({ agents }, { host, ms }) => agents.killed(host, () => delay(ms)),
  'agent-stop': ({ agents }, { host, ms }) => agents.stopped(host, () => delay(ms)),
  'proxy-kill': killProxy,
  'proxy-stop': stopProxy,
  'engine-restart': restartEngine,
  crash,
  'secret-kill': secretKill,
  break: breakOne,
  freeze,
  'cut-off': cutOff,
  isolate,
  'disk-full': fillDisk,
  'clock-jump': ({ agents }, { host, byMs, ms }) => agents.shifted(host, byMs, () => delay(ms)),
  'etcd-kill': killMember,
  'etcd-stop': stopMember,
  'etcd-compact': ({ shop }) => shop.etcd.compact(),
  'registry-shut': ({ gate }, { ms }) => closed(gate, 'shut', ms),
  'registry-mute': ({ gate }, { ms }) => closed(gate, 'mute', ms),
};

export function statusOf(host: Host): Promise<ProxyStatus> {
  return new ProxyClient({ stateDir: host.stateDir, deadlineMs: ASK_MS }).status();
}

async function killProxy(field: Field, deed: { readonly host: string }): Promise<void> {
  const host = field.shop.fleet.host(deed.host);
  const { pid } = await statusOf(host);
  const excuse = begun(field, {
    ...{ what: `SIGKILL of the proxy (${pid}) of ${host.name}`, host: host.name, sparesLed: true },
  });
  process.kill(pid, 'SIGKILL');
  const isBack = async () => {
    const isAnother = (await statusOf(host)).pid !== pid;
    return isAnother && (await getText(field.shop.http(host), '/version')) !== '';
  };
  const what = `a proxy to serve again on ${host.name}`;
  await until(isBack, { timeoutMs: PROXY_WAIT_MS, what }).finally(excuse.end);
  const ms = excuse.until - excuse.from;
  field.say(`the proxy of ${host.name} was back after ${ms} ms`);
  if (ms > PROXY_BACK_MS) field.problem(`the proxy of ${host.name} was away for ${ms} ms`);
}

async function stopProxy({ shop }: Field, deed: { readonly host: string; readonly ms: number }) {
  const { pid } = await statusOf(shop.fleet.host(deed.host));
  process.kill(pid, 'SIGSTOP');
  await delay(deed.ms);
  process.kill(pid, 'SIGCONT');
}

/**
 * Not while it starts a container: what an engine (20.10) that ends in the middle of that leaves is a task that no
 * container has, which keeps its address, and whoever gets that address next is not reached.
 */
async function restartEngine({ shop }: Field, deed: { readonly host: string }): Promise<void> {
  const host = shop.fleet.host(deed.host);
  const isAtRest = async () => (await host.containers()).every(({ state }) => state !== 'created');
  await until(isAtRest, { timeoutMs: EFFECT_MS, what: `${host.name} to start nothing` });
  await host.stopEngine({ liveRestore: true });
  await host.startEngine();
}

/** One container after the other, as in a crash loop; never the last that serves. */
async function crash(field: Field, deed: { readonly host: string; readonly times: number }): Promise<void> {
  const host = field.shop.fleet.host(deed.host);
  for (let n = 0; n < deed.times; n++) {
    const victim = await until(() => dispensable(field, host), {
      ...{ timeoutMs: EFFECT_MS, what: `a container of ${host.name} that can be spared` },
    });
    const what = `SIGKILL of ${victim.slice(0, 12)} of ${host.name}`;
    const excuse = begun(field, { what, host: host.name, container: victim });
    await killed(host, victim).finally(excuse.end);
    await delay(300);
  }
}

async function secretKill(field: Field, deed: { readonly host: string }): Promise<void> {
  const host = field.shop.fleet.host(deed.host);
  const victim = await dispensable(field, host);
  if (victim !== undefined) await killed(host, victim);
}

/** Answers every request but fails its health checks: nothing may be lost, whoever heals. */
async function breakOne({ shop }: Field, deed: { readonly host: string }): Promise<void> {
  const { host, port } = shop.http(shop.fleet.host(deed.host));
  const headers = { connection: 'close' };
  const signal = AbortSignal.timeout(ASK_MS);
  const answer = await fetch(`http://${host}:${port}/break`, { headers, signal });
  broken.add(answer.headers.get('x-container') ?? '');
  await answer.text();
}

async function freeze(field: Field, deed: { readonly host: string; readonly ms: number }): Promise<void> {
  const host = field.shop.fleet.host(deed.host);
  const [one] = await serving(host);
  if (one === undefined) return;
  const call = (what: string) =>
    dockerCall('POST', `/containers/${one}/${what}`, undefined, [204, 404, 409, 500], host.docker);
  await call('pause');
  await delay(deed.ms);
  await call('unpause');
}

async function cutOff({ shop }: Field, deed: { readonly host: string; readonly ms: number }) {
  const host = shop.fleet.host(deed.host);
  await host.cutOff({ address: shop.fleet.place('etcd').address });
  await delay(deed.ms);
  await host.heal();
}

/** From its clients as well: for so short that their packets are sent again. */
async function isolate({ shop }: Field, deed: { readonly host: string; readonly ms: number }) {
  const host = shop.fleet.host(deed.host);
  await host.isolate();
  await delay(deed.ms);
  await host.heal();
}

async function fillDisk({ shop, say }: Field, deed: { readonly host: string; readonly ms: number }) {
  const filler = join(shop.fleet.host(deed.host).stateDir, 'filler');
  const full = await writeFile(filler, Buffer.alloc(STATE_DISK_BYTES)).catch((error) => error.code as string);
  if (full !== 'ENOSPC') say(`the disk of ${deed.host} is not full: ${full}`);
  await delay(deed.ms);
  await rm(filler);
}

async function killMember({ shop }: Field, deed: { readonly member: number; readonly ms: number }) {
  await shop.etcd.kill(deed.member);
  await delay(deed.ms);
  await shop.etcd.start(deed.member, false);
}

async function stopMember({ shop }: Field, deed: { readonly member: number; readonly ms: number }) {
  await shop.etcd.pause(deed.member);
  await delay(deed.ms);
  shop.etcd.resume(deed.member);
}

async function closed(gate: Field['gate'], how: 'shut' | 'mute', ms: number): Promise<void> {
  if (gate === undefined) return;
  await gate[how]();
  await delay(ms);
  await gate.open();
}

/** Of the state directory's own file system. */
export const STATE_DISK_BYTES = 16 * 1024 * 1024;

/** Short ids of containers that answer but are unhealthy, by a deed. */
const broken = new Set<string>();

interface Begun extends Excuse {
  end(): void;
}

function begun(field: Field, of: Omit<Excuse, 'from' | 'until'>): Begun {
  let until = Number.POSITIVE_INFINITY;
  const excuse = {
    ...of,
    from: Date.now(),
    get until() {
      return until;
    },
    end() {
      until = Date.now();
    },
  };
  field.excuse(excuse);
  return excuse;
}

/** Ids of what the proxy sends traffic to and the engine says is running. */
async function serving(host: Host): Promise<readonly string[]> {
  const [{ backends }, running] = await Promise.all([statusOf(host), host.containers()]);
  const ids = running.filter(({ state }) => state === 'running').map(({ id }) => id);
  return backends.filter(({ id, routed }) => routed && ids.includes(id)).map(({ id }) => id);
}

/** One beside which another one serves that is well, and will be. */
async function dispensable({ shop }: Field, host: Host): Promise<string | undefined> {
  const web = new Set((await shop.containers(host)).map(({ id }) => id));
  const whole = (await serving(host)).filter((id) => web.has(id) && !broken.has(id.slice(0, 12)));
  const sick = await Promise.all(whole.map((id) => isSick(host, id)));
  const well = whole.filter((_, i) => sick[i] === false);
  return well.length > 1 ? well[0] : undefined;
}

/** Of a release that falls sick sooner or later. */
async function isSick(host: Host, id: string): Promise<boolean> {
  const { Config } = (await dockerCall('GET', `/containers/${id}/json`, undefined, [200], host.docker)) as {
    readonly Config: { readonly Env: readonly string[] };
  };
  return Config.Env.some((line) => line.startsWith(`${SICKNESS}=`));
}

async function killed(host: Host, id: string): Promise<void> {
  await dockerCall('POST', `/containers/${id}/kill`, undefined, [204, 404, 409], host.docker);
  const isDead = async () => !(await host.containers()).some((c) => c.id === id && c.state === 'running');
  await until(isDead, { timeoutMs: EFFECT_MS, what: `${id.slice(0, 12)} to be dead` });
}
