/**
 * gantry's commands on one host, without etcd: each sets what is wanted, then runs the loop until the
 * host is there. Killing a command at any point loses nothing: the next one goes on from what it finds.
 */
import { steadyNow } from '../clock.ts';
import type { Component, Project } from '../config/project.ts';
import type { Engine, Image } from '../docker/engine.ts';
import { GantryError } from '../errors.ts';
import type { AgentEvent, Tell } from '../events.ts';
import type { ProxyStatus } from '../proxy/control/protocol.ts';
import { Agent, type View } from './agent.ts';
import { follow, type Outcome, superseded } from './deployment.ts';
import { type ListedContainer, listed } from './listed.ts';
import { isOnTrial } from './plan/canary-mark.ts';
import { forecast } from './plan/forecast.ts';
import type { Plan } from './plan/plan.ts';
import type { Release } from './plan/state.ts';
import { type ProxyPort, passiveProxyPort, proxyPort } from './proxy-port.ts';
import {
  type ComponentRecord,
  desiredOf,
  recordedComponents,
  recordFile,
  withProven,
  withRelease,
  withStatus,
} from './record.ts';
import { makeRelease } from './release.ts';
import { refuseScale, type ScaleTo } from './scale.ts';
import { followScale, withAsked } from './scaling-here.ts';
import { requireSecrets, type SecretPort, secretMounts } from './secret-mounts.ts';
import { stay } from './stay.ts';

export interface LocalInput {
  /** Path of the state directory. */
  readonly stateDir: string;
  readonly hostId: string;
  readonly engine: Engine;
  readonly project: Project;
  /** Absent: components that have secrets cannot be started. */
  readonly secrets?: SecretPort;
  readonly emit: (event: AgentEvent) => void;
  readonly now?: () => number;
}

export interface UpdateOptions {
  /** Pull even when the image is there. */
  readonly pull: boolean;
  /** Return once the new containers serve; the drain goes on with the next command. */
  readonly detach: boolean;
}

export type { Outcome } from './deployment.ts';
export type { ListedContainer } from './listed.ts';

export class LocalHost {
  readonly #input: LocalInput;
  readonly #now: () => number;
  readonly #proxy: ProxyPort;

  constructor(input: LocalInput) {
    this.#input = input;
    this.#now = input.now ?? steadyNow;
    this.#proxy = proxyPort(input.stateDir);
  }

  /**
   * Replaces the component's containers: start, ready, switch, drain, remove. release-failed when the new
   * ones do not become ready; interrupted when `signal` aborts before the switch; in both cases they are
   * removed and the old ones serve. An abort during the drain ends with `draining`.
   */
  async update(name: string, options: UpdateOptions, signal: AbortSignal): Promise<Outcome> {
    const component = this.#component(name);
    return this.#withAgent(name, false, async (agent, tell) => {
      await agent.sweep(signal);
      const release = await this.#prepare(agent, component, options.pull, tell, signal);
      tell({ kind: 'release-made', release: release.number, image: release.image, imageId: release.imageId });
      return follow(agent, release, { detach: options.detach, now: this.#now }, signal);
    });
  }

  /** As update, but refuses with already-running. */
  async start(name: string, options: UpdateOptions, signal: AbortSignal): Promise<Outcome> {
    await this.#refuseRunning(name);
    return this.update(name, options, signal);
  }

  /** Unroutes, drains, stops and removes; answers when nothing is left. An abort leaves the drain to the next command. */
  stop(name: string, signal: AbortSignal): Promise<Outcome> {
    return this.#end(name, 'stopped', signal);
  }

  /** Unroutes, kills and removes at once, whatever connections are open. */
  kill(name: string, signal: AbortSignal): Promise<Outcome> {
    return this.#end(name, 'killed', signal);
  }

