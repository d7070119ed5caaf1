/** What the simulated fleet runs: one component, whose image's name says how its containers behave. */
import { keys } from '../../../src/cluster/keys.ts';
import type { Program } from '../../docker/fake-engine.ts';

export const PROJECT = 'shop';
export const COMPONENT = 'web';
export const KEYS = keys().project(PROJECT);

/** `missing` is in no registry. */
export const KINDS = [
  'good',
  'slow',
  'stubborn',
  'unready',
  'crashes',
  'dies',
  'sick',
  'unstartable',
  'missing',
] as const;
export type Kind = (typeof KINDS)[number];

/** How soon a slow one is ready, and for how long one is well that dies, or is sick, after the switch. */
const SLOW_MS = 300;
const SICK_MS = 150;
const DIES_MS = 250;

export function programOf(image: string): Program {
  const kind = /:([a-z]+)/.exec(image)?.[1];
  const made = performance.now();
  const isOld = (ms: number) => performance.now() - made > ms;
  const exec = (ready: () => boolean) => () => ({ exitCode: ready() ? 0 : 1, output: '' });
  const good: Program = { term: { afterMs: 0, exitCode: 143 }, exec: exec(() => true) };
  switch (kind) {
    case 'slow':
      return { ...good, exec: exec(() => isOld(SLOW_MS)) };
    case 'stubborn':
      return { ...good, term: { afterMs: 400, exitCode: 143 } };
    case 'unready':
      return { ...good, exec: exec(() => false), prints: ['no database'] };
    case 'crashes':
      return { ...good, endsAfterMs: 20, exitCode: 1, exec: exec(() => false), prints: ['no config'] };
    case 'dies':
      return { ...good, endsAfterMs: DIES_MS, exitCode: 139 };
    case 'sick':
      return {
        ...good,
        exec: ([what]) => ({ exitCode: what === 'health' && isOld(SICK_MS) ? 1 : 0, output: '' }),
      };
    case 'unstartable':
      return { ...good, neverStarts: 'exec format error' };
    default:
      return good;
  }
}

export interface Rollout {
  readonly maxParallel: number;
  readonly onFailure: 'rollback' | 'pause';
  readonly monitor: number;
  readonly keepOld: number;
}

/** The project file in which `web` is of this image, and goes through the hosts like this. */
export function projectFile(tag: string, instances: number, update: Rollout) {
  const check = { kind: 'exec', command: ['ready'], interval: 100, timeout: 500 };
  const health = { kind: 'exec', command: ['health'], interval: 100, timeout: 500 };
  const times = { readyTimeout: 700, stopTimeout: 1_000, healthChecks: [health] };
  const component = { name: COMPONENT, repo: 'app', tag, instances, readyChecks: [check], ...times, update };
  return { project: PROJECT, components: [component] };
}
