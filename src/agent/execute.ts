/**
 * Carries out a plan's actions: one executor a kind, each idempotent, so that already done is success.
 * What was decided is written down (record.ts) by whoever holds the component's lock.
 */
import { randomBytes } from 'node:crypto';
import type { Verdict } from '../checks/check.ts';
import type { Surroundings } from '../checks/probes.ts';
import { send } from '../checks/signals.ts';
import type { Component } from '../config/project.ts';
import type { Engine } from '../docker/engine.ts';
import { containerSpec, withBinds } from '../docker/spec.ts';
import { GantryError } from '../errors.ts';
import type { LastWords, Tell } from '../events.ts';
import { type CanarySplit, type ProxyLimits, planeOf, type Route } from '../proxy/tables/routes.ts';
import { type Action, short } from './plan/action.ts';
import { withCanary, withPromoted } from './plan/canary-mark.ts';
import type { ContainerId, Observed, ObservedContainer, Release } from './plan/state.ts';
import type { ProxyPort } from './proxy-port.ts';
import {
  type ComponentRecord,
  type RecordFile,
  withFailedRelease,
  withMark,
  withoutMarks,
  withProven,
  withServing,
} from './record.ts';
import type { SecretMounts } from './secret-mounts.ts';

/** Clients of a component that may wait in the proxy at a time. */
const MAX_HELD = 1_000;

/** Lines of a failed container's output that are shown. */
export const LAST_LINES = 20;

export interface ExecutionInput {
  readonly project: string;
  readonly component: string;
  readonly hostId: string;
  readonly engine: Engine;
  readonly proxy: ProxyPort;
  readonly secrets: SecretMounts;
  /** Read at each use. */
  readonly limits: ProxyLimits;
  readonly file: RecordFile;
  readonly now: () => number;
  readonly tell: Tell;
  /** Whether a release that is not proven may be brought further, at this instant. */
  readonly mayAdvance: () => boolean;
  /** What is taken out of the table is marked with when: it may stay warm. */
  readonly keepsOld: boolean;
  readonly lastVerdict: (id: ContainerId) => Verdict | undefined;
  /** A container is started: what its checks saw before is of no use. */
  readonly forget: (id: ContainerId) => Promise<void>;
  /** Where a container is reached, as of the look the plan was made from. */
  readonly addressOf: (id: ContainerId) => string | undefined;
}

/** It is not this host's turn any more: the rest of the round is not for it to do. Never leaves the agent. */
export class TurnLost extends Error {}

/** What a round of actions works on: the record as it is under the lock, and the world it was planned for. */
export interface Round {
  record: ComponentRecord;
  readonly observed: Observed;
}

export type Executors = {
  readonly [K in Action['kind']]: (
    action: Extract<Action, { kind: K }>,
    round: Round,
    signal: AbortSignal,
  ) => Promise<void>;
};