  /**
   * So many containers of the release that there is, without a new one; what is stopped has them from its next start
   * on. Answers once they serve and the others are gone; an abort leaves the rest to the next command. usage,
   * release-unknown for what was never deployed, release-failed when those that are missing do not come up.
   */
  async scale(name: string, to: ScaleTo, signal: AbortSignal): Promise<Outcome> {
    const component = this.#component(name);
    refuseScale(name, to, component);
    // Its own health checks tell which of too many containers go.
    return this.#withAgent(name, true, async (agent) => {
      await agent.sweep(signal);
      await agent.change((record) => withAsked(record, name, to), signal);
      const { desired } = await agent.look();
      if (desired.status !== 'ready') return 'not-running';
      return followScale(agent, desired, signal);
    });
  }

  /** What scale would do, as if each step worked. Changes nothing. */
  async forecastScale(name: string, to: ScaleTo): Promise<Plan> {
    refuseScale(name, to, this.#component(name));
    const { stateDir, project } = this.#input;
    const look = (agent: Agent) => agent.look();
    const { record, observed } = await this.#withAgent(name, false, look, passiveProxyPort(stateDir));
    const desired = desiredOf(project.name, name, withAsked(record, name, to));
    return forecast(desired, { ...observed, heals: true });
  }

  /** Probes health and replaces what fails, start-first, until aborted or until somebody stops the component. */
  async monitor(name: string, signal: AbortSignal): Promise<void> {
    this.#component(name);
    await this.#withAgent(name, true, async (agent, tell) => {
      tell({ kind: 'monitoring' });
      const isOver = (view: View) => view.desired.status !== 'ready' && view.plan.length === 0;
      const view = await stay(agent, isOver, { tell, now: this.#now }, signal);
      if (view === undefined) return;
      const { status, release } = view.desired;
      const why = view.record.reason ?? `it was ${status} by another command`;
      tell({ kind: 'desired-changed', status, release: release?.number, why });
    });
  }

  /** The component's containers, the newest first. Starts nothing, not even a proxy. */
  async list(name: string): Promise<readonly ListedContainer[]> {
    this.#component(name);
    const { engine, project, hostId, stateDir } = this.#input;
    const passive = passiveProxyPort(stateDir);
    const [containers, status, record] = await Promise.all([
      engine.containers({ project: project.name, component: name, host: hostId }),
      passive.status(project.name),
      recordFile(stateDir, project.name, name).read(),
    ]);
    return listed(containers, status, record);
  }

  /** The component's ports as the proxy has them; none: no proxy answers. */
  async listeners(name: string): Promise<ProxyStatus['listeners']> {
    const { project, stateDir } = this.#input;
    const { listeners } = await passiveProxyPort(stateDir).status(project.name);
    return listeners.filter(({ component }) => component === name);
  }

  /** Everything the action would do, as if each step worked. Changes nothing. */
  async forecast(name: string, action: 'update' | 'start' | 'stop' | 'kill'): Promise<Plan> {
    const component = this.#component(name);
    if (action === 'start') await this.#refuseRunning(name);
    const { stateDir, project } = this.#input;
    const passive = passiveProxyPort(stateDir);
    return this.#withAgent(
      name,
      false,
      async (agent) => {
        const { record, desired, observed } = await agent.look();
        if (action === 'stop' || action === 'kill') {
          return forecast({ ...desired, status: action === 'stop' ? 'stopped' : 'killed' }, observed);
        }
        const file = recordFile(stateDir, project.name, name);
        const image = await this.#input.engine.image(component.image);
        const { release } = await makeRelease({
          ...(await this.#releaseInput(component, image ?? { id: component.image, digests: [], tags: [] })),
          record: await file.read(),
        });
        const next = withRelease(record, release);
        const previous = record.releases.filter((r) => r.proven).at(-1);
        const sized = desiredOf(project.name, name, next).release;
        const wanted = { ...desired, status: next.status, release: sized, previous, canary: undefined };
        return forecast(wanted, { ...observed, imagePresent: image !== undefined });
      },
      passive,
    );
  }

  /** Whether a container of the component serves. */
  async isRunning(name: string): Promise<boolean> {
    const listed = await this.list(name);
    return listed.some((c) => c.status === 'running');
  }

  async #refuseRunning(name: string): Promise<void> {
    if (!(await this.isRunning(name))) return;
    throw new GantryError('already-running', `Component ${name} is already running`, {
      hint: 'Use update to replace its containers.',
    });
  }

  /** Without a proxy being started for the look: nothing of it is here and nothing is wanted. */
  async #isGone(name: string): Promise<boolean> {
    const { stateDir, project } = this.#input;
    const status = await passiveProxyPort(stateDir).status(project.name);
    if (status.owners.some((o) => o.owner === project.name)) return false;
    const record = await recordFile(stateDir, project.name, name).read();
    return record.status !== 'ready' && (await this.list(name)).length === 0;
  }

  async #end(name: string, status: 'stopped' | 'killed', signal: AbortSignal): Promise<Outcome> {
    this.#component(name);
    if (await this.#isGone(name)) return 'not-running';
    return this.#withAgent(name, false, async (agent, tell) => {
      const { record, observed } = await agent.look();
      const nothing = observed.containers.length === 0 && observed.listeners.length === 0;
      if (nothing && record.status !== 'ready') return 'not-running';
      await agent.sweep(signal);
      await agent.change((r) => withStatus(r, status), signal);
      if (!nothing) tell({ kind: 'stop-started', status });
      try {
        const view = await agent.run((v) => v.desired.status !== status || v.plan.length === 0, signal);
        if (view.desired.status !== status) throw superseded(name, view);
        return nothing ? 'not-running' : 'done';
      } catch (error) {
        if (!signal.aborted) throw error;
        return 'draining';
      }
    });
  }

  /** All that comes before the first container. Interrupted here, nothing has changed. */
  async #prepare(
    agent: Agent,
    component: Component,
    pull: boolean,
    tell: Tell,
    signal: AbortSignal,
  ): Promise<Release> {
    try {
      await requireSecrets(this.#input.secrets, component);
      const image = await this.#ensureImage(component, pull, tell, signal);
      return await this.#makeRelease(agent, component, image, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new GantryError(
        'interrupted',
        `The update of ${component.name} was interrupted at its beginning`,
        {
          hint: 'Nothing has changed.',
          cause: error,
        },
      );
    }
  }

  async #makeRelease(
    agent: Agent,
    component: Component,
    image: Image,
    signal: AbortSignal,
  ): Promise<Release> {
    const { project } = this.#input;
    let made: Release | undefined;
    await agent.change(async (record) => {
      const { release, linkPorts } = await makeRelease({
        ...(await this.#releaseInput(component, image)),
        record,
      });
      const route = { component: component.name, listeners: release.listeners, backends: [] };
      // A taken port is found before anything starts.
      await this.#proxy.setRoute(project.name, component.name, route, project.limits, { dryRun: true });
      made = release;
      return { ...withRelease(await this.#asItServes(record, component.name), release), linkPorts };
    }, signal);
    if (made === undefined) throw new GantryError('internal', 'no release was made');
    return made;
  }

  /** What serves is what a failure returns to, even if whoever routed it was killed before settling on it. */
  async #asItServes(record: ComponentRecord, name: string): Promise<ComponentRecord> {
    if (record.status !== 'ready' || isOnTrial(record)) return record;
    const routed = (await this.list(name)).filter((c) => c.held?.routed === true);
    const serves = routed.length > 0 && routed.every((c) => c.container.release === record.release);
    return serves ? withProven(record, record.release) : record;
  }

  async #releaseInput(component: Component, image: Image) {
    const { project, engine, stateDir, hostId } = this.#input;
    const recordOf = (other: string) => recordFile(stateDir, project.name, other);
    const here = await engine.containers({ project: project.name, component: component.name, host: hostId });
    const newestHere = Math.max(0, ...here.map((c) => c.release));
    const runningHere = new Set(here.filter((c) => c.state === 'running').map((c) => c.release));
    return { project, component, image, engine, recordOf, newestHere, runningHere, now: this.#now() };
  }

  async #ensureImage(component: Component, pull: boolean, tell: Tell, signal: AbortSignal): Promise<Image> {
    const { engine } = this.#input;
    const here = pull ? undefined : await engine.image(component.image);
    if (here !== undefined) return here;
    tell({
      kind: 'image-pulling',
      image: component.image,
      why: pull ? 'asked for' : 'this host does not have it',
    });
    const image = await engine.pull(component.image, {
      signal,
      onProgress: (progress) => tell({ kind: 'image-progress', image: component.image, ...progress }),
      ...(component.registryAuth === undefined ? {} : { authFile: component.registryAuth }),
    });
    tell({ kind: 'image-ready', image: component.image, imageId: image.id });
    return image;
  }

  async #withAgent<T>(
    name: string,
    heal: boolean,
    body: (agent: Agent, tell: Tell) => Promise<T>,
    proxy: ProxyPort = this.#proxy,
  ): Promise<T> {
    const { project, hostId, engine, stateDir, emit } = this.#input;
    const tell: Tell = (fact) => emit({ ...fact, component: name, at: this.#now() });
    const file = recordFile(stateDir, project.name, name);
    const shared = { project: project.name, component: name, hostId, engine, limits: project.limits };
    const secrets = secretMounts({ ...shared, stateDir, port: this.#input.secrets });
    const agent = new Agent({ ...shared, proxy, file, secrets, tell, heal, now: this.#now });
    try {
      agent.start();
      return await body(agent, tell);
    } finally {
      await agent.close();
    }
  }

  #component(name: string): Component {
    const { project } = this.#input;
    const component = project.components.find((c) => c.name === name);
    if (component !== undefined) return component;
    const known = project.components.map((c) => c.name).join(', ');
    throw new GantryError('component-unknown', `Project ${project.name} has no component ${name}`, {
      hint: `Its components are: ${known}.`,
    });
  }
}

/** What the newest release on this host was made from: of a component that the project may not have any more. */
export async function rememberedComponent(
  stateDir: string,
  project: string,
  name: string,
): Promise<Component | undefined> {
  if (!(await recordedComponents(stateDir, project)).includes(name)) return undefined;
  return (await recordFile(stateDir, project, name).read()).releases.at(-1)?.component;
}
