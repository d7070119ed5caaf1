/**
 * The kernel plane on this host: keeps one table of nftables as the entries say, takes out containers whose process has
 * ended, and puts back what others have removed. Everything that touches the rules waits its turn in one queue.
 */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { abilityHere } from './ability.ts';
import { hasProgram } from './command.ts';
import { readFlows } from './conntrack.ts';
import { endFlows, forgetTarget, forgetUnled } from './ending.ts';
import { Forwarding } from './forwarding.ts';
import { Loopback } from './loopback.ts';
import { NearHere } from './near.ts';
import { Nft } from './nft.ts';
import type {
  Ability,
  KernelEntry,
  KernelEvents,
  KernelFlow,
  KernelPlane,
  KernelProtocol,
  KernelTarget,
} from './plane.ts';
import { Processes } from './processes.ts';
import { familyOf, type Near, rulesetOf } from './ruleset.ts';
import { type Sight, Table } from './table.ts';

/** How long rules may be missing, at the most. */
const LOOK_EVERY_MS = 2_000;
const SETTINGS_FILE = 'kernel-plane.json';

export interface KernelOptions {
  /** Names the table, and remembers which settings of the host were changed. */
  readonly stateDir: string;
  readonly events: KernelEvents;
  readonly log: Log;
}

type LedTarget = KernelTarget & { readonly protocol: KernelProtocol };

/** Does nothing until it is asked. Whoever opens it closes it. */
export function openKernelPlane(options: KernelOptions): KernelPlane {
  return new Kernel(options);
}

/** `gantryd_` and something of the state directory: two of them on one host do not meet. */
export function tableNameOf(stateDir: string): string {
  return `gantryd_${createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 8)}`;
}

