/**
 * Mirrors gantry's commands on one host, without etcd (src/agent/local.ts, deployment.ts): each is a process of its
 * own that sets what is wanted and runs the loop until the host is there.
 */

import type { Release } from '../../src/agent/plan/state.ts';
import {
  type ComponentRecord,
  newestNumber,
  withFailedRelease,
  withProven,
  withRelease,
  withStatus,
} from '../../src/agent/record.ts';
import type { Component } from '../../src/config/project.ts';
import { GantryError, isGantryError } from '../../src/errors.ts';
import { SimAgent, type SimView } from './agent.ts';
import type { Image } from './engine.ts';
import { type Life, type Proc, pause, type Task } from './schedule.ts';
import { PROJECT, releaseOf } from './shop.ts';
import type { SimHost } from './world.ts';

const DETACH_PATIENCE_MS = 500;
const WITHDRAW_MS = 20_000;

/** What a command came to; undefined: it was killed, or runs. */
export interface Command {
  readonly life: Life;
  readonly task: Task<string>;
  /** It may still write what it wants: until then nobody can say whose wish is the last. */
  readonly mayAsk: () => boolean;
}

type Body = (agent: SimAgent, life: Life, asked: () => void) => Proc<string>;

export function update(host: SimHost, component: Component, image: Image, detach: boolean): Command {
  return command(
    host,
    component.name,
    `update ${component.name} (${image.fate})`,
    false,
    function* (agent, life, asked) {
      yield* ensureImage(host, life, image);
      const release = yield* makeRelease(host, life, agent, component, image);
      asked();
      return yield* follow(host, agent, release, detach);
    },
  );
}

export function end(host: SimHost, component: string, status: 'stopped' | 'killed'): Command {
  return command(host, component, `${status} ${component}`, false, function* (agent, _, asked) {
    yield* agent.change((record) => withStatus(record, status), `wants ${status}`);
    asked();
    const view = yield* agent.run((v) => v.desired.status !== status || v.plan.length === 0);
    return view.desired.status === status ? 'done' : 'superseded';
  });
}

export function monitor(host: SimHost, component: string): Command {
  return command(host, component, `monitor ${component}`, true, function* (agent, _, asked) {
    asked();
    yield* agent.stay((v) => v.desired.status !== 'ready' && v.plan.length === 0);
    return 'done';
  });
}

/** #withAgent() */
function command(host: SimHost, component: string, what: string, heal: boolean, body: Body): Command {
  const life = host.begin(`${host.name} ${what}`);
  const agent = new SimAgent({ host, life, project: PROJECT, component, heal });
  host.world.tell(`${life.name}: begins`);
  let hasAsked = false;
  const asked = () => {
    hasAsked = true;
  };
  const task = life.fork(
    (function* (): Proc<string> {
      let outcome: string;
      try {
        outcome = yield* body(agent, life, asked);
      } catch (error) {
        if (!isGantryError(error) || error.code === 'internal') throw error;
        outcome = `${error.code}: ${error.message}`;
      }
      yield* agent.close();
      return outcome;
    })(),
  );
  task.whenDone(() => {
    if (task.failed) host.world.violated(`${life.name} ended with ${(task.error as Error).stack}`);
    host.world.tell(`${life.name}: ends (${task.value})`);
    host.ended(life);
  });
  return { life, task, mayAsk: () => !hasAsked && !task.done && !life.dead };
}

function* ensureImage(host: SimHost, life: Life, image: Image): Proc {
  const run = () => void host.engine.images.set(image.id, image);
  if (!host.hasImage(image)) yield* host.world.effect(life, host, { on: 'engine', words: 'pulls', run });
}

/** #makeRelease(): under the lock, from what is there then. */
function* makeRelease(
  host: SimHost,
  life: Life,
  agent: SimAgent,
  component: Component,
  image: Image,
): Proc<Release> {
  let made: Release | undefined;
  yield* agent.change(function* (record) {
    const look = () => host.engine.list(component.name).map((c) => c.release);
    const here = yield* host.world.effect(life, host, { on: 'engine', run: look });
    const number = Math.max(newestNumber(record), ...here) + 1;
    const release = releaseOf(number, component, image);
    made = release;
    return withRelease(yield* asItServes(host, life, record, component.name), release);
  }, 'a new release');
  if (made === undefined) throw new GantryError('internal', 'no release was made');
  return made;
}

/** #asItServes() */
function* asItServes(
  host: SimHost,
  life: Life,
  record: ComponentRecord,
  name: string,
): Proc<ComponentRecord> {
  if (record.status !== 'ready') return record;
  const backends = yield* host.world.effect(life, host, {
    on: 'proxy',
    run: () => host.proxy.route(name)?.backends.map((b) => b.id) ?? [],
  });
  const serves = backends.some((id) => host.engine.containers.get(id)?.release === record.release);
  return serves ? withProven(record, record.release) : record;
}

/** follow() of deployment.ts */
function* follow(host: SimHost, agent: SimAgent, release: Release, detach: boolean): Proc<string> {
  const isOver = (v: SimView) => v.desired.status !== 'ready' || v.record.release !== release.number;
  const isLeftAlone = detach ? patience(host) : () => false;
  try {
    const view = yield* agent.run((v) => isOver(v) || v.plan.length === 0 || isLeftAlone(v));
    if (!isOver(view)) return view.plan.length === 0 ? 'done' : 'draining';
    const failed = view.record.reason !== undefined && newestNumber(view.record) === release.number;
    if (!failed) return 'superseded';
    yield* untilGone(host, agent, release);
    return 'release-failed';
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return yield* withdraw(host, agent, release, error);
  }
}

function patience(host: SimHost): (view: SimView) => boolean {
  let since: number | undefined;
  return (view) => {
    const onlyHeld = view.desired.release?.proven === true && view.plan.every((a) => a.kind === 'wait');
    since = onlyHeld ? (since ?? host.now()) : undefined;
    return since !== undefined && host.now() - since >= DETACH_PATIENCE_MS;
  };
}

/** withdraw() of deployment.ts */
function* withdraw(host: SimHost, agent: SimAgent, release: Release, error: GantryError): Proc<string> {
  let proven = false;
  yield* agent.change((record) => {
    proven = record.releases.some((r) => r.number === release.number && r.proven);
    return proven ? record : withFailedRelease(record, release.number, error.message);
  }, `takes ${release.number} back`);
  if (proven) return `${error.code}, but it serves`;
  for (let tries = 0; tries < 10; tries++) {
    try {
      yield* untilGone(host, agent, release);
      return `${error.code}, and it is removed`;
    } catch (again) {
      if (!isGantryError(again) || !again.retryable) throw again;
      yield* pause(host.world.schedule, 500);
    }
  }
  return `${error.code}, and the next command removes it`;
}

function* untilGone(host: SimHost, agent: SimAgent, release: Release): Proc {
  const until = host.world.now + WITHDRAW_MS + release.component.stopTimeoutMs;
  const isGone = (v: SimView) => v.observed.containers.every((c) => c.release !== release.number);
  yield* agent.run((v) => isGone(v) || host.world.now >= until);
}
