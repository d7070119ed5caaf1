/** What a host tells the fleet about one component, from its last look and its next step. Pure. */

import type { View } from '../agent/agent.ts';
import type { Action } from '../agent/plan/action.ts';
import { isTried } from '../agent/plan/canary-mark.ts';
import { NOT_ASKED, type ObservedContainer } from '../agent/plan/state.ts';
import { newestNumber } from '../agent/record.ts';
import { withoutTimes } from '../checks/saw.ts';
import {
  type Death,
  FORMAT,
  type HostPhase,
  type StatusContainer,
  type StatusValue,
} from '../cluster/values.ts';
import type { Step } from './rollout.ts';

export interface StatusInput {
  readonly host: string;
  readonly view: View;
  readonly step: Step;
  /** The worst that goes on: what the component's loop cannot get past. */
  readonly trouble: string | undefined;
  readonly logs: readonly string[];
  readonly died: Death | undefined;
  readonly connections: ReadonlyMap<string, number>;
  /** The highest numbers that etcd has told of, whether they were followed or not. */
  readonly known: StatusValue['known'];
  /** The one told before, if any: its phase's beginning is kept. */
  readonly before: StatusValue | undefined;
}

type Waiting = Extract<Action, { readonly kind: 'wait' }>;

/** Characters of a sentence, and of a line of output: a status is read by many. */
const MOST_CHARACTERS = 300;

export function statusOf(input: StatusInput): StatusValue {
  const { host, view, step, known, before } = input;
  const { record, observed } = view;
  const memory = record.fleet;
  const phase = phaseOf(input);
  const at = isoOf(observed.now);
  const backoff = backoffOf(view);
  const retryAt = step.kind === 'wait' && step.until !== undefined ? step.until : backoff?.until;
  return {
    format: FORMAT,
    host,
    settled: memory?.settled ?? 0,
    generation: memory?.generation ?? 0,
    known: {
      release: Math.max(newestNumber(record), known.release),
      generation: Math.max(memory?.generation ?? 0, known.generation),
    },
    serving: servingRelease(observed.containers),
    ...sizeOf(view),
    ...(isTried(record) ? { tried: true as const } : {}),
    phase,
    why: (input.trouble ?? (step.why || (backoff?.why ?? ''))).slice(0, MOST_CHARACTERS),
    ...(retryAt === undefined ? {} : { retryAt }),
    containers: observed.containers.map((c) => containerOf(c, input)),
    ...(observed.planes === undefined ? {} : { planes: observed.planes.map(bounded) }),
    logs: input.logs.map(bounded),
    ...(input.died === undefined ? {} : { died: { ...input.died, logs: input.died.logs.map(bounded) } }),
    since: before?.phase === phase ? before.since : at,
  };
}

/** Told once somebody asked for a number, or where there is a total to spread. */
function sizeOf({ desired: { status, release }, record: { scale } }: View): Pick<StatusValue, 'size'> {
  if (scale === undefined && release?.component.total === undefined) return {};
  const wanted = status === 'ready' ? (release?.component.instances ?? 0) : 0;
  return { size: { wanted, scale: scale?.number ?? 0, shares: scale?.decision ?? 0 } };
}

/** What must be told at once; the rest may wait for its turn. */
export function isNews(before: StatusValue | undefined, now: StatusValue): boolean {
  if (before === undefined) return true;
  const loud = ({ settled, generation, serving, phase, retryAt, logs, died, size }: StatusValue) =>
    [
      ...[settled, generation, serving, phase, retryAt ?? 0, logs.length > 0, died?.container],
      ...[size?.wanted, size?.scale, size?.shares],
    ].join(' ');
  return loud(before) !== loud(now);
}

export function sameStatus(a: StatusValue | undefined, b: StatusValue): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}

/** Steps on the way to a release that is not adopted yet. */
const PREPARING: ReadonlySet<Step['kind']> = new Set(['learn-release', 'prepare', 'queue', 'open']);

function phaseOf({ view, step, trouble }: StatusInput): HostPhase {
  const { desired, observed } = view;
  if (PREPARING.has(step.kind) || (step.kind === 'wait' && step.for === 'image')) return 'preparing';
  if (step.kind === 'adopt') return 'starting';
  if (step.kind === 'follow-status' && observed.containers.length > 0) return 'draining';
  if (step.kind === 'wait' && step.for === 'monitor') return 'watching';
  if (step.kind === 'wait' && ['fleet', 'turn', 'links'].includes(step.for)) return 'waiting';
  if (desired.status !== 'ready') return goingPhase(view);
  if (desired.release === undefined) return 'idle';
  if (!desired.release.proven) return 'starting';
  const serving = observed.containers.filter((c) => c.routed && c.release === desired.release?.number);
  const well = serving.filter((c) => c.state === 'running' && c.health !== 'unhealthy');
  const { instances } = desired.release.component;
  if (instances === 0) return observed.containers.length > 0 ? 'draining' : 'idle';
  if (well.length >= instances) return 'serving';
  if (serving.length > 0) return 'degraded';
  return trouble === undefined ? 'starting' : 'failed';
}

function goingPhase({ desired, observed, record }: View): HostPhase {
  if (observed.containers.length > 0) return 'draining';
  if (record.reason !== undefined) return 'failed';
  return desired.release === undefined ? 'idle' : 'stopped';
}

/** What the host waits for by itself, before it replaces a container once more. */
export function backoffOf({ plan }: Pick<View, 'plan'>): Waiting | undefined {
  return plan.flatMap((action) => (action.kind === 'wait' && action.for === 'backoff' ? [action] : []))[0];
}

function servingRelease(containers: readonly ObservedContainer[]): number {
  return containers.find((c) => c.routed)?.release ?? 0;
}

function containerOf(
  c: ObservedContainer,
  { view: { record, observed }, connections, before }: StatusInput,
): StatusContainer {
  const startedAt = record.marks[c.id]?.startedAt;
  // Nobody knows: since it was seen first.
  const since = before?.containers.find((b) => b.id === c.id)?.startedAt ?? isoOf(observed.now);
  return {
    id: c.id,
    release: c.release,
    state: containerState(c, observed.now),
    connections: c.drain?.connections ?? connections.get(c.id) ?? 0,
    // With times a host at rest would never cease to tell.
    check: c.saw === NOT_ASKED ? '' : withoutTimes(c.saw).slice(0, MOST_CHARACTERS),
    startedAt: startedAt === undefined ? since : isoOf(startedAt),
  };
}

function containerState(c: ObservedContainer, now: number): StatusContainer['state'] {
  if (c.state === 'exited' || c.health === 'unhealthy' || c.readiness === 'late') return 'failed';
  if (c.drain !== undefined || c.busy) return 'draining';
  if (c.routed) return 'serving';
  if (c.warmUntil !== undefined && c.warmUntil > now) return 'warm';
  return c.readiness === 'ready' && c.state === 'running' ? 'ready' : 'starting';
}

function bounded(line: string): string {
  return line.slice(0, MOST_CHARACTERS);
}

function isoOf(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
