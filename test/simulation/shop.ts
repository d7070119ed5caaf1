/** What is deployed in a history: components in all variants that matter to the core, and images good and bad. */
import type { Release } from '../../src/agent/plan/state.ts';
import type { Check } from '../../src/checks/check.ts';
import type { Component } from '../../src/config/project.ts';
import type { Dice } from '../campaign/dice.ts';
import { componentOf } from '../docker/components.ts';
import type { Fate, Image } from './engine.ts';

export const PROJECT = 'shop';
export const READY_TIMEOUT_MS = 8_000;

const CHECK: Check = {
  ...{
    kind: 'http',
    id: 'check',
    port: 8080,
    path: '/',
    intervalMs: 5_000,
    timeoutMs: 2_000,
    fall: 3,
    rise: 1,
  },
};
const CONNECTION: Check = { ...CHECK, kind: 'connection', id: 'connection' };
const IDLE: Check = { ...CHECK, kind: 'exec', id: 'idle', command: ['idle'] };

export function someComponent(dice: Dice, name: string, port: number): Component {
  const often = (permille: number) => dice.below(1_000) < permille;
  const alone = often(120);
  const listener = { address: '0.0.0.0', kind: 'http', containerPort: 8080 } as const;
  return componentOf({
    name,
    ports: [{ ...listener, port }, ...(often(200) ? [{ ...listener, port: port + 1 }] : [])],
    instances: alone ? 1 : dice.of([1, 1, 1, 2, 2, 3]),
    readyChecks: often(850) ? [CHECK] : [],
    healthChecks: often(700) ? [CHECK] : [],
    terminationSignals: often(300)
      ? [{ kind: 'http', id: 'leave', port: 8080, path: '/leave', timeoutMs: 500 }]
      : [],
    terminationChecks: often(800) ? [CONNECTION] : [CONNECTION, IDLE],
    ...(often(300) ? { drainTimeoutMs: dice.of([2_000, 10_000]) } : {}),
    readyTimeoutMs: READY_TIMEOUT_MS,
    stopTimeoutMs: dice.of([1_000, 10_000]),
    healthPolicy: dice.of(['replace', 'replace', 'replace', 'unroute', 'report'] as const),
    update: {
      order: alone ? 'stop-first' : 'start-first',
      maxParallel: dice.of([1, 1, 2]),
      onFailure: dice.of(['rollback', 'rollback', 'pause'] as const),
      monitorMs: dice.of([0, 1_000, 10_000]),
      keepOldMs: dice.of([0, 3_000, 30_000]),
    },
  });
}

export function someImage(dice: Dice, id: string, fate: Fate): Image {
  return { id, fate, readyMs: dice.of([0, 100, 1_000, 3_000]), stubborn: dice.below(6) === 0 };
}

export function releaseOf(number: number, component: Component, image: Image): Release {
  return {
    ...{ number, image: component.image, imageId: image.id, component, listeners: component.ports },
    ...{ linkEnvironment: {}, at: '2030-01-01T00:00:00.000Z', proven: false },
  };
}
