/**
 * What is worth knowing later of all that an agent tells, and how it is kept: the event as a sentence and itself,
 * without what is long. What containers printed is cut to its last lines. Pure.
 */
import type { EventValue } from '../../cluster/event-values.ts';
import { FORMAT } from '../../cluster/value-reader.ts';
import { printable, renderEvent } from '../../event-words.ts';
import type { AgentEvent } from '../../events.ts';

/** Of a sentence, in characters. */
export const MAX_TEXT = 1_000;
/** Of one value, as JSON. What is larger is kept without the event itself. */
export const MAX_VALUE_BYTES = 4_096;
const MAX_FIELD = 300;
const MAX_LIST = 5;

/** Whether it is kept. A new kind does not compile until somebody decided. */
export function isKept(event: AgentEvent): boolean {
  switch (event.kind) {
    case 'release-made':
    case 'canary-started':
    case 'canary-promoted':
    case 'release-proven':
    case 'release-failed':
    case 'stop-started':
    case 'drain-started':
    case 'drain-cut':
    case 'container-failed':
    case 'container-killed':
    case 'mass-failure':
    case 'trouble':
    case 'rollout-decided':
    case 'cluster':
      return true;
    case 'switched':
      return event.containers.length > 0 || event.release !== undefined;
    case 'run-changed':
      // Runs that went well are told by their own records; very many of them would push out all else.
      return ['failed', 'lost', 'cancelled', 'skipped'].includes(event.state);
    case 'schedule-ticked':
      return event.run === undefined;
    case 'exec-ended':
      // The audit has who ran what.
      return event.left === true;
    case 'image-pulling':
    case 'image-progress':
    case 'image-ready':
    case 'container-created':
    case 'container-started':
    case 'check':
    case 'container-ready':
    case 'health-changed':
    case 'signals-sent':
    case 'container-stopping':
    case 'container-removed':
    case 'waiting':
    case 'monitoring':
    case 'rollout-step':
    case 'desired-changed':
    case 'exec-started':
      return false;
    default:
      return undecided(event);
  }
}

export function keptValue(event: AgentEvent, host: string): EventValue {
  const { component, kind, at } = event;
  const text = cut(wordsOf(event), MAX_TEXT);
  const value = { format: FORMAT, at: new Date(at).toISOString(), host, component, kind, text } as const;
  const whole: EventValue = { ...value, event: shortened(event) as EventValue['event'] };
  if (Buffer.byteLength(JSON.stringify(whole)) <= MAX_VALUE_BYTES) return whole;
  return { ...value, event: { kind } };
}

/** For people: when, where, what. */
export function eventLine({ at, host, component, text }: EventValue): string {
  const about = component === '' ? '' : ` [${component}]`;
  return `${at.replace(/\.\d+Z$/, 'Z')} ${host}${about} ${text}`;
}

/** As a person is told who wants to know all. */
function wordsOf(event: AgentEvent): string {
  // What stopped and why there is nothing more to say of it at a terminal is worth a line here.
  if (event.kind === 'stop-started')
    return event.status === 'killed' ? 'Killing all containers' : 'Draining all containers';
  return renderEvent(withoutWords(event), { debug: true, told: new Set() }) ?? event.kind;
}

/** The last lines of a container are in the event; a sentence is about what happened. */
function withoutWords(event: AgentEvent): AgentEvent {
  if (event.kind !== 'release-failed' && event.kind !== 'container-failed') return event;
  return { ...event, lastWords: { ...event.lastWords, logs: event.lastWords.logs.slice(-MAX_LIST) } };
}

function shortened(value: unknown): unknown {
  if (typeof value === 'string') return cut(printable(value), MAX_FIELD);
  if (Array.isArray(value)) return value.slice(-MAX_LIST).map(shortened);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, shortened(field)]));
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}

function undecided(event: never): never {
  throw new TypeError(`nobody decided whether ${JSON.stringify(event)} is kept`);
}