export function executors(input: ExecutionInput): Executors {
  const { engine, secrets, tell, now } = input;

  const killed = new Set<ContainerId>();

  // Containers start side by side: their writes go one after the other, each with all that came before.
  let writes: Promise<void> = Promise.resolve();
  function save(round: Round, change: (record: ComponentRecord) => ComponentRecord): Promise<void> {
    round.record = change(round.record);
    const { record } = round;
    const write = () => input.file.write(record);
    writes = writes.then(write, write);
    return writes;
  }

  return {
    async 'pull-image'(action, round, signal) {
      tell({ kind: 'image-pulling', image: action.image, why: action.why });
      const release = round.record.releases.find((r) => r.number === round.record.release);
      const authFile = release?.component.registryAuth;
      const image = await engine.pull(action.image, {
        signal,
        ...(authFile === undefined ? {} : { authFile }),
      });
      if (release !== undefined && image.id !== release.imageId) throw wrongImage(release, image.id);
      tell({ kind: 'image-ready', image: action.image, imageId: image.id });
    },

    async 'create-container'(action, round) {
      const release = requireRelease(round, action.release);
      const spec = containerSpec({
        project: input.project,
        component: release.component,
        release: release.number,
        host: input.hostId,
        imageId: release.imageId,
        linkEnvironment: release.linkEnvironment,
        suffix: randomBytes(2).toString('hex'),
      });
      const id = await secrets.create(spec.name, release.component, (binds) => {
        refuseWithoutTurn(round, [release.number]);
        return engine.create(withBinds(spec, binds));
      });
      tell({
        kind: 'container-created',
        container: id,
        name: spec.name,
        release: release.number,
        why: action.why,
      });
      await startIt({ id, name: spec.name, release: release.number }, round);
    },

    async 'start-container'(action, round) {
      const seen = round.observed.containers.find((c) => c.id === action.container);
      await startIt({ id: action.container, name: seen?.name ?? '', release: seen?.release ?? 0 }, round);
    },

    async route(action, round) {
      const { containers } = round.observed;
      const was = containers.filter((c) => c.routed).map((c) => c.id);
      const added = containers.filter((c) => action.containers.includes(c.id) && !c.routed);
      const releases = added.map((c) => c.release);
      const off = input.keepsOld ? was.filter((id) => !action.containers.includes(id)) : [];
      const route = await routeFor(action, round);
      refuseWithoutTurn(round, releases);
      // Written first: a mark too many costs an empty drain, one too few loses that it served.
      const begun = action.canary === undefined ? round.record : withCanary(round.record, now());
      const begins = begun !== round.record;
      const marked = withServing(begun, action.containers, off, now());
      if (marked !== round.record) await save(round, () => marked);
      refuseWithoutTurn(round, releases);
      await input.proxy.setRoute(input.project, input.component, route, input.limits);
      if (begins && action.canary !== undefined) tellCanary(action.canary, round, action.why);
      else
        tell({
          kind: 'switched',
          release: action.release,
          containers: action.containers,
          was,
          why: action.why,
        });
    },

    async 'promote-release'(action, round) {
      refuseWithoutTurn(round, [action.release]);
      await save(round, (record) => withPromoted(record, action.release, now()));
      tell({ kind: 'canary-promoted', release: action.release, why: action.why });
    },

    async 'prove-release'(action, round) {
      refuseWithoutTurn(round, [action.release]);
      await save(round, (record) => withProven(record, action.release, now()));
      tell({ kind: 'release-proven', release: action.release });
    },

    async 'fail-release'(action, round) {
      const lastWords = await lastWordsOf(action.container);
      refuseWithoutTurn(round, [action.release]);
      await save(round, (record) => withFailedRelease(record, action.release, action.why));
      const verdict = input.lastVerdict(action.container);
      tell({
        kind: 'release-failed',
        release: action.release,
        container: action.container,
        why: action.why,
        lastWords,
        serving: round.record.status === 'ready' ? round.record.release : undefined,
        ...(verdict === undefined || verdict.ok ? {} : { verdict }),
      });
    },

    async drain(action, round) {
      await save(round, (record) => withMark(record, action.container, { drainSince: now() }));
      tell({ kind: 'drain-started', container: action.container, why: action.why });
    },

    async 'send-signals'(action, round, signal) {
      // Written first: a signal is sent at most once, whatever happens to this process.
      await save(round, (record) => withMark(record, action.container, { signalledAt: now() }));
      const verdicts = await sendSignals(action.container, round, signal);
      tell({ kind: 'signals-sent', container: action.container, verdicts });
    },

    async 'stop-container'(action, round) {
      const seen = round.observed.containers.find((c) => c.id === action.container);
      const stopTimeoutMs = releaseOf(round, seen?.release)?.component.stopTimeoutMs ?? 10_000;
      const connections = seen?.drain?.connections ?? 0;
      tell({ kind: 'container-stopping', container: action.container, why: action.why });
      await engine.stop(action.container, stopTimeoutMs);
      if (connections > 0) {
        tell({ kind: 'drain-cut', container: action.container, connections, why: action.why });
      }
    },

    async 'kill-container'(action) {
      await engine.kill(action.container);
      // The engine may list it as running for a moment longer, and it is killed again.
      if (killed.has(action.container)) return;
      killed.add(action.container);
      tell({ kind: 'container-killed', container: action.container, why: action.why });
    },

    async 'remove-container'(action, round) {
      await remove(action, round);
    },

    async 'remove-failed'(action, round) {
      tell({
        kind: 'container-failed',
        container: action.container,
        why: action.why,
        lastWords: await lastWordsOf(action.container),
      });
      await remove(action, round);
    },

    async wait() {
      // Waiting is the loop's business; there is nothing to call.
    },
  };

  async function startIt(
    { id, name, release }: Pick<ObservedContainer, 'id' | 'name' | 'release'>,
    round: Round,
  ): Promise<void> {
    const made = releaseOf(round, release);
    if (made !== undefined) await secrets.beforeStart(id, name, made);
    // The mark starts the ready deadline; written before the start, so that it cannot be missed.
    const marked = save(round, (record) => withMark(record, id, { startedAt: now(), release }));
    // Another process may have started it since the look, and it may have ended: what has ended is not started again.
    let hasEnded = false;
    const running = async () => {
      const all = await engine.containers({ host: input.hostId });
      hasEnded = all.some((c) => c.id === id && ['exited', 'dead'].includes(c.state));
      return new Set(
        all.filter((c) => ['running', 'paused', 'restarting'].includes(c.state)).map((c) => c.id),
      );
    };
    await Promise.all([marked, input.proxy.unrouteGone(running)]);
    refuseWithoutTurn(round, [release]);
    if (hasEnded) return;
    await Promise.all([engine.start(id), input.forget(id)]);
    tell({ kind: 'container-started', container: id, release });
  }

  /** Another process may have started it since the look: then it stays, and the next look says what it is. */
  async function remove(
    { container: id, why }: { readonly container: ContainerId; readonly why: string },
    { observed }: Round,
  ): Promise<void> {
    if (!(await engine.removeStopped(id))) return;
    const name = observed.containers.find((c) => c.id === id)?.name;
    if (name !== undefined) await secrets.remove(name);
    tell({ kind: 'container-removed', container: id, why });
  }

  /** Called right before what cannot be taken back: this process may have been stopped since the look. */
  function refuseWithoutTurn(round: Round, numbers: readonly number[]): void {
    const proven = new Set(round.record.releases.filter((r) => r.proven).map((r) => r.number));
    if (numbers.every((n) => proven.has(n)) || input.mayAdvance()) return;
    throw new TurnLost(`release ${numbers.join(', ')} is not to go on without this host's turn`);
  }

  async function routeFor(
    action: Extract<Action, { kind: 'route' }>,
    round: Round,
  ): Promise<Route | undefined> {
    if (action.containers.length === 0 && action.listeners.length === 0) return undefined;
    const byKernel = action.listeners.some((l) => planeOf(l) !== 'userspace');
    const backends = await Promise.all(
      action.containers.map(async (id) => {
        const host = input.addressOf(id);
        // Where nobody watches its process, new connections would hang when it has ended.
        const pid = byKernel ? await engine.pid(id) : undefined;
        if (host === undefined || (byKernel && pid === undefined)) throw noAddress(id);
        const release = round.observed.containers.find((c) => c.id === id)?.release;
        return {
          ...{ id, host },
          ...(release === undefined ? {} : { release }),
          ...(pid === undefined ? {} : { pid }),
        };
      }),
    );
    const terms = termsOf(releaseOf(round, action.release)?.component);
    const canary = action.canary === undefined ? {} : { canary: action.canary };
    return { component: input.component, listeners: action.listeners, backends, ...terms, ...canary };
  }

  function tellCanary({ backends, percent }: CanarySplit, { record }: Round, why: string): void {
    const release = record.releases.find((r) => r.number === record.release);
    const until = (record.canary?.since ?? now()) + (release?.component.update.canary?.durationMs ?? 0);
    tell({ kind: 'canary-started', release: record.release, containers: backends, percent, until, why });
  }

  async function sendSignals(id: ContainerId, round: Round, abort: AbortSignal): Promise<readonly Verdict[]> {
    const host = input.addressOf(id);
    if (host === undefined) return [];
    const release = round.observed.containers.find((c) => c.id === id)?.release;
    const signals = releaseOf(round, release)?.component.terminationSignals ?? [];
    const target = { container: id, host };
    return Promise.all(signals.map((s) => send(s, target, surroundings(), abort)));
  }

  function surroundings(): Surroundings {
    return {
      exec: (container, command, timeoutMs) => engine.exec(container, command, timeoutMs),
      connections: async () => 0,
      now,
    };
  }

  async function lastWordsOf(id: ContainerId): Promise<LastWords> {
    const [exit, logs] = await Promise.all([engine.exit(id), engine.logs(id, LAST_LINES)]);
    return {
      logs,
      ...(exit?.exitCode === undefined ? {} : { exitCode: exit.exitCode }),
      ...(exit === undefined ? {} : { oomKilled: exit.oomKilled }),
      ...(exit === undefined || exit.error === '' ? {} : { error: exit.error }),
    };
  }
}

