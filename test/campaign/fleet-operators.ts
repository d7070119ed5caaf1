/**
 * What people do to the fleet of a campaign, one thing after the other: good releases and bad ones, back and forth,
 * with and without patience. A command may be refused or fail while faults fall; it may not meet a defect.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { APP, type ComponentFile, type FleetShop, type Order } from '../e2e/fleet.ts';
import { push, withOwnLayer } from '../ground/registry.ts';
import type { Logs } from './logs.ts';
import type { Way } from './schedule.ts';

/** A rollout may have to wait for leases and faults to end; nobody waits for ever. */
const LONGEST_MS = 60_000;
const CHECK = { kind: 'http', path: '/health', port: 8080 };
const SICK_AFTER_MS = 1_000;
/** The variable by which a release of the application fails its health checks after a while. */
export const SICKNESS = 'BREAK_AFTER_MS';

/** Where images are published, as the engines name it, and by which its gate is passed. */
export interface Images {
  readonly repo: string;
}

export class Operators {
  readonly #shop: FleetShop;
  readonly #logs: Logs;
  readonly #images: Images | undefined;
  readonly #ports: readonly ComponentFile[];
  #version = 0;
  #side: ComponentFile | undefined;
  #web: ComponentFile = {};
  #commands = 0;
  /** How commands ended, by what they were and their exit code. */
  readonly ends = new Map<string, number>();

  /** `ports`: of every release of `web`. */
  constructor(shop: FleetShop, logs: Logs, images: Images | undefined, ports: readonly ComponentFile[]) {
    this.#shop = shop;
    this.#logs = logs;
    this.#images = images;
    this.#ports = ports;
  }

