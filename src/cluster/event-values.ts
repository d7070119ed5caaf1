/** What is kept of what happened and of who asked for it: written once, read by people. Pure. */
import { each, object, reader, text } from './value-reader.ts';

/** Something that happened on a host, worth to be known later. */
export interface EventValue {
  readonly format: 1;
  /** ISO time. */
  readonly at: string;
  readonly host: string;
  /** '': of none. */
  readonly component: string;
  /** Of an AgentEvent. */
  readonly kind: string;
  /** The event as a sentence for people. */
  readonly text: string;
  /** The AgentEvent itself, without what is long. */
  readonly event: Readonly<Record<string, unknown>>;
}

/** Somebody asked for something that changes what runs, or who may. */
export interface AuditValue {
  readonly format: 1;
  /** ISO time. */
  readonly at: string;
  /** `user@machine`, or `token:NAME`. */
  readonly by: string;
  /** As the command is called: `update`, `scale`, `cron push`. */
  readonly action: string;
  /** Component, run, schedule, secret or token names; []: the project. */
  readonly on: readonly string[];
  /** What of it matters, without any secret; ''. */
  readonly detail: string;
}

export const readEvent = reader<EventValue>({
  at: text,
  host: text,
  component: text,
  kind: text,
  text,
  event: object,
});

export const readAudit = reader<AuditValue>({
  at: text,
  by: text,
  action: text,
  on: each(text),
  detail: text,
});
