/**
 * The vocabulary of the agent's tests: releases, containers in each phase, what is wanted and what
 * is seen, with defaults for everything a test does not speak of.
 */
import assert from 'node:assert/strict';
import { explain } from '../../src/agent/plan/explain.ts';
import { plan } from '../../src/agent/plan/plan.ts';
import type {
  ContainerId,
  Desired,
  DesiredStatus,
  Drain,
  Observed,
  ObservedContainer,
  Release,
} from '../../src/agent/plan/state.ts';
import type { Check } from '../../src/checks/check.ts';
import type { Component } from '../../src/config/project.ts';
import type { Listener } from '../../src/proxy/tables/routes.ts';
import { componentOf } from '../docker/components.ts';

/** Epoch milliseconds at which every test takes place. */
export const NOW = 1_000_000;

export const PORT_80: Listener = { address: '0.0.0.0', port: 80, kind: 'http', containerPort: 8080 };
export const PORT_81: Listener = { ...PORT_80, port: 81 };

const READY_CHECK: Check = {
  kind: 'http',
  id: 'ready',
  port: 8080,
  path: '/',
  intervalMs: 250,
  timeoutMs: 2000,
  fall: 3,
  rise: 1,
};

export function component(over: Partial<Component> = {}): Component {
  return componentOf({ image: 'example/web:1', ports: [PORT_80], readyChecks: [READY_CHECK], ...over });
}

/** A release that has just been made. */
export function release(number: number, over: Partial<Release & Pick<Component, 'instances'>> = {}): Release {
  const { instances = 1, ...rest } = over;
  return {
    number,
    image: `example/web:${number}`,
    imageId: `sha256:${number}`,
    component: component({ image: `example/web:${number}`, instances }),
    listeners: [PORT_80],
    linkEnvironment: {},
    at: '2030-01-01T00:00:00.000Z',
    proven: false,
    ...rest,
  };
}

/** A release all of whose containers have served. */
export function proven(number: number, over: Partial<Release & Pick<Component, 'instances'>> = {}): Release {
  return release(number, { ...over, proven: true });
}

/** The component is to run as this release; `previous` is where a failed one returns to. */
export function wanted(ready: Release, previous?: Release): Desired {
  return { project: 'shop', component: 'web', status: 'ready', release: ready, previous, keepOldMs: 0 };
}

export function unwanted(status: DesiredStatus, last?: Release): Desired {
  return { project: 'shop', component: 'web', status, release: last, previous: undefined, keepOldMs: 0 };
}

/** These containers, behind the usual listener if any of them is routed. */
export function seen(containers: readonly ObservedContainer[], over: Partial<Observed> = {}): Observed {
  const listeners = containers.some((c) => c.routed) ? [PORT_80] : [];
  const calm = { imagePresent: true, startAfter: 0, failures: 0, heals: true, mayAdvance: true };
  return { now: NOW, containers, listeners, ...calm, ...over };
}

/** The plan in the same words in the same order; no words: there is nothing to do. */
export function expectPlan(desired: Desired, observed: Observed, ...words: readonly string[]): void {
  assert.equal(explain(plan(desired, observed)), words.map((w) => `web: ${w}`).join('\n'));
}

type Over = Partial<ObservedContainer>;

export function created(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return {
    id,
    name: `web-${id}`,
    release: number,
    state: 'created',
    readiness: 'pending',
    health: 'unknown',
    healthPolicy: 'replace',
    saw: 'it does not run yet',
    readyBy: NOW + 10_000,
    routed: false,
    served: false,
    warmUntil: undefined,
    connections: 0,
    drain: undefined,
    busy: false,
    ...over,
  };
}

export function starting(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return created(id, number, { state: 'running', saw: 'nothing listens', ...over });
}

/** Could serve, but never has. */
export function ready(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return starting(id, number, { readiness: 'ready', health: 'healthy', saw: 'it answered 200', ...over });
}

export function serving(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return ready(id, number, { routed: true, served: true, ...over });
}

export function unhealthy(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return serving(id, number, { health: 'unhealthy', saw: 'it answered 500', ...over });
}

/** Started and never became ready in time. */
export function late(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return starting(id, number, { readiness: 'late', readyBy: NOW - 1, ...over });
}

/** Ended although nobody asked it to, before it ever served. */
export function exited(id: ContainerId, number: number, over: Over = {}): ObservedContainer {
  return starting(id, number, { state: 'exited', saw: 'it exited with code 1', ...over });
}

/** Its drain has begun; nothing else is done yet. */
export function draining(id: ContainerId, number: number, drain: Partial<Drain> = {}): ObservedContainer {
  return serving(id, number, {
    routed: false,
    drain: {
      since: NOW - 1000,
      signalled: false,
      mayStop: false,
      heldBy: '2 connections, the oldest for 13 s',
      connections: 2,
      deadline: undefined,
      ...drain,
    },
  });
}