class Kernel implements KernelPlane {
  readonly #events: KernelEvents;
  readonly #log: Log;
  readonly #nft = new Nft();
  readonly #table: Table;
  readonly #forwarding: Forwarding;
  readonly #loopback: Loopback;
  readonly #near = new NearHere();
  readonly #processes = new Processes((pids) => {
    // Who comes to a door as soon as the map is changed must not be sent there either.
    for (const target of this.#targetsOf(pids)) this.#events.targetDead(target);
    this.#queue(() => this.#takeOut(pids));
  });
  readonly #abilities = new Map<KernelProtocol, Promise<Ability>>();
  #entries: readonly KernelEntry[] = [];
  /** Targets whose process has ended; what is asked for later may still name them. */
  readonly #gone = new Set<string>();
  /** Targets that nobody is led to any more, while their process lives: what they leave behind is forgotten, too. */
  readonly #left = new Map<string, LedTarget>();
  #canForget: Promise<boolean> | undefined;
  /** By what was missing: why it could not be put back. */
  readonly #failures = new Map<string, string>();
  #settled = false;
  #leadsLoopback = true;
  #looks: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** What starts processes, and so takes longer than a dead container may wait to leave the map. */
  #beside: Promise<unknown> = Promise.resolve();
  #looksAround = false;

  constructor({ stateDir, events, log }: KernelOptions) {
    const name = tableNameOf(stateDir);
    this.#events = events;
    this.#log = log;
    this.#table = new Table(name, this.#nft, log);
    this.#forwarding = new Forwarding(name, this.#nft);
    this.#loopback = new Loopback(join(stateDir, SETTINGS_FILE));
  }

  ability(protocol: KernelProtocol): Promise<Ability> {
    const known = this.#abilities.get(protocol) ?? abilityHere(protocol);
    this.#abilities.set(protocol, known);
    return known;
  }

  apply(entries: readonly KernelEntry[]): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#entries;
      await this.#write(entries);
      this.#entries = entries;
      this.#keepGone(entries);
      this.#keepLeft(before, entries);
      this.#processes.watch(
        targetsOf(this.#living(entries))
          .concat([...this.#left.values()])
          .flatMap(pidOf),
      );
      await this.#takeUp(before, entries);
    });
  }

  async flows(): Promise<readonly KernelFlow[]> {
    return readFlows();
  }

  end(flows: readonly KernelFlow[], pid: number | undefined): Promise<number> {
    return endFlows(flows, pid);
  }

  purge(): Promise<void> {
    return this.#inTurn(async () => {
      this.#rest();
      await this.#beside;
      this.#entries = [];
      this.#left.clear();
      await this.#table.remove();
      await this.#forwarding.remove();
      await this.#loopback.restore();
      this.#settled = false;
    });
  }

  async close(): Promise<void> {
    this.#rest();
    await this.#last;
    this.#rest();
    await this.#beside;
    await this.#nft.close();
  }

  /** Ends what is done by itself. */
  #rest(): void {
    this.#processes.close();
    clearInterval(this.#looks);
    this.#looks = undefined;
  }

  /** That nft was silent is enough to go on; whether the rules are there is looked at when nobody waits for it. */
  async #write(entries: readonly KernelEntry[]): Promise<void> {
    if (await this.#put(entries)) this.#queue(() => this.#prove());
  }

  /** Answers whether there was anything to write. */
  async #put(entries: readonly KernelEntry[]): Promise<boolean> {
    const living = this.#living(entries);
    if (living.every(({ targets }) => targets.length === 0) && !this.#table.known) {
      await this.#removeLeftovers();
      return false;
    }
    const near = this.#near.of(hostsOf(living));
    const loopback = await this.#settle(near);
    const written = await this.#table.write(rulesetOf({ entries: living, near, loopback }));
    this.#looks ??= setInterval(() => this.#queue(() => this.#look()), LOOK_EVERY_MS);
    return written;
  }

  async #prove(): Promise<void> {
    if (!this.#table.known || isWritten(await this.#table.look())) return;
    this.#log.warn('the kernel rules are not as they were just written; all of them are written again');
    this.#table.forget();
    await this.#put(this.#entries);
  }

  /** What the rules need around them, before they lead anywhere; answers whether 127.0.0.1 can be led. */
  async #settle(near: readonly Near[]): Promise<boolean> {
    const bridges = near.filter(({ network }) => familyOf(network) === 4).map(({ name }) => name);
    const loopback = (await this.#loopback.allow(bridges)) && this.#near.areAll;
    if (!loopback && this.#leadsLoopback)
      this.#log.warn('clients on 127.0.0.1 are not led by the kernel', { bridges });
    this.#leadsLoopback = loopback;
    if (!this.#settled) await this.#forwarding.ensure();
    this.#settled = true;
    return loopback;
  }

  /** Of an earlier process that led somewhere. A host that cannot have rules has none of ours. */
  async #removeLeftovers(): Promise<void> {
    if ((await this.ability('tcp')).can) await this.#table.remove();
  }

  #living(entries: readonly KernelEntry[]): KernelEntry[] {
    const lives = (target: KernelTarget) => !this.#gone.has(keyOf(target));
    return entries.map((entry) => ({ ...entry, targets: entry.targets.filter(lives) }));
  }

  #keepGone(entries: readonly KernelEntry[]): void {
    const named = new Set(entries.flatMap(({ targets }) => targets.map(keyOf)));
    for (const key of this.#gone) if (!named.has(key)) this.#gone.delete(key);
  }

  #keepLeft(before: readonly KernelEntry[], now: readonly KernelEntry[]): void {
    for (const target of targetsOf(this.#living(before)))
      if (target.pid !== undefined) this.#left.set(placeKeyOf(target), target);
    for (const target of targetsOf(now)) this.#left.delete(placeKeyOf(target));
  }

  /** Those that are led to. */
  #targetsOf(pids: readonly number[]): LedTarget[] {
    return targetsOf(this.#living(this.#entries)).filter(isOneOf(pids));
  }

  async #takeOut(pids: readonly number[]): Promise<void> {
    const targets = this.#targetsOf(pids);
    const left = [...this.#left.values()].filter(isOneOf(pids));
    for (const target of left) this.#left.delete(placeKeyOf(target));
    for (const target of targets) this.#gone.add(keyOf(target));
    if (targets.length > 0)
      await this.#write(this.#entries).finally(() => {
        for (const target of targets) this.#events.targetGone(target);
      });
    this.#aside(() => this.#forget([...targets, ...left]));
  }

  /** Those that they have not answered or have reset would ask nobody, or whoever gets their address next. */
  async #forget(targets: readonly LedTarget[]): Promise<void> {
    this.#canForget ??= hasProgram('conntrack');
    if (await this.#canForget) for (const target of targets) await forgetTarget(target);
  }

  /** The kernel keeps an exchange of datagrams as it was when it began: not led, if there was no rule. */
  async #takeUp(before: readonly KernelEntry[], now: readonly KernelEntry[]): Promise<void> {
    const led = (entries: readonly KernelEntry[]) =>
      entries.filter(({ protocol, targets }) => protocol === 'udp' && targets.length > 0);
    const known = new Set(led(before).map(placeOf));
    for (const entry of led(now)) {
      if (known.has(placeOf(entry))) continue;
      for (const family of new Set(entry.targets.map(({ host }) => familyOf(host))))
        await forgetUnled(entry.port, family);
    }
  }

  /** What others have removed comes back. */
  async #look(): Promise<void> {
    const sight = await this.#table.look();
    if (sight === 'replaced') return this.#yield();
    if (!isWritten(sight)) this.#table.forget();
    this.#near.renew(hostsOf(this.#living(this.#entries)));
    await this.#restore('the table', async () => {
      await this.#write(this.#entries);
      return !isWritten(sight);
    });
    if (!this.#looksAround) this.#aside(() => this.#lookAround());
    this.#looksAround = true;
  }

  async #lookAround(): Promise<void> {
    try {
      await this.#restore('the rule in DOCKER-USER', () => this.#forwarding.renew());
      await this.#restore('route_localnet', async () => (await this.#loopback.renew()).length > 0);
      await this.#nft.renew();
    } finally {
      this.#looksAround = false;
    }
  }

  /** Tells what was missing unless `again` answers that nothing was; of a failure once, until it is another one. */
  async #restore(missing: string, again: () => Promise<boolean>): Promise<void> {
    try {
      if (!(await again())) return;
      this.#failures.delete(missing);
      this.#events.restored(missing);
    } catch (error) {
      if (this.#failures.get(missing) === messageOf(error)) return;
      this.#failures.set(missing, messageOf(error));
      this.#events.restored(missing, error instanceof Error ? error : new Error(messageOf(error)));
    }
  }

  /** Two processes that both restore the table would do it for ever. */
  #yield(): void {
    this.#log.warn('another process has written the kernel rules; this one leaves them to it');
    this.#table.forget();
    this.#rest();
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** For what nobody waits for. */
  #queue(task: () => Promise<void>): void {
    this.#inTurn(task).catch((error: unknown) => this.#told(error));
  }

  /** For what may go on beside changes of the table, one after another. */
  #aside(task: () => Promise<void>): void {
    this.#beside = this.#beside.then(task).catch((error: unknown) => this.#told(error));
  }

  #told(error: unknown): void {
    this.#log.error('the kernel rules could not be looked after', { why: messageOf(error) });
  }
}

/** By its process: a container that was started again is another one. */
function keyOf({ id, pid }: KernelTarget): string {
  return `${id} ${pid}`;
}

/** By this process or by another one: else it is to be written again. */
function isWritten(sight: Sight): boolean {
  return sight === 'there' || sight === 'replaced';
}

function placeOf({ protocol, address, port }: KernelEntry): string {
  return `${protocol} ${address} ${port}`;
}

function hostsOf(entries: readonly KernelEntry[]): string[] {
  return entries.flatMap(({ targets }) => targets.map(({ host }) => host));
}

function targetsOf(entries: readonly KernelEntry[]): LedTarget[] {
  return entries.flatMap(({ protocol, targets }) => targets.map((target) => ({ ...target, protocol })));
}

function placeKeyOf(target: LedTarget): string {
  return `${keyOf(target)} ${target.protocol} ${target.host} ${target.port}`;
}

function isOneOf(pids: readonly number[]): (target: KernelTarget) => boolean {
  return ({ pid }) => pid !== undefined && pids.includes(pid);
}

function pidOf({ pid }: KernelTarget): number[] {
  return pid === undefined ? [] : [pid];
}
