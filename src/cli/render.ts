/** Lists and errors in words for people; of events see event-words.ts. Pure. */
import { stripVTControlCharacters } from 'node:util';
import type { ListedContainer } from '../agent/local.ts';
import { notLedWords, planeWords } from '../agent/planes.ts';
import type { GantryError } from '../errors.ts';
import { short, shortImage } from '../event-words.ts';
import type { AgentEvent } from '../events.ts';
import type { ListenerReport, ProxyStatus } from '../proxy/control/protocol.ts';

export { isBadNews, printable, renderEvent, shortImage } from '../event-words.ts';

const COLUMN = 20;
/** What a terminal shows while it waits. */
export function renderProgress(event: AgentEvent): string | undefined {
  if (event.kind === 'waiting') return event.why;
  if (event.kind !== 'image-progress') return undefined;
  const bytes =
    event.totalBytes > 0 ? `, ${megabytes(event.bytes)} of ${megabytes(event.totalBytes)} MB` : '';
  return `${event.image}: ${event.done} of ${event.layers} layers${bytes}`;
}

/** The columns of the first gantry, and what each container carries. */
export function renderList(
  component: string,
  containers: readonly ListedContainer[],
  listeners: readonly ListenerReport[] = [],
): string {
  if (containers.length === 0) return `Component ${component} is not running`;
  const rows = containers.map(({ container, image, status, held }) => [
    short(container.id),
    container.status,
    image.startsWith('sha256:') ? shortImage(image) : image,
    status,
    held === undefined ? '-' : connections(held.open, held.oldestMs),
  ]);
  const head = ['CONTAINER ID', 'UPTIME', 'IMAGE ID', 'STATUS', 'CONNECTIONS'];
  return [table(head, rows), ...planeWords(listeners)].join('\n');
}

/** `gantryd proxy status`. */
export function renderProxy(status: ProxyStatus): string {
  const listeners = status.listeners.map((l) => [
    `${l.address}:${l.port}`,
    l.plane === undefined ? l.kind : `${l.kind} (${l.plane})`,
    `${l.owner}/${l.component}`,
    String(l.connections),
  ]);
  const backends = status.backends.map((b) => [
    short(b.id),
    `${b.owner}/${b.component}`,
    b.routed ? 'serving' : 'draining',
    connections(b.open, b.oldestMs),
  ]);
  const older = (status.older ?? []).map((o) => [
    String(o.pid),
    o.version,
    o.silent === true ? 'does not answer' : 'leaving',
    String(o.connections),
    String(o.open),
  ]);
  const workers = (status.workers ?? []).map((w) => [
    String(w.pid),
    w.silent === true ? 'does not answer' : 'serving',
    String(w.connections),
    String(w.open),
  ]);
  const leaves = status.stopping === true ? ', stops with its last connection' : '';
  return [
    `The proxy (${status.version}, process ${status.pid}) runs since ${status.startedAt}${leaves}`,
    ...(status.persistError === undefined ? [] : [`Its tables are not on disk: ${status.persistError}`]),
    ...(status.waiting === undefined ? [] : [`Clients that wait for a container: ${status.waiting}`]),
    '',
    ...(listeners.length === 0
      ? ['It listens on no port.']
      : [table(['LISTENER', 'KIND', 'COMPONENT', 'CLIENTS'], listeners)]),
    ...notLedWords(status.listeners),
    ...(backends.length === 0
      ? []
      : ['', table(['CONTAINER ID', 'COMPONENT', 'STATUS', 'CONNECTIONS'], backends)]),
    ...(workers.length === 0 ? [] : ['', table(['WORKER', 'STATUS', 'CLIENTS', 'CONNECTIONS'], workers)]),
    ...(older.length === 0
      ? []
      : ['', table(['OLDER PROCESS', 'VERSION', 'STATUS', 'CLIENTS', 'CONNECTIONS'], older)]),
  ].join('\n');
}

/** Left-aligned columns, 20 wide or as wide as their longest cell. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  least: number = COLUMN,
): string {
  const widths = head.map((h, i) => Math.max(least, h.length, ...rows.map((r) => width(r[i]) + 1)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell + ' '.repeat(Math.max(0, (widths[i] ?? least) - width(cell))))
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

function connections(open: number, oldestMs: number): string {
  return open === 0 ? '0' : `${open} (oldest ${Math.round(oldestMs / 1000)} s)`;
}

function width(cell: string | undefined): number {
  return stripVTControlCharacters(cell ?? '').length;
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
