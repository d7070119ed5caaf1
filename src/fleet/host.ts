/**
 * The agent of one project on one host, as `gantryd run` keeps it: follows etcd, runs the project's components, tells
 * the fleet how they are. Only one at a time, by a lock that dies with the process; whatever it knows can be rebuilt,
 * so that it may end or be killed at any instant and nobody outside notices.
 */

import { join } from 'node:path';
import { type ProxyPort, passiveProxyPort, proxyPort } from '../agent/proxy-port.ts';
import { recordsOf } from '../agent/record.ts';
import { troubleOf } from '../agent/stay.ts';
import { steadyNow, untilTogether } from '../clock.ts';
import { followedKey, type Keys, keys as keysOf } from '../cluster/keys.ts';
import type { Mirror, Session, Store } from '../cluster/store.ts';
import { type HostValue, readConfig } from '../cluster/values.ts';
import { within } from '../deadline.ts';
import type { Engine } from '../docker/engine.ts';
import { makeFolder } from '../durable-file.ts';
import { GantryError, isGantryError } from '../errors.ts';
import type { AgentEvent } from '../events.ts';
import { withLock } from '../lock.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { pause } from '../poke.ts';
import { DEFAULT_LIMITS, type ProxyLimits } from '../proxy/tables/routes.ts';
import { VERSION } from '../version.ts';
import { FleetComponent } from './component.ts';
import { Answer } from './intents/answer.ts';
import { LeasedKeys, QUIET_MS } from './leased.ts';
import { LinkRoutes } from './links.ts';
import { FollowedIndex } from './looks/followed-index.ts';
import { Glances } from './looks/glances.ts';
import { sharedEngine, sharedProxyPort } from './looks/hints.ts';
import { OpenCounts } from './looks/open-counts.ts';
import { lookingTogether, statusTogether } from './looks/shared-looks.ts';
import { refuseNamesake } from './namesake.ts';
import { Presence } from './scale/presence.ts';
import { takeAlong } from './scale/taking-along.ts';
import { type HostSecrets, keepPublished } from './secrets-key.ts';
import type { Surroundings } from './surroundings.ts';
import { wantedOf } from './wanted.ts';

/** How long the host's keys outlive its agent: a new start within it goes on where the old one was. */
export const SESSION_TTL_MS = 15_000;
/** A turn that was under way is not given up before etcd had this long to answer a new start. */
const FIRST_ANSWER_MS = 3_000;
const LINKS_AGAIN_MS = 2_000;
/** The same trouble, met again and again, is told once in so long. */
const TROUBLE_TOLD_MS = 60_000;

export interface HostInput {
  readonly project: string;
  /** undefined: all of the project's config. */
  readonly components: readonly string[] | undefined;
  /** This host's name in the fleet. */
  readonly host: string;
  readonly address: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Path of the state directory. */
  readonly stateDir: string;
  readonly hostId: string;
  /** Of this machine since it was started; absent: a copy of it cannot be told from it. */
  readonly boot?: string | undefined;
  readonly engine: Engine;
  /** Absent: components that have secrets cannot be started here. */
  readonly secrets?: HostSecrets;
  readonly store: Store;
  readonly prefix: string;
  /** Drains what runs here when told to end. */
  readonly stopOnExit: boolean;
  readonly emit: (event: AgentEvent) => void;
  /** Default: nobody wants numbers. */
  readonly metrics?: Metrics | undefined;
  /** Called once everything is followed. `tell`: a key that lives as long as the host's do. */
  readonly onRunning: (tell: (key: string, value: object) => void) => void;
  readonly now?: () => number;
  /** For simulations without a proxy process. */
  readonly proxy?: ProxyPort;
}

/**
 * Runs until aborted. host-taken when another agent runs for the project here, or another machine has the name.
 * Containers and traffic stay as they are when it ends, unless `stopOnExit`.
 */
export async function runHost(input: HostInput, signal: AbortSignal): Promise<void> {
  const folder = join(input.stateDir, 'agents');
  await makeFolder(folder);
  const options = { timeoutMs: 0, signal: new AbortController().signal };
  try {
    await withLock(join(folder, `${input.project}.lock`), options, () => new FleetHost(input).run(signal));
  } catch (error) {
    if (isGantryError(error, 'locked')) throw taken(input.project, error);
    throw error;
  }
}

