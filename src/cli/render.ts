/** Events, lists and errors in words for people. Pure. */
import { stripVTControlCharacters } from 'node:util';
import type { ListedContainer } from '../agent/local.ts';
import type { GantryError } from '../errors.ts';
import type { AgentEvent, LastWords } from '../events.ts';

const COLUMN = 20;

export interface Telling {
  readonly debug: boolean;
  /** What has been said once and need not be said again. */
  readonly told: Set<string>;
}

/** The line of an event; undefined: nothing to say to a person. */
export function renderEvent(event: AgentEvent, { debug, told }: Telling): string | undefined {
  switch (event.kind) {
    case 'image-pulling':
      return `Pulling image ${event.image} (${event.why})`;
    case 'image-progress':
      return undefined;
    case 'image-ready':
      return `Image ${event.image} is ${shortImage(event.imageId)}`;
    case 'release-made':
      return `Component ${event.component} -> ${shortImage(event.imageId)} (release ${event.release})`;
    case 'container-created':
      return `Starting container ${short(event.container)}${debug ? ` ${event.name} (${event.why})` : ''}`;
    case 'container-started':
      return debug ? `Started container ${short(event.container)}` : undefined;
    case 'check':
      return renderCheck(event, debug);
    case 'container-ready':
      return undefined;
    case 'health-changed':
      return `Container ${short(event.container)} is ${event.now}: ${event.why}`;
    case 'switched':
      return renderSwitch(event);
    case 'release-proven':
      return debug ? `Release ${event.release} serves` : undefined;
    case 'release-failed':
      return [`Release ${event.release} failed: ${event.why}`, ...lastWords(event.lastWords)].join('\n');
    case 'drain-started':
      return `Draining container ${short(event.container)}`;
    case 'signals-sent':
      return event.verdicts.map((v) => `Termination signal ${v.check}: ${v.saw}`).join('\n') || undefined;
    case 'drain-cut':
      return `The drain timeout cut ${event.connections} connections of container ${short(event.container)}`;
    case 'container-stopping':
      return `Shutting down container: ${short(event.container)}${debug ? ` (${event.why})` : ''}`;
    case 'container-killed':
      return `Killing container ${short(event.container)}`;
    case 'container-removed':
      return debug ? `Removed container ${short(event.container)} (${event.why})` : undefined;
    case 'container-failed':
      return [`Container ${short(event.container)} failed: ${event.why}`, ...lastWords(event.lastWords)].join(
        '\n',
      );
    case 'waiting':
      return renderWaiting(event, told);
    case 'trouble':
      return `Trouble: ${event.message}${event.hint === undefined ? '' : ` ${event.hint}`}`;
    case 'monitoring':
      return `Starting monitoring of component: ${event.component}`;
    case 'desired-changed':
      return `Component ${event.component} is to be ${event.status}: ${event.why}`;
    default:
      return unknownEvent(event);
  }
}

/** What a terminal shows while it waits. */
export function renderProgress(event: AgentEvent): string | undefined {
  if (event.kind === 'waiting') return event.why;
  if (event.kind !== 'image-progress') return undefined;
  const bytes =
    event.totalBytes > 0 ? `, ${megabytes(event.bytes)} of ${megabytes(event.totalBytes)} MB` : '';
  return `${event.image}: ${event.done} of ${event.layers} layers${bytes}`;
}

/** The columns of the first gantry, and what each container carries. */
export function renderList(component: string, containers: readonly ListedContainer[]): string {
  if (containers.length === 0) return `Component ${component} is not running`;
  const rows = containers.map(({ container, status, held }) => [
    short(container.id),
    container.status,
    container.image.startsWith('sha256:') ? shortImage(container.image) : container.image,
    status,
    held === undefined ? '-' : connections(held.open, held.oldestMs),
  ]);
  return table(['CONTAINER ID', 'UPTIME', 'IMAGE ID', 'STATUS', 'CONNECTIONS'], rows);
}

/** Left-aligned columns, 20 wide or as wide as their longest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, i) => Math.max(COLUMN, h.length, ...rows.map((r) => width(r[i]) + 1)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell + ' '.repeat(Math.max(0, (widths[i] ?? COLUMN) - width(cell))))
      .join(' ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

export function renderError(error: GantryError, debug: boolean): string {
  const hint = error.hint === undefined ? [] : [`  ${error.hint}`];
  const whole =
    debug && error.cause !== undefined ? [String((error.cause as Error).stack ?? error.cause)] : [];
  return [`Error: ${error.message}`, ...hint, ...whole].join('\n');
}

function renderCheck(event: Extract<AgentEvent, { kind: 'check' }>, debug: boolean): string | undefined {
  const { verdict, purpose } = event;
  // A new container is expected to fail its ready checks for a while.
  if (!verdict.ok && purpose === 'ready' && !debug) return undefined;
  return `Health check ${verdict.check}: ${verdict.saw}`;
}

function renderSwitch(event: Extract<AgentEvent, { kind: 'switched' }>): string | undefined {
  if (event.containers.length === 0)
    return event.release === undefined ? undefined : `Nothing serves: ${event.why}`;
  return `Redirecting traffic to ${event.containers.length === 1 ? 'new container' : `${event.containers.length} containers`}`;
}

function renderWaiting(
  event: Extract<AgentEvent, { kind: 'waiting' }>,
  told: Set<string>,
): string | undefined {
  if (event.for === 'busy' || told.has(event.for)) return undefined;
  told.add(event.for);
  return event.for === 'ready' ? 'Waiting for health checks...' : `Waiting: ${event.why}`;
}

function lastWords({ exitCode, oomKilled, error, logs }: LastWords): string[] {
  const exit =
    exitCode === undefined ? [] : [`  exit code ${exitCode}${oomKilled === true ? ', out of memory' : ''}`];
  const engine = error === undefined ? [] : [`  the engine says: ${error}`];
  const tail = logs.map((l) => `  | ${stripVTControlCharacters(l)}`);
  return [
    ...exit,
    ...engine,
    ...(tail.length > 0 ? ['  its last lines:', ...tail] : ['  it printed nothing']),
  ];
}

function connections(open: number, oldestMs: number): string {
  return open === 0 ? '0' : `${open} (oldest ${Math.round(oldestMs / 1000)} s)`;
}

function width(cell: string | undefined): number {
  return stripVTControlCharacters(cell ?? '').length;
}

function short(id: string): string {
  return id.slice(0, 12);
}

function shortImage(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}

function unknownEvent(event: never): never {
  throw new TypeError(`no words for ${JSON.stringify(event)}`);
}
