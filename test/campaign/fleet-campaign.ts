/**
 * The fault campaign: real agents, proxies, engines and etcd on several hosts under constant load, operators who deploy
 * good and bad releases, and faults on a schedule that a seed draws. Then it is seen what was lost, what was never to
 * happen, whether all comes to rest, and whether anything was touched or left that should not be.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusValue } from '../../src/cluster/values.ts';
import { APP, Endings, type FleetShop, LED_PORTS, openFleetShop, PORTS, PROJECT } from '../e2e/fleet.ts';
import { KEYS } from '../e2e/fleet-faults.ts';
import { openGate } from '../ground/gate.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { registry, skipWithoutRegistry } from '../ground/registry.ts';
import { processesOf } from '../ground/sandbox.ts';
import { Agents } from './agents.ts';
import { DEEDS, type Field, STATE_DISK_BYTES, statusOf } from './deeds.ts';
import { diceOf } from './dice.ts';
import { followEtcd } from './etcd-history.ts';
import { Operators } from './fleet-operators.ts';
import { placeForeign, placeForeignKey } from './foreign.ts';
import type { Excuse } from './judge.ts';
import { type Logs, tellVerdict } from './logs.ts';
import { Queue } from './queue.ts';
import { type Act, type Deed, described, type Plan, scheduleOf } from './schedule.ts';
import { type HostTraffic, type Report, Traffic } from './traffic.ts';

const REST_MS = 60_000;
const END_MS = 30_000;

export interface CampaignOptions extends Plan {
  readonly logs: Logs;
  /** No stream of the clients is open for longer. */
  readonly longestStayMs: number;
  readonly signal?: AbortSignal;
  /** Which of them carries raw TCP; the kernel carries new connections of HTTP as well. */
  readonly plane: Planes;
}

export const PLANES = ['userspace', 'kernel', 'both'] as const;
export type Planes = (typeof PLANES)[number];

/** All that was wrong is in the logs' problems. */
export async function faultCampaign(options: CampaignOptions): Promise<void> {
  const endings = new Endings();
  try {
    await new Campaign(options, endings).run();
  } catch (error) {
    options.logs.problem(`the campaign itself: ${(error as Error).stack}`);
  } finally {
    await endings.run().catch((error) => options.logs.problem(`taking it down: ${error}`));
  }
}

class Campaign {
  readonly #options: CampaignOptions;
  readonly #logs: Logs;
  readonly #endings: Endings;
  readonly #excuses: Excuse[] = [];
  readonly #done: string[] = [];
  readonly #vain: string[] = [];
  readonly #switches: { readonly host: string; readonly release: number; readonly at: number }[] = [];
  readonly #queue = new Queue(PROJECT, 'web', 1);

  constructor(options: CampaignOptions, endings: Endings) {
    this.#options = options;
    this.#logs = options.logs;
    this.#endings = endings;
  }