/**
 * The record without marks of containers that no longer exist, and with those that whoever routed did not live
 * to write.
 */
export function tidied(record: ComponentRecord, observed: Observed): ComponentRecord {
  const there = new Set(observed.containers.map((c) => c.id));
  const gone = Object.keys(record.marks).filter((id) => !there.has(id));
  const routed = observed.containers.filter((c) => c.routed).map((c) => c.id);
  const kept = gone.length === 0 ? record : withoutMarks(record, gone);
  return withServing(kept, routed, [], observed.now);
}

/** How the proxy treats clients that nobody can take, those that stay with what was switched from, and who joins. */
function termsOf(component: Component | undefined): Pick<Route, 'hold' | 'leave' | 'slowStartMs'> {
  if (component === undefined) return {};
  const { holdTimeoutMs, idleTimeoutMs, closeSpreadMs, slowStartMs } = component;
  return {
    ...(holdTimeoutMs > 0 ? { hold: { timeoutMs: holdTimeoutMs, max: MAX_HELD } } : {}),
    ...(idleTimeoutMs + closeSpreadMs > 0 ? { leave: { idleTimeoutMs, closeSpreadMs } } : {}),
    ...(slowStartMs > 0 ? { slowStartMs } : {}),
  };
}

function releaseOf(round: Round, number: number | undefined): Release | undefined {
  return round.record.releases.find((r) => r.number === number) ?? round.record.releases.at(-1);
}

function requireRelease(round: Round, number: number): Release {
  const release = round.record.releases.find((r) => r.number === number);
  if (release === undefined) throw new GantryError('internal', `release ${number} is not recorded`);
  return release;
}

function noAddress(id: ContainerId): GantryError {
  const message = `Container ${short(id)} has no address to send traffic to`;
  return new GantryError('container-gone', message, {
    hint: 'It has just ended, or its network is `none`, which the proxy cannot reach.',
  });
}

function wrongImage(release: Release, pulled: string): GantryError {
  return new GantryError(
    'image-not-found',
    `${release.image} is now ${pulled}, but release ${release.number} was made from ${release.imageId}`,
    { hint: 'The tag has moved. Run update to make a release of what it means now.' },
  );
}
