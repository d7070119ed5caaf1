/** Reports and events of a fleet in words for people. Pure. */
import { instancesWords } from '../../agent/scale.ts';
import type { FleetEvent } from '../../fleet/reports/follow.ts';
import type { ComponentRow, HistoryRow, HostRow } from '../../fleet/reports/report.ts';
import { duration } from '../../fleet/reports/why.ts';
import { printable, shortImage, table } from '../render.ts';

/** Of a check's answer in a table. */
const CHECK_CHARACTERS = 60;

/** The three columns of the first gantryd. */
export function renderComponents(project: string, rows: readonly ComponentRow[]): string {
  if (rows.length === 0) return `Project ${project} has no components`;
  const cells = rows.map((r) => [
    r.component,
    statusWords(r),
    r.image === undefined ? '' : shortImage(r.image.id),
  ]);
  return table(['COMPONENT', 'STATUS', 'IMAGE ID'], cells);
}

function statusWords({ status, scale }: ComponentRow): string {
  return scale === undefined ? status : `${status}, scaled to ${instancesWords(scale)}`;
}

export function renderHosts(project: string, rows: readonly HostRow[], now: number): string {
  if (rows.length === 0) return `No agent runs for project ${project} on any live host`;
  const cells = rows.map((r) => [
    r.component,
    r.host,
    r.release === 0 ? '-' : String(r.release),
    r.size === undefined ? r.phase : `${r.phase} ${r.size.serving}/${r.size.wanted}`,
    String(r.connections),
    duration(now - Date.parse(r.since)),
    r.check === '' ? '-' : printable(r.check).slice(0, CHECK_CHARACTERS),
  ]);
  return table(['COMPONENT', 'HOST', 'RELEASE', 'PHASE', 'CONNECTIONS', 'AGE', 'LAST CHECK'], cells);
}

export function renderHistory(component: string, rows: readonly HistoryRow[]): string {
  if (rows.length === 0) return `Component ${component} has no releases`;
  const cells = rows.map((r) => [
    `${r.release}${r.desired ? ' *' : ''}`,
    shortImage(r.image.id),
    r.image.name,
    r.at.replace(/\.\d+Z$/, 'Z'),
    r.by,
    r.reason === undefined ? r.outcome : `${r.outcome}: ${printable(r.reason)}`,
    r.note === undefined ? '' : printable(r.note),
  ]);
  return table(['RELEASE', 'IMAGE ID', 'IMAGE', 'AT', 'BY', 'OUTCOME', 'NOTE'], cells);
}

/** Lines that hold what containers and hosts said. */
export function renderLines(lines: readonly string[]): string {
  return lines.map(printable).join('\n');
}

export function renderFleetEvent(event: FleetEvent): string {
  switch (event.kind) {
    case 'rollout-changed':
      return printable(`${event.component}: ${rolloutWords(event)}${because(event.why)}`);
    case 'host-changed':
      return printable(`${event.host}: ${event.component} ${phaseWords(event)}${because(event.why)}`);
    case 'host-gone':
      return `${event.host}: ${event.component} is not heard of any more`;
    case 'cluster':
      return event.connected
        ? 'etcd answers again'
        : `etcd is away; the hosts go on without it: ${event.why}`;
    default:
      return unknownEvent(event);
  }
}

function rolloutWords({ rollout, release, state }: Extract<FleetEvent, { kind: 'rollout-changed' }>): string {
  const what = rollout === 'rollback' ? 'the rollback to release' : 'the rollout of release';
  return `${what} ${release} ${state === 'failed' ? 'failed' : `is ${state}`}`;
}

function phaseWords({ phase, release, settled }: Extract<FleetEvent, { kind: 'host-changed' }>): string {
  const serves = release === 0 ? '' : `, release ${release} serves`;
  return `${phase}${serves}${settled ? ', as wanted' : ''}`;
}

function because(why: string): string {
  return why === '' ? '' : `: ${why}`;
}

function unknownEvent(event: never): never {
  throw new TypeError(`no words for ${JSON.stringify(event)}`);
}
