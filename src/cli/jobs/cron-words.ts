/** Schedules in words for people. Pure. */
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';
import { nextTicks } from '../../jobs/intents/documents.ts';
import { table } from '../render.ts';
import { at, COLUMN, lines, sentence, took } from './words.ts';

const SHOWN = 80;

export interface ScheduleRow {
  readonly value: ScheduleValue;
  readonly last: RunValue | undefined;
}

export function renderSchedules(rows: readonly ScheduleRow[], now: number): string {
  if (rows.length === 0) return 'There are no schedules';
  const cells = rows.map(({ value, last }) => [
    value.schedule.name,
    value.schedule.cron,
    value.schedule.timeZone,
    local(nextTicks(value, now, 1)[0], value.schedule.timeZone),
    last === undefined ? '-' : `${local(last.startedAt ?? last.at, value.schedule.timeZone)} ${last.state}`,
    stateOf(value),
  ]);
  return lines(table(['NAME', 'CRON', 'ZONE', 'NEXT', 'LAST', 'STATE'], cells, COLUMN));
}

function stateOf({ schedule, trouble }: ScheduleValue): string {
  if (trouble !== undefined) return `trouble: ${trouble.slice(0, SHOWN)}`;
  return schedule.suspended ? 'suspended' : 'active';
}

export function renderSchedule(
  value: ScheduleValue,
  ticks: readonly string[],
  runs: readonly RunValue[],
  now: number,
): string {
  const { schedule, trouble, by, at: pushed } = value;
  const { name, cron, timeZone, overlap, missed, job } = schedule;
  const images = job.steps.map(({ image }) => image).join(' | ');
  const facts: readonly (readonly [string, string])[] = [
    ['Schedule', name],
    ['Cron', `${cron} (${timeZone})`],
    ['State', trouble === undefined ? stateOf(value) : 'does not fire'],
    ...(trouble === undefined ? [] : [['Trouble', sentence(trouble)] as const]),
    ['Job', images],
    ['Overlap', overlap],
    ['Missed', missed],
    ['Pushed', `${at(pushed)} by ${by}`],
    ...(ticks.length === 0
      ? []
      : [['Next', ticks.map((tick) => local(tick, timeZone)).join(`\n${' '.repeat(LABEL + 1)}`)] as const]),
  ];
  const head = facts.map(([label, words]) => `${`${label}:`.padEnd(LABEL)} ${words}`).join('\n');
  const last = runs.length === 0 ? 'It has not run yet' : runTable(runs, now);
  return lines(`${head}\n\n${last}`);
}

const LABEL = 10;

export function renderScheduleRuns(name: string, runs: readonly RunValue[], now: number): string {
  return runs.length === 0 ? `Schedule ${name} has not run yet` : lines(runTable(runs, now));
}

function runTable(runs: readonly RunValue[], now: number): string {
  const rows = runs.map((run) => [
    run.id,
    run.state,
    run.host ?? '-',
    at(run.startedAt ?? run.at),
    took(run.startedAt, run.endedAt, now),
    run.end === undefined ? '-' : String(run.end.exitCode),
    run.end === undefined || run.end.why === '' ? '' : sentence(run.end.why),
  ]);
  return table(['RUN', 'STATE', 'HOST', 'STARTED', 'TOOK', 'EXIT', 'WHY'], rows, COLUMN);
}

/** As the clock on the wall shows it in the schedule's zone: `2026-11-21 14:30:00`. */
function local(iso: string | undefined, timeZone: string): string {
  if (iso === undefined) return '-';
  // Sweden writes dates as ISO 8601 does.
  return new Date(iso).toLocaleString('sv-SE', { timeZone });
}
