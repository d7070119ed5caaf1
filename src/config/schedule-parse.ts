/**
 * Text of schedules, in our own form or the cron server's, to validated, frozen Schedules, or all that is wrong with
 * them at once. Pure: load-jobs.ts reads the file.
 */
import { dirname, resolve } from 'node:path';
import { cronProblem, timeZoneProblem } from './cron.ts';
import { docketRules, jobOfDocket } from './docket.ts';
import type { Job, Missed, Overlap, Schedule } from './job.ts';
import { below, jobPart, REPLACED, withoutNulls } from './job-parse.ts';
import { containerRules, jobFieldRules } from './job-rules.ts';
import { CONTAINER_FIELDS, JOB_FIELDS } from './job-schema.ts';
import { validateDocket, validateSchedule } from './job-validators.generated.js';
import { toFindings, type Vocabulary } from './messages.ts';
import { freeze } from './normalise.ts';
import { type Finding, isRecord, type Path, pointerOf, toProblem } from './problems.ts';
import type { Problem } from './project.ts';
import { DOCKET_ROOT, type RawDocket, SCHEDULE_ROOT, SCHEDULE_SCHEMA } from './schedule-schema.ts';
import { byPlace, readSource } from './text.ts';

export interface ScheduleParseOptions {
  /** Path of the file as the user wrote it: its extension tells the format, and its folder is what relative paths count from. */
  readonly file: string;
  /** Of schedules that name none; undefined: it is not known, as Node has it of some machines. */
  readonly timeZone: string | undefined;
  /** Epoch milliseconds: schedules without a time to come are refused. Default: the clock. */
  readonly now?: number;
}

export type SchedulesResult =
  | { readonly schedules: readonly Schedule[] }
  | { readonly problems: readonly Problem[] };

const EMPTY = 'is empty; the smallest list is [{"name": "hello", "cron": "@daily", "image": "hello-world"}]';
/** What makes the job, when `job` does not. */
const TOP_FIELDS = [...Object.keys(CONTAINER_FIELDS), ...Object.keys(JOB_FIELDS)];
const ONE_STEP = Object.keys(CONTAINER_FIELDS);

const OWN: Vocabulary = {
  root: SCHEDULE_ROOT,
  replaced: {
    ...REPLACED,
    steps: 'write `job`: {"steps": …}',
    schedule: 'write `cron`',
    timezone: 'write `timeZone`',
    tz: 'write `timeZone`',
    suspend: 'write `suspended`',
  },
};
const DOCKET: Vocabulary = { root: DOCKET_ROOT, replaced: {} };

/** One entry of the file: what is wrong with it, and what it is once nothing is. */
interface Part {
  /** '' when it has none. */
  readonly name: string;
  readonly namePath: Path;
  /** It names no time zone of its own. */
  readonly zoneless: boolean;
  readonly findings: readonly Finding[];
  schedule(folder: string): Schedule;
}

export function parseSchedules(text: string, options: ScheduleParseOptions): SchedulesResult {
  const read = readSource(text, options.file, EMPTY);
  if ('problems' in read) return read;
  const { source } = read;
  const { entries, findings } = entriesIn(source.value);
  const parts = entries.map(([path, entry]) => partOf(entry, path, options));
  const found = [
    ...source.findings,
    ...findings,
    ...parts.flatMap((part) => part.findings),
    ...sameNames(parts),
    ...defaultZone(parts, options.timeZone ?? ''),
  ];
  if (found.length > 0)
    return { problems: found.map((finding) => toProblem(finding, source, source.value)).sort(byPlace) };
  const folder = dirname(resolve(options.file));
  return { schedules: freeze(parts.map((part) => part.schedule(folder))) };
}

interface Entries {
  readonly entries: readonly (readonly [Path, unknown])[];
  readonly findings: readonly Finding[];
}

/** A list, an object that has one in `schedules`, or a single entry. */
function entriesIn(document: unknown): Entries {
  if (Array.isArray(document)) return listed(document, []);
  if (!isRecord(document))
    return { entries: [], findings: [{ path: [], message: 'must be a list of schedules' }] };
  if (!('schedules' in document)) return { entries: [[[], document]], findings: [] };
  const others = Object.keys(document).filter((field) => field !== 'schedules' && field !== '$schema');
  const unknown = others.map((field): Finding => {
    return { path: [field], at: 'key', message: 'unknown field; a schedule stands in the list `schedules`' };
  });
  const { entries, findings } = listed(document.schedules, ['schedules']);
  return { entries, findings: [...unknown, ...findings] };
}

function listed(list: unknown, path: Path): Entries {
  if (!Array.isArray(list))
    return { entries: [], findings: [{ path, message: 'must be a list of schedules' }] };
  const findings = list.length === 0 ? [{ path, message: 'must not be empty' }] : [];
  return { entries: list.map((entry, index) => [[...path, index], entry]), findings };
}

function partOf(entry: unknown, path: Path, options: ScheduleParseOptions): Part {
  const docket = isRecord(entry) && ['Name', 'Cron', 'Container'].some((field) => field in entry);
  return docket ? docketPart(entry, path, options) : ownPart(entry, path, options);
}

