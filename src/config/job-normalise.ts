/**
 * From a job that passed the schema and the rules, in our own form or the workflow engine's, to the Job everyone else
 * sees: defaults filled in, units in the names, deeply frozen. Pure.
 */
import { resolve } from 'node:path';
import { parseConstraint } from './constraint.ts';
import { withTag } from './image.ts';
import {
  DEFAULT_KEEP_MS,
  type Job,
  type Mount,
  type OutputChannel,
  type Step,
  type Variable,
} from './job.ts';
import { withoutBreaks } from './job-rules.ts';
import { JOB_ROOT, type RawJob, type RawStep, type RawWorkflow } from './job-schema.ts';
import { parseMount } from './mount.ts';
import { fill, freeze, given } from './normalise.ts';
import { parseBytes, parseDuration } from './quantities.ts';
import { shellWords } from './shell-words.ts';

/** Names of Docker's own bridge, which is joined by naming none. */
const BRIDGE = ['bridge', 'default'];

/** What a job of any form may have left out. */
export const PLAIN_JOB = {
  environment: [],
  constraints: [],
  retries: 0,
  keepMs: DEFAULT_KEEP_MS,
  remove: false,
} as const satisfies Partial<Job>;

export const PLAIN_STEP = {
  name: '',
  environment: [],
  output: { kind: 'stdout' },
  refresh: false,
  networks: [],
  mounts: [],
  secrets: [],
} as const satisfies Partial<Step>;

/** `folder`: what relative paths count from. */
export function jobOf(document: unknown, folder: string): Job {
  const raw = fill(JOB_ROOT, document) as RawJob;
  return freeze({
    name: raw.name,
    steps: raw.steps.map((step) => stepOf(step, folder)),
    environment: variablesOf(raw.environment),
    constraints: raw.constraints.flatMap((text) => parseConstraint(text) ?? []),
    retries: raw.retries,
    keepMs: msOf(raw.keep) ?? DEFAULT_KEEP_MS,
    remove: raw.remove,
    ...given({ input: raw.input && withoutBreaks(raw.input) }),
  });
}

function stepOf(raw: RawStep, folder: string): Step {
  return {
    name: raw.name,
    image: withTag(raw.image),
    environment: variablesOf(raw.environment),
    output: channelOf(raw.output),
    refresh: raw.refresh,
    networks: networksOf(raw.networkMode === undefined ? raw.networks : [raw.networkMode]),
    mounts: raw.mounts.flatMap((mount) => mountOf(mount)),
    secrets: raw.secrets.map((name) => ({ name })),
    ...given({
      entrypoint: wordsOf(raw.entrypoint),
      command: wordsOf(raw.command),
      user: raw.user,
      delimiters: delimitersOf(raw),
      timeoutMs: msOf(raw.timeout),
      memoryBytes: raw.memory === undefined ? undefined : parseBytes(raw.memory),
      cpus: raw.cpus,
      cpuShares: raw.cpuShares,
      registryAuth: raw.registryAuth === undefined ? undefined : { file: resolve(folder, raw.registryAuth) },
    }),
  };
}

/** The engine counted time in seconds; 0 and '' were as much as leaving a field out. */
export function jobOfWorkflow(raw: RawWorkflow): Job {
  return freeze({
    ...PLAIN_JOB,
    name: raw.name ?? '',
    steps: raw.steps.map(workflowStep),
    environment: (raw.environment ?? []).map(engineVariable),
    ...given({ input: raw.input ? withoutBreaks(raw.input) : undefined }),
  });
}

function workflowStep(raw: RawWorkflow['steps'][number]): Step {
  return {
    ...PLAIN_STEP,
    name: raw.name ?? '',
    image: withTag(raw.source),
    environment: (raw.environment ?? []).map(engineVariable),
    output: channelOf(raw.output || 'stdout'),
    refresh: raw.refresh ?? false,
    networks: networksOf(raw.networkMode ? [raw.networkMode] : []),
    ...given({
      delimiters: delimitersOf(raw),
      timeoutMs: raw.timeout ? raw.timeout * 1_000 : undefined,
      memoryBytes: raw.memory || undefined,
      cpuShares: raw.cpuShares || undefined,
    }),
  };
}

function engineVariable({ variable, value }: { variable: string; value?: string | undefined }): Variable {
  return { name: variable, value: value ?? '' };
}

function variablesOf(raw: RawJob['environment']): Variable[] {
  if (!Array.isArray(raw))
    return Object.entries(raw).map(([name, value]) => ({ name, value: String(value) }));
  return raw.map(({ name, value }) => ({ name, value }));
}

function channelOf(output: string): OutputChannel {
  if (output === 'stdout' || output === 'stderr') return { kind: output };
  return { kind: 'file', path: output };
}

function delimitersOf(raw: { beginDelimiter?: string | undefined; endDelimiter?: string | undefined }) {
  const { beginDelimiter: begin, endDelimiter: end } = raw;
  return begin && end ? { begin, end } : undefined;
}

export function networksOf(names: readonly string[]): readonly string[] {
  return names.length === 1 && BRIDGE.includes(names[0] ?? '') ? [] : names;
}

function mountOf(raw: RawStep['mounts'][number]): Mount[] {
  if (typeof raw === 'string') return [parseMount(raw) ?? []].flat();
  const { source, target, readOnly } = raw as Mount;
  return [{ source, target, readOnly }];
}

function wordsOf(raw: string | readonly string[] | undefined): readonly string[] | undefined {
  if (typeof raw !== 'string') return raw;
  const read = shellWords(raw);
  return 'words' in read ? read.words : undefined;
}

function msOf(raw: number | string | undefined): number | undefined {
  return typeof raw === 'string' ? parseDuration(raw) : raw;
}