  async run(): Promise<void> {
    const { seed, ms, hosts, members, logs } = { ...this.#options, logs: this.#logs };
    const acts = scheduleOf(this.#options);
    logs.keep('schedule.txt', `${acts.map(described).join('\n')}\n`);
    logs.say(`seed ${seed}, ${ms / 60_000} minutes, hosts ${hosts.join()}, ${acts.length} acts`);
    const hasRegistry = skipWithoutRegistry === false;
    const shop = await openFleetShop(this.#endings, {
      ...{ hosts, places: hasRegistry ? ['registry'] : [] },
      etcd: { members: members === 3 ? 3 : 1 },
    });
    for (const host of shop.hosts) this.#smallDisk(host);
    const foreign = await Promise.all(shop.hosts.map((host) => placeForeign(host, `${APP.repo}:${APP.tag}`)));
    const foreignKey = await placeForeignKey((...args) => shop.etcd.control(...args));
    const field = await this.#field(shop);
    const history = this.#history(shop);
    await Promise.all(shop.hosts.map((host) => field.agents.start(host)));
    if (!(await field.operators.deploy({ instances: 2, keepOld: 0 })))
      throw new Error('the first release did not come into service');
    const places = shop.hosts.map((host) => this.#places(shop, host));
    const traffic = new Traffic(places, diceOf(seed + 1), this.#options.longestStayMs);
    this.#endings.after(async () => void (await traffic.stop()));
    try {
      await this.#play(field, acts);
      await this.#comesToRest(field);
    } finally {
      this.#judge(await traffic.stop());
      await this.#isClear(shop);
      await this.#isGone(field);
      for (const one of foreign) for (const what of await one.changes()) logs.problem(`foreign: ${what}`);
      for (const what of await foreignKey()) logs.problem(`foreign: ${what}`);
      await history.stop();
      this.#judgeTurns(history.heard);
      this.#keepLogs(field);
    }
    for (const one of foreign) await one.end();
  }

  async #field(shop: FleetShop): Promise<Field> {
    const logs = this.#logs;
    const agents = new Agents({
      env: shop.env,
      keep: logs.keep,
      problem: logs.problem,
      onEvent: (host, event) => this.#hear(host, event),
    });
    const gate = await this.#gate(shop);
    return {
      ...{ shop, agents, gate: gate?.gate },
      operators: new Operators(shop, logs, gate, this.#options.plane === 'userspace' ? PORTS : LED_PORTS),
      ...{ say: logs.say, problem: logs.problem },
      excuse: (excuse) => void this.#excuses.push(excuse),
    };
  }

  #places(shop: FleetShop, host: Host): HostTraffic {
    const { plane } = this.#options;
    return {
      ...{ host: host.name, http: shop.http(host) },
      ...(plane === 'kernel' ? {} : { tcp: shop.tcp(host) }),
      ...(plane === 'userspace' ? {} : { led: shop.led(host) }),
    };
  }

  async #gate(shop: FleetShop) {
    if (skipWithoutRegistry !== false) return undefined;
    const { address, prefix } = shop.fleet.place('registry');
    const place = { address, prefix, docker: shop.first.docker };
    const open = await registry(this.#endings, undefined, place);
    const gate = await openGate(this.#endings, place, Number(open.address.split(':')[1]));
    return { gate, repo: `${address}:${gate.port}/side` };
  }

  #history(shop: FleetShop) {
    const { prefix } = shop.fleet.place('etcd');
    const base = KEYS.config.slice(0, -'config'.length);
    const { endpoints } = shop.etcd;
    const following = followEtcd(this.#queue, base, endpoints, prefix, (...args) =>
      shop.etcd.control(...args),
    );
    this.#endings.after(() => following.stop());
    return following;
  }

  /** The state directory gets a file system of its own, that can be full without harm to this machine. */
  #smallDisk({ stateDir }: Host): void {
    const size = `size=${STATE_DISK_BYTES},mode=0700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', stateDir]);
    this.#endings.after(() => void execFileSync('umount', ['-l', stateDir]));
  }

  #hear(host: string, event: Readonly<Record<string, unknown>>): void {
    const { kind, component, release } = event;
    this.#logs.append(`events-${host}.log`, `${new Date().toISOString()} ${JSON.stringify(event)}\n`);
    if (kind !== 'switched' || component !== 'web' || typeof release !== 'number') return;
    const isNew = !this.#switches.some((one) => one.host === host && one.release === release);
    if (isNew) this.#switches.push({ host, release, at: Date.now() }); // else it heals, or goes back
  }

  /** Each lane does its acts one after the other, none before its time. */
  async #play(field: Field, acts: readonly Act[]): Promise<void> {
    const began = performance.now();
    const isOver = () => this.#options.signal?.aborted === true;
    const lanes = new Set(acts.map(({ lane }) => lane));
    const play = async (lane: string) => {
      for (const act of acts.filter((one) => one.lane === lane)) {
        const left = act.at - (performance.now() - began);
        if (left > 0) await delay(left, undefined, { signal: this.#options.signal }).catch(() => 'over');
        if (isOver() || performance.now() - began > this.#options.ms) return;
        await this.#do(field, act);
      }
    };
    await Promise.all([...lanes].map(play));
    this.#logs.say(`the faults are over: ${this.#done.length} acts done, ${this.#vain.length} in vain`);
  }

  async #do(field: Field, act: Act): Promise<void> {
    this.#logs.say(described(act));
    const deed = DEEDS[act.deed.kind] as (field: Field, deed: Deed) => Promise<void>;
    try {
      await deed(field, act.deed);
      this.#done.push(act.deed.kind);
    } catch (error) {
      this.#vain.push(act.deed.kind);
      this.#logs.say(`${act.deed.kind} came to nothing: ${String((error as Error).message).slice(0, 300)}`);
    }
  }

  /** After the last fault one update must leave every host exactly as it wants. */
  async #comesToRest({ shop, operators }: Field): Promise<void> {
    const is = await operators.deploy({ instances: 2, keepOld: 0 });
    if (!is) this.#logs.problem('the last update did not succeed, with no fault left');
    let wrong: readonly string[] = [];
    const whole = async () => {
      wrong = (await Promise.all(shop.hosts.map((host) => unsettled(shop, host)))).flat();
      if (this.#options.plane !== 'userspace')
        wrong = [...wrong, ...(await Promise.all(shop.hosts.map(unled))).flat()];
      const turns = await shop.values(KEYS.turns('web').from);
      if (turns.length > 0) wrong = [...wrong, `${turns.length} turns are held`];
      return wrong.length === 0;
    };
    await until(whole, { timeoutMs: REST_MS, what: 'the fleet to come to rest' }).catch((error) =>
      this.#logs.problem(`not at rest: ${wrong.join('; ') || error.message}`),
    );
  }

  #judge({ sent, answered, streams, losses, versions }: Report): void {
    const logs = this.#logs;
    logs.say(`${sent} requests and messages, ${answered} answered, ${streams} streams`);
    tellVerdict(losses, this.#excuses, logs);
    for (const [version, count] of versions)
      if (!/^v\d+$/.test(version)) logs.problem(`${count} answers came from ${version}`);
  }

  #judgeTurns(heard: readonly string[]): void {
    const logs = this.#logs;
    logs.keep('etcd-history.log', `${heard.join('\n')}\n`);
    for (const problem of this.#queue.problems) logs.problem(`turns: ${problem}`);
    const early = this.#switches.filter(({ host, release, at }) => !this.#queue.maySwitch(host, release, at));
    for (const { host, release, at } of early)
      logs.problem(`${host} switched to ${release} at ${new Date(at).toISOString()} without a turn`);
    logs.say(`${this.#switches.length} switches, at most ${this.#queue.most} hosts on their way at once`);
  }

  /** `stop`, SIGTERM to the agents and `proxy stop` leave nothing. */
  async #isClear(shop: FleetShop): Promise<void> {
    const stopped = await shop.gantryd('stop', '--wait');
    if (stopped.code !== 0) this.#logs.problem(`stop exited with ${stopped.code}: ${stopped.stderr}`);
  }