function taken(project: string, { message, cause }: GantryError): GantryError {
  const who = /^(process \d+ \(.*\)|another process)/.exec(message)?.[1] ?? 'another process';
  return new GantryError('host-taken', `${who} already runs project ${project} on this host`, {
    hint: 'One agent per project and host is enough: it runs all components. End it first if you mean to replace it; containers and traffic stay.',
    cause,
  });
}

class FleetHost {
  readonly #input: HostInput;
  readonly #now: () => number;
  readonly #keys: Keys;
  readonly #ended = new AbortController();
  readonly #components = new Map<string, FleetComponent>();
  readonly #index: FollowedIndex;
  readonly #session: Session;
  readonly #mirror: Mirror;
  readonly #leased: LeasedKeys;
  readonly #links: LinkRoutes;
  readonly #presence: Presence;
  readonly #around: Surroundings;
  readonly #since: string;
  readonly #counts = new OpenCounts();
  #limits: ProxyLimits = DEFAULT_LIMITS;
  #followed: Promise<void> = Promise.resolve();
  #wasCurrent: boolean | undefined;
  #leaves = false;
  #told = { message: '', at: 0 };
  readonly #answered = new Answer();

  constructor(input: HostInput) {
    this.#input = input;
    this.#now = input.now ?? steadyNow;
    this.#since = new Date(this.#now()).toISOString();
    this.#keys = keysOf(input.prefix);
    const { project, host, stateDir, store } = input;
    const keys = this.#keys.project(project);
    this.#index = new FollowedIndex(this.#keys, project);
    this.#session = store.session({ ttlMs: SESSION_TTL_MS, onChange: () => this.#onLease() });
    this.#leased = new LeasedKeys({
      ...{ store, session: this.#session, proof: this.#keys.host(project, host) },
      onTrouble: (error) => this.#tellTrouble(error),
    });
    const { signal } = this.#ended;
    const engine = lookingTogether(sharedEngine(input.engine, signal), project, input.hostId);
    const port = statusTogether(input.proxy ?? proxyPort(stateDir), project);
    const proxy = sharedProxyPort(port, project, signal);
    const limits = () => this.#limits;
    this.#links = new LinkRoutes({ project, host, stateDir, engine, proxy, limits });
    this.#mirror = store.follow({ range: keys.followed(), onChange: (changed) => this.#onChange(changed) });
    this.#presence = new Presence({
      ...{ store, project, keys: this.#keys, ttlMs: SESSION_TTL_MS, now: this.#now },
      onChange: () => this.#pokeAll(),
    });
    this.#around = {
      ...{
        project,
        host,
        hostId: input.hostId,
        address: input.address,
        stateDir,
        keys,
        store,
        engine,
        proxy,
        secrets: input.secrets,
      },
      ...{ session: this.#session, leased: this.#leased, links: this.#links, now: this.#now, limits },
      presence: this.#presence,
      emit: input.emit,
      metrics: input.metrics,
      glances: new Glances({ project, hostId: input.hostId, stateDir, engine: input.engine, proxy: port }),
      connections: () => this.#counts.byContainer,
      wanted: (component, releaseOf) =>
        wantedOf(this.#mirror, keys, component, this.#index.turns(component), releaseOf),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      const glancing = this.#around.glances.run(this.#ended.signal);
      this.#limits = await this.#presentLimits();
      await this.#startKnown();
      await this.#firstAnswer(signal);
      await this.#refuseNamesake(signal);
      this.#adjust();
      this.#tellPresence();
      this.#tellCluster();
      // Who is told that it runs may ask for what only a host can do that etcd knows of.
      await this.#leased.flushWithin(FIRST_ANSWER_MS, signal);
      this.#input.onRunning((key, value) => this.#leased.put(key, value, { news: true }));
      const writing = Promise.all([this.#leased.run(this.#ended.signal), this.#keepKeyPublished()]);
      await this.#watchConnections(signal);
      if (this.#input.stopOnExit) await this.#leave();
      this.#ended.abort();
      await Promise.all([writing, glancing]);
    } finally {
      await this.#close();
    }
  }

  async #keepKeyPublished(): Promise<void> {
    const { project, host, store, secrets } = this.#input;
    if (secrets === undefined) return;
    const place = { store, keys: this.#keys.project(project), project };
    const onTrouble = (error: unknown) => this.#tellTrouble(error);
    await keepPublished({ place, host, key: secrets.key, now: this.#now, onTrouble }, this.#ended.signal);
  }

  /** What was followed before is healed from the first moment, whether etcd answers or not. */
  async #startKnown(): Promise<void> {
    const { stateDir, project, components, engine, hostId } = this.#input;
    const records = await recordsOf(stateDir, project);
    const containers = () => engine.containers({ project, host: hostId });
    await this.#links.keepRequired(records, containers).catch((error: unknown) => this.#tellTrouble(error));
    for (const [name, record] of records) {
      const isFollowed = record === undefined || record.fleet !== undefined;
      if (isFollowed && (components?.includes(name) ?? true)) this.#start(name);
    }
  }

  /** Until etcd has told what is wanted and granted a lease, or has not for a while. */
  async #firstAnswer(signal: AbortSignal): Promise<void> {
    const bound = within(FIRST_ANSWER_MS, signal);
    await this.#mirror.listed(bound).catch(() => undefined); // away: what is known goes on
    const isThere = () => this.#mirror.current && this.#session.lease() !== undefined;
    while (!bound.aborted && !isThere()) await pause(5, bound);
  }

  async #refuseNamesake(signal: AbortSignal): Promise<void> {
    if (!this.#mirror.current) return;
    const { store, project, host, hostId, boot } = this.#input;
    const there = () => store.get(this.#keys.host(project, host));
    const around = { there, now: this.#now, ttlMs: SESSION_TTL_MS };
    await refuseNamesake({ project, host, hostId, boot, ...around }, signal);
  }

  #start(name: string): void {
    if (this.#leaves || this.#components.has(name)) return;
    const component = new FleetComponent(name, this.#around);
    this.#components.set(name, component);
    component.start(this.#answered.promise);
  }

  /** All the components that are to be here run, and each heeds what etcd says from now on. */
  #adjust(): void {
    this.#answered.resolve();
    for (const name of this.#wantedHere()) this.#start(name);
  }

  #wantedHere(): readonly string[] {
    const { components, project } = this.#input;
    if (components !== undefined) return components;
    const config = readConfig(this.#mirror.entries.get(this.#keys.project(project).config));
    const listed = Array.isArray(config?.file.components) ? config.file.components : [];
    const names = listed.map((c: unknown) => (c as { name?: unknown }).name);
    const configured = names.filter((n): n is string => typeof n === 'string');
    // What left the config can still be stopped.
    return [...new Set([...configured, ...this.#index.components()])];
  }

  #onChange(changed?: readonly string[]): void {
    this.#tellCluster();
    const concerned = this.#index.apply(this.#mirror.entries, changed);
    if (changed === undefined || changed.some((key) => this.#isMissed(key))) this.#leased.doubt();
    if (!this.#answered.done) return;
    const all = changed === undefined || changed.length === 0; // any key may have, or etcd came or went
    const strange = [...concerned.components].some((name) => !this.#components.has(name));
    if (all || concerned.config || strange) this.#adjustAndTell();
    if (concerned.links) this.#followLinks();
    for (const [name, component] of this.#components) {
      if (all || concerned.components.has(name)) component.poke();
    }
    // A rollout may wait for the one of another component.
    if (!all && concerned.rollouts.size > 0) this.#pokeWaiting(concerned.rollouts);
  }

  /** What nobody removes but by hand: then this host's own keys may be gone too. */
  #isMissed(key: string): boolean {
    if (this.#mirror.entries.has(key)) return false;
    const kind = followedKey(this.#keys, this.#input.project, key)?.kind;
    return kind === 'config' || kind === 'desired' || kind === 'rollout';
  }

  #adjustAndTell(): void {
    const before = this.#components.size;
    this.#adjust();
    if (this.#components.size !== before) this.#tellPresence();
  }

  #pokeWaiting(changed: ReadonlySet<string>): void {
    for (const [name, component] of this.#components) {
      const { rollout } = this.#around.wanted(name, () => undefined);
      if (rollout?.value.after.some((a) => changed.has(a.component)) === true) component.poke();
    }
  }

  #onLease(): void {
    this.#leased.leaseChanged();
    this.#pokeAll();
  }

  #pokeAll(): void {
    for (const component of this.#components.values()) component.poke();
  }

  #followLinks(): void {
    const { signal } = this.#ended;
    const follow = () => this.#links.follow(this.#index.offers());
    this.#followed = this.#followed.then(follow).catch(async (error: unknown) => {
      this.#tellTrouble(error);
      await pause(LINKS_AGAIN_MS, signal);
      if (!signal.aborted) this.#followLinks();
    });
  }

  /** Until told to end: what changes all the time is looked at now and then, for all components at once. */
  async #watchConnections(signal: AbortSignal): Promise<void> {
    const { stateDir, project } = this.#input;
    const passive = this.#input.proxy ?? passiveProxyPort(stateDir);
    if (this.#mirror.current) this.#followLinks();
    while (!signal.aborted) {
      await pause(untilTogether(QUIET_MS), signal);
      try {
        const status = await passive.status(project);
        const changed = this.#counts.note(status);
        const table = status.owners.find((o) => o.owner === project)?.table;
        if (table !== undefined && !this.#links.areIn(table)) {
          this.#links.forgetApplied();
          this.#followLinks();
        }
        for (const component of this.#components.values()) component.refresh(changed);
      } catch (error) {
        this.#tellTrouble(error);
      }
    }
  }

  async #presentLimits(): Promise<ProxyLimits> {
    const { stateDir, project, proxy } = this.#input;
    const { owners } = await (proxy ?? passiveProxyPort(stateDir)).status(project);
    return owners.find((o) => o.owner === project)?.table.limits ?? DEFAULT_LIMITS;
  }

  #tellPresence(): void {
    const components = this.#leaves ? [] : [...this.#components.keys()].sort();
    const { project, host, hostId: id, boot, labels, address = '' } = this.#input;
    const value: HostValue = {
      ...{ format: 1, host, id, project, address, version: VERSION, pid: process.pid, labels },
      ...{ components, since: this.#since, ...(boot === undefined ? {} : { boot }) },
    };
    this.#leased.put(this.#keys.host(project, host), value, { news: true });
  }

  /** Before the first answer there is nothing to tell: that etcd is away is told when it was given its time. */
  #tellCluster(): void {
    const { current, trouble = '' } = this.#mirror;
    if (!this.#answered.done || current === this.#wasCurrent) return;
    const first = this.#wasCurrent === undefined;
    this.#wasCurrent = current;
    if (first && current) return;
    this.#input.emit({ kind: 'cluster', connected: current, why: trouble, component: '', at: this.#now() });
  }

  #tellTrouble(error: unknown): void {
    const trouble = troubleOf(error);
    const { message } = trouble;
    const at = this.#now();
    if (message === this.#told.message && at - this.#told.at < TROUBLE_TOLD_MS) return;
    this.#told = { message, at };
    this.#input.emit({ ...trouble, component: '', at });
  }

  /** Told to take everything along. */
  async #leave(): Promise<void> {
    const { project, host, store, emit } = this.#input;
    this.#leaves = true;
    this.#tellPresence(); // its shares are for the others
    await takeAlong({
      ...{ project, host, store, emit, keys: this.#keys, index: this.#index, now: this.#now },
      ...{ components: [...this.#components.values()], leased: this.#leased, links: this.#links },
      isCurrent: () => this.#mirror.current && this.#session.lease() !== undefined,
      onTrouble: (error) => this.#tellTrouble(error),
    });
  }

  async #close(): Promise<void> {
    this.#ended.abort();
    this.#answered.resolve();
    await Promise.all([...this.#components.values()].map((component) => component.close()));
    this.#mirror.close();
    this.#presence.close();
    await this.#followed;
    if (this.#input.stopOnExit) await this.#session.close();
    // The links that are offered here serve on, and a new start within the lease's time goes on where this one was.
    else this.#session.abandon();
  }
}