  /** Answers whether the release came into service everywhere. */
  async deploy({ instances, keepOld }: { instances: number; keepOld: number }): Promise<boolean> {
    const isSet = await this.#set(this.#good(instances, keepOld));
    return isSet && (await this.#update('web'));
  }

  async deployBad(way: Way): Promise<void> {
    const good = this.#good(2, 0);
    const flaw = {
      exits: { EXIT_AT_START: '3' },
      'never ready': { READY_AFTER_MS: '600000' },
      sick: { [SICKNESS]: String(SICK_AFTER_MS) },
    }[way];
    const environmentVariables = [...variables(flaw), ...((good.environmentVariables as []) ?? [])];
    const update = { ...(good.update as object), monitor: way === 'sick' ? 5_000 : 1_000 };
    const bad = { ...good, environmentVariables, update, readyTimeout: way === 'sick' ? 30_000 : 2_500 };
    if (!(await this.#set(bad))) return;
    if (await this.#update('web')) this.#logs.problem(`a release that ${way} was rolled out`);
  }

  async rollback(): Promise<void> {
    await this.#toItsEnd('rollback', ['rollback', '-c', 'web', '--wait']);
  }

  async pause(ms: number): Promise<void> {
    if (!(await this.#set(this.#good(2, 0)))) return;
    await this.#toItsEnd('update', ['update', '-c', 'web']);
    await this.#toItsEnd('rollout pause', ['rollout', 'pause', '-c', 'web']);
    await delay(ms);
    await this.#toItsEnd('rollout resume', ['rollout', 'resume', '-c', 'web']);
  }

  /** A release of `side` that every host has to fetch. */
  async pull(): Promise<void> {
    if (this.#images === undefined) return;
    const { repo } = this.#images;
    const { docker } = this.#shop.first;
    const tag = `t${++this.#version}`;
    const made = await withOwnLayer(docker, `${APP.repo}:${APP.tag}`, repo, tag)
      .then(() => push(docker, repo, tag))
      .then(() => true)
      .catch((error) => this.#logs.say(`nothing could be published: ${String(error).slice(0, 200)}`));
    if (made !== true) return;
    this.#side = { name: 'side', repo, tag, readyTimeout: 30_000, update: { monitor: 0, keepOld: 0 } };
    if (await this.#set(this.#web)) await this.#update('side');
  }

  /** Whoever asked is killed, or does not look for a while. */
  async interrupted(deed: { readonly afterMs: number; readonly ms: number }, how: 'SIGKILL' | 'SIGSTOP') {
    if (!(await this.#set(this.#good(2 + (deed.ms % 2), 0)))) return;
    const order = this.#shop.begin('update', '-c', 'web', '--wait');
    await delay(deed.afterMs);
    order.signal(how);
    if (how === 'SIGSTOP') await delay(deed.ms).then(() => order.signal('SIGCONT'));
    await this.#over('update (interrupted)', order);
  }

  /** Another command of gantryd on a host. */
  async on(name: string, args: readonly string[]): Promise<void> {
    const order = this.#shop.fleet.host(name).agent([...args, '--json'], { env: this.#shop.env });
    await this.#over(args.join(' '), order as Order);
  }

  #good(instances: number, keepOld: number): ComponentFile {
    return {
      ...{ instances, ports: this.#ports, readyTimeout: 30_000, stopTimeout: 1_000, readyChecks: [CHECK] },
      healthChecks: [{ ...CHECK, interval: 500, timeout: 5_000 }],
      update: { monitor: 1_000, keepOld, maxParallel: 1 },
      environmentVariables: variables({ SAY_HOST: '1' }),
    };
  }

  async #set(web: ComponentFile): Promise<boolean> {
    this.#web = web;
    const name = `v${++this.#version}`;
    this.#logs.say(`setconfig ${name}`);
    try {
      await this.#shop.setConfig(name, web, this.#side === undefined ? [] : [this.#side]);
      return true;
    } catch (error) {
      this.#judge('setconfig', 1, String(error));
      return false;
    }
  }

  async #update(component: string): Promise<boolean> {
    return (await this.#toItsEnd(`update ${component}`, ['update', '-c', component, '--wait'])) === 0;
  }

  #toItsEnd(what: string, [action = '', ...args]: readonly string[]): Promise<number | undefined> {
    const [subaction = '', ...more] = args;
    const isTwo = action === 'rollout';
    const host = this.#shop.first;
    const words = isTwo ? [action, subaction, 'shop', ...more] : [action, 'shop', ...args];
    return this.#over(what, host.agent([...words, '--json'], { env: this.#shop.env }) as Order);
  }

  async #over(what: string, order: Order): Promise<number | undefined> {
    const late = delay(LONGEST_MS, 'late' as const, { ref: false });
    if ((await Promise.race([order.ended, late])) === 'late') {
      this.#logs.say(`${what} takes over ${LONGEST_MS} ms: Ctrl-C`);
      order.signal('SIGINT');
    }
    const { code, signal, stdout, stderr } = await order.ended;
    this.#judge(what, code ?? signal, `${stdout}\n${stderr}`);
    return code;
  }

  #judge(what: string, end: number | string | undefined, said: string): void {
    this.#commands += 1;
    const key = `${what}: ${end}`;
    this.ends.set(key, (this.ends.get(key) ?? 0) + 1);
    this.#logs.append('commands.log', `# ${new Date().toISOString()} ${this.#commands} ${key}\n${said}\n`);
    this.#logs.say(`${what} ended with ${end} ${lastOf(said)}`);
    const isDefect = /"internal"|Unexpected|\bat .*\.js:\d+:\d+\)?\n *at /.test(said);
    if (isDefect) this.#logs.problem(`${what} met a defect: ${said.slice(-800)}`);
    const isRefused = said.includes('"code":"release-unknown"'); // there is nothing yet to go back to
    if (typeof end === 'number' && end > 1 && !isRefused)
      this.#logs.problem(`${what} exited with ${end}: ${said}`);
  }
}

function variables(all: Readonly<Record<string, string>>) {
  return Object.entries(all).map(([name, value]) => ({ name, value }));
}

function lastOf(said: string): string {
  const [, message] = /"message":"((?:[^"\\]|\\.)*)"[^\n]*\n?$/.exec(said.trim()) ?? [];
  return (message ?? said.trim().split('\n').at(-1) ?? '').slice(0, 200);
}