function ownPart(entry: unknown, path: Path, { timeZone, now }: ScheduleParseOptions): Part {
  const item = isRecord(entry) ? entry : {};
  const errors = validateSchedule(entry) ? [] : (validateSchedule.errors ?? []);
  const job = 'job' in item || !isRecord(entry) ? jobOfEntry(item, path) : oneStep(item, path);
  const zone = typeof item.timeZone === 'string' ? item.timeZone : (timeZone ?? '');
  const findings = [
    ...below(path, toFindings(errors, entry, OWN)),
    ...zoneFindings(item.timeZone, [...path, 'timeZone']),
    ...cronFindings(item.cron, [...path, 'cron'], zone, now),
    ...job.findings,
  ];
  const schedule = (folder: string): Schedule => ({
    name: String(item.name),
    cron: String(item.cron).trim(),
    timeZone: zone,
    overlap: (item.overlap as Overlap | undefined) ?? SCHEDULE_SCHEMA.properties.overlap.default,
    missed: (item.missed as Missed | undefined) ?? SCHEDULE_SCHEMA.properties.missed.default,
    suspended: item.suspended === true,
    job: named(job.job(folder), String(item.name)),
  });
  return {
    name: textOf(item.name),
    namePath: [...path, 'name'],
    zoneless: item.timeZone === undefined,
    findings,
    schedule,
  };
}

type JobOfPart = Pick<ReturnType<typeof jobPart>, 'findings' | 'job'>;

function jobOfEntry(item: Readonly<Record<string, unknown>>, path: Path): JobOfPart {
  const beside = TOP_FIELDS.filter((field) => field in item).map((field): Finding => {
    return { path: [...path, field], at: 'key', message: 'cannot stand beside `job`; put it in there' };
  });
  const at = [...path, 'job'];
  if (!isRecord(item.job)) return { findings: beside, job: () => jobPart(item.job, at).job('') };
  const part = jobPart(item.job, at);
  return { findings: [...beside, ...part.findings], job: part.job };
}

/** The entry's own fields, which the schema of entries has judged, as a job of one step. */
function oneStep(item: Readonly<Record<string, unknown>>, path: Path): JobOfPart {
  const entry = { path, item };
  const missing: Finding[] =
    'image' in item
      ? []
      : [{ path: [...path, 'image'], message: 'is missing: a schedule has an `image` or a `job`' }];
  const pick = (fields: readonly string[]) =>
    Object.fromEntries(fields.filter((field) => field in item).map((field) => [field, item[field]]));
  const document = { ...pick(Object.keys(JOB_FIELDS)), steps: [pick(ONE_STEP)] };
  return {
    findings: [...missing, ...containerRules(entry), ...jobFieldRules(entry)],
    job: jobPart(document).job,
  };
}

function docketPart(raw: unknown, path: Path, { timeZone = '', now }: ScheduleParseOptions): Part {
  const entry = withoutNulls(raw) as RawDocket;
  const errors = validateDocket(entry) ? [] : (validateDocket.errors ?? []);
  const findings = [
    ...below(path, toFindings(errors, entry, DOCKET)),
    ...cronFindings(entry.Cron, [...path, 'Cron'], timeZone, now),
    ...docketRules(entry, path),
  ];
  const schedule = (): Schedule => ({
    name: entry.Name,
    cron: entry.Cron.trim(),
    timeZone,
    overlap: SCHEDULE_SCHEMA.properties.overlap.default,
    missed: SCHEDULE_SCHEMA.properties.missed.default,
    suspended: false,
    job: jobOfDocket(entry),
  });
  return { name: textOf(entry.Name), namePath: [...path, 'Name'], zoneless: true, findings, schedule };
}

/** A machine may not know where it is. */
function defaultZone(parts: readonly Part[], timeZone: string): Finding[] {
  const problem = parts.some(({ zoneless }) => zoneless) ? timeZoneProblem(timeZone) : undefined;
  if (problem === undefined) return [];
  const ours = timeZone === '' ? 'is not known' : `is "${timeZone}", and ${problem}`;
  const message = `needs a \`timeZone\` for each schedule: that of this machine ${ours}`;
  return [{ path: [], message }];
}

function zoneFindings(zone: unknown, path: Path): Finding[] {
  const message = typeof zone === 'string' && zone !== '' ? timeZoneProblem(zone) : undefined;
  return message === undefined ? [] : [{ path, message }];
}

function cronFindings(cron: unknown, path: Path, zone: string, now = Date.now()): Finding[] {
  const message = typeof cron === 'string' ? cronProblem(cron, zone, now) : undefined;
  return message === undefined ? [] : [{ path, message }];
}

function sameNames(parts: readonly Part[]): Finding[] {
  return parts.flatMap(({ name, namePath }) => {
    const first = parts.find((part) => part.name === name);
    if (name === '' || first === undefined || first.namePath === namePath) return [];
    return [{ path: namePath, message: `this name is taken by ${pointerOf(first.namePath)}` }];
  });
}

/** A job without a name of its own is known by its schedule's. */
function named(job: Job, name: string): Job {
  return job.name === '' ? { ...job, name } : job;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