  /** Stopped without it, the kernel would lead on. */
  get #purging(): readonly string[] {
    return this.#options.plane === 'userspace' ? [] : ['--purge'];
  }

  async #isGone({ shop, agents }: Field): Promise<void> {
    await agents.end();
    for (const host of shop.hosts) {
      this.#logs.copy(`proxy-${host.name}.log`, join(host.stateDir, 'proxy.log'));
      const { code, stderr } = await host.gantryd(['proxy', 'stop', ...this.#purging]);
      if (code !== 0) this.#logs.problem(`proxy stop on ${host.name} exited with ${code}: ${stderr}`);
      let left: readonly string[] = [];
      const gone = async () => {
        left = await leftOn(host);
        return left.length === 0;
      };
      await until(gone, { timeoutMs: END_MS, what: 'nothing to be left' }).catch(() =>
        this.#logs.problem(`left on ${host.name}: ${left.join('; ')}`),
      );
    }
  }

  #keepLogs({ shop, agents }: Field): void {
    agents.keepAll();
    for (const host of shop.hosts) this.#logs.copy(`engine-${host.name}.log`, join(host.folder, 'log'));
    this.#logs.keep('etcd.log', shop.etcd.told());
  }
}

async function unsettled(shop: FleetShop, host: Host): Promise<readonly string[]> {
  const { name } = host;
  const [status] = (await shop.values<StatusValue>(KEYS.status('web', name))) as StatusValue[];
  const all = await shop.containers(host);
  const { backends, older = [] } = await statusOf(host);
  const odd = backends.filter((b) => !b.routed && b.open > 0);
  return [
    ...(status?.phase === 'serving' && status.settled === status.generation
      ? []
      : [`${name} is ${status?.phase}: ${status?.why}`]),
    ...(all.length === 2 ? [] : [`${name} has ${all.length} containers of web`]),
    ...all.filter((c) => c.state !== 'running').map((c) => `${c.name} of ${name} is ${c.state}`),
    ...odd.map((b) => `the proxy of ${name} holds ${b.id.slice(0, 12)} with ${b.open}`),
    ...older.map(({ pid }) => `the proxy ${pid} of ${name} is not gone`),
  ];
}

/** The kernel itself is asked, and not the proxy: where its rules lead to all that serve. */
async function unled(host: Host): Promise<readonly string[]> {
  const { stdout } = await host.run('nft', ['-n', 'list', 'ruleset']);
  const led = new Set(Array.from(stdout.matchAll(/ : ([\d.]+) \. 9000/g), ([, address]) => address));
  const { backends } = await statusOf(host);
  const { length } = backends.filter((b) => b.routed && b.component === 'web');
  return led.size === length
    ? []
    : [`the kernel of ${host.name} leads to ${led.size} of ${length} containers`];
}

async function leftOn(host: Host): Promise<readonly string[]> {
  const { stateDir, name } = host;
  const files = readdirSync(stateDir, { recursive: true, encoding: 'utf8' });
  const containers = (await host.containers()).filter((c) => c.name !== 'foreign');
  const tables = (await host.run('nft', ['list', 'tables'])).stdout.split('\n');
  return [
    ...tables.filter((table) => table.includes('gantryd')).map((table) => `${table} of ${name}`),
    ...processesOf(stateDir)
      .filter(({ command }) => !command.includes('listens'))
      .map(({ pid, command }) => `process ${pid}: ${command}`),
    ...containers.map((c) => `container ${c.name} (${c.state})`),
    ...files.filter((file) => /\.tmp|\.sock$|filler/.test(file)).map((file) => `file ${file} of ${name}`),
  ];
}
