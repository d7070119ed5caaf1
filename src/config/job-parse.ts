/**
 * Text of a job to a validated, frozen Job, or all that is wrong with it at once. Our own form and the workflow
 * engine's are told apart by their words. Pure: load-jobs.ts reads the file.
 */
import { dirname, resolve } from 'node:path';
import { entries } from './entries.ts';
import type { Job } from './job.ts';
import { jobOf, jobOfWorkflow } from './job-normalise.ts';
import { jobRules, workflowRules } from './job-rules.ts';
import { JOB_ROOT, type RawWorkflow, WORKFLOW_ROOT } from './job-schema.ts';
// Written by generate.ts, which the build runs after the compiler.
import { validateJob, validateWorkflow } from './job-validators.generated.js';
import { toFindings, type Vocabulary } from './messages.ts';
import { type Finding, isRecord, type Path, toProblem } from './problems.ts';
import type { Problem } from './project.ts';
import { byPlace, readSource } from './text.ts';

export interface JobParseOptions {
  /** Path of the file as the user wrote it: its extension tells the format, and its folder is what relative paths count from. */
  readonly file: string;
}

export type JobResult = { readonly job: Job } | { readonly problems: readonly Problem[] };

const EMPTY = 'is empty; the smallest job is {"steps": [{"image": "hello-world"}]}';

/** Fields of the workflow engine and of other tools in a file of our own. */
export const REPLACED: Readonly<Record<string, string>> = {
  source: 'write `image`',
  variable: 'write `name`',
  env: 'write `environment`',
  environmentVariables: 'write `environment`',
  cmd: 'write `command`',
  args: 'write `command`, the whole of it',
  network: 'write `networks`, a list of names',
  volumes: 'write `mounts`, a list of "SOURCE=TARGET"',
  bindings: 'write `mounts`, a list of "SOURCE=TARGET"',
  tag: 'write it behind the image, as "name:tag"',
  repo: 'write `image`, with the tag',
  resources: 'write `memory` and `cpus` in the step itself',
  restart: 'leave it out; see `retries` of the job',
};

const OWN: Vocabulary = { root: JOB_ROOT, replaced: REPLACED };
const WORKFLOW: Vocabulary = {
  root: WORKFLOW_ROOT,
  replaced: {
    image: 'write `source` for every step, or `image` for every one',
    id: 'leave it out; each run gets its own',
    status: 'leave it out; runs have it, jobs do not',
    stepsCompleted: 'leave it out; runs have it, jobs do not',
    createdAt: 'leave it out; runs have it, jobs do not',
    finishedIn: 'leave it out; runs have it, jobs do not',
  },
};

export function parseJob(text: string, { file }: JobParseOptions): JobResult {
  const read = readSource(text, file, EMPTY);
  if ('problems' in read) return read;
  const { source } = read;
  const part = jobPart(source.value);
  const found = [...source.findings, ...part.findings];
  if (found.length === 0) return { job: part.job(dirname(resolve(file))) };
  return { problems: found.map((finding) => toProblem(finding, source, source.value)).sort(byPlace) };
}

/** A job as a part of a document: what is wrong with it, and what it is once nothing is. */
export interface JobPart {
  readonly findings: readonly Finding[];
  job(folder: string): Job;
}

/** `base`: where it stands in its document. */
export function jobPart(value: unknown, base: Path = []): JobPart {
  return isWorkflow(value) ? workflowPart(value, base) : ownPart(value, base);
}

function ownPart(value: unknown, base: Path): JobPart {
  const errors = validateJob(value) ? [] : (validateJob.errors ?? []);
  const findings = [...below(base, toFindings(errors, value, OWN)), ...jobRules(value, base)];
  return { findings, job: (folder) => jobOf(value, folder) };
}

function workflowPart(document: unknown, base: Path): JobPart {
  const value = withoutNulls(document);
  const errors = validateWorkflow(value) ? [] : (validateWorkflow.errors ?? []);
  const findings = [...below(base, toFindings(errors, value, WORKFLOW)), ...workflowRules(value, base)];
  return { findings, job: () => jobOfWorkflow(value as RawWorkflow) };
}

/** The engine's words are `source` and `variable`; `image` is ours. */
function isWorkflow(value: unknown): boolean {
  const steps = entries(value, ['steps']);
  if (steps.some(({ item }) => 'image' in item)) return false;
  const lists = [value, ...steps.map(({ item }) => item)].flatMap((item) => entries(item, ['environment']));
  return steps.some(({ item }) => 'source' in item) || lists.some(({ item }) => 'variable' in item);
}

/** The findings of a part as findings of the document it is in. */
export function below(base: Path, findings: readonly Finding[]): Finding[] {
  return findings.map((finding) => ({ ...finding, path: [...base, ...finding.path] }));
}

/** What programs write for a field they leave out. Lists keep theirs, and so their places; a part of itself, which YAML can say, is left out too. */
export function withoutNulls(value: unknown, around: readonly unknown[] = []): unknown {
  const within = [...around, value];
  if (Array.isArray(value))
    return value.map((item) => (within.includes(item) ? null : withoutNulls(item, within)));
  if (!isRecord(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && !within.includes(field));
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field, within)]));
}
