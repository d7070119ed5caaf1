/**
 * Text of a project file, or the stored form of one, to a validated, frozen Project, or all that is wrong
 * with it at once. Pure: load.ts reads the file.
 */
import { posix } from 'node:path';
import { PATTERNS, schemaOf, toFindings } from './messages.ts';
import { normalise } from './normalise.ts';
import { applyOverrides, type Touched } from './overrides.ts';
import { type Finding, type Path, type Source, toProblem, valueAt } from './problems.ts';
import type { Problem, Project } from './project.ts';
import { findRuleProblems } from './rules.ts';
import type { RawProject } from './schema.ts';
import { type StoredProject, toStored } from './stored.ts';
import { byPlace, readSource } from './text.ts';
// Written by generate.ts, which the build runs after the compiler.
import { validate } from './validator.generated.js';

export interface ParseOptions extends OverrideOptions {
  /** Path of the file as the user wrote it: tells the format and the default name of the project. */
  readonly file: string;
  /** Folder that relative paths in the file count from. Default: the working directory. */
  readonly folder?: string;
  /** The project it must be: the name of one that names itself nothing, and the only one it may give itself. */
  readonly project?: string;
}

export interface OverrideOptions {
  /** `PATH=VALUE`, the values of `--set`. */
  readonly overrides?: readonly string[];
  /** The component that the paths of the overrides count from. */
  readonly component?: string | undefined;
}

export type ParseResult =
  | { readonly project: Project; readonly stored: StoredProject }
  | { readonly problems: readonly Problem[] };

export function parseProject(text: string, options: ParseOptions): ParseResult {
  const read = readSource(text, options.file, EMPTY);
  return 'problems' in read ? read : check(read.source, options, options.project ?? defaultName(options));
}

/** The project of a stored form: what parseProject answered as `stored` for this project, or anything else. */
export function parseStored(stored: unknown, project: string, options: OverrideOptions = {}): ParseResult {
  const source = { text: '', value: stored, findings: [], offsetOf: () => undefined };
  return check(source, { ...options, project }, project);
}

/** Each is looked at for what was meant by it, which takes its time; nobody reads so many. */
const MOST_FINDINGS = 1_000;
const EMPTY = 'is empty; the smallest project is {"components": [{"name": "web", "repo": "nginx"}]}';

function check(source: Source, options: Omit<ParseOptions, 'file'>, name: string): ParseResult {
  const { value, touched, findings } = applyOverrides(
    source.value,
    options.overrides ?? [],
    options.component,
  );
  const all = [
    ...source.findings,
    ...findings,
    ...(validate(value) ? [] : toFindings((validate.errors ?? []).slice(0, MOST_FINDINGS), value)),
    ...findRuleProblems(value),
    ...(options.project === undefined ? nameFindings(value, name) : otherNameFindings(value, name)),
  ];
  if (all.length === 0) {
    const surroundings = { name, folder: options.folder ?? '.' };
    const raw = value as RawProject;
    return { project: normalise(raw, surroundings), stored: toStored(raw, surroundings) };
  }
  const problems = all.map((finding) => toProblem(withOverride(finding, touched), source, value));
  return { problems: problems.sort(byPlace) };
}

/** File names that many projects share: their folder tells them apart. */
const GENERIC_NAMES = ['gantry', 'gantryd', 'config', 'project'];

function defaultName({ file, folder = '.' }: ParseOptions): string {
  const name = posix.basename(file, posix.extname(file));
  const ofFolder = posix.basename(posix.resolve(folder));
  return GENERIC_NAMES.includes(name) && ofFolder !== '' ? ofFolder : name;
}

/** A file may be called anything, a project may not. */
function nameFindings(value: unknown, name: string): Finding[] {
  if (typeof value !== 'object' || value === null || Object.hasOwn(value, 'project')) return [];
  const wrong = nameProblem(name);
  if (wrong === undefined) return [];
  const message = `is missing, and the name "${name}" of its file or folder cannot take its place: ${wrong}`;
  return [{ path: ['project'], message }];
}

/** Of a file that is to be the project `name`. */
function otherNameFindings(value: unknown, name: string): Finding[] {
  const wrong = nameProblem(name);
  if (wrong !== undefined) return [{ path: [], message: `cannot be the project "${name}": ${wrong}` }];
  const given = valueAt(value, ['project']);
  if (typeof given !== 'string' || given === name) return [];
  const message = `is another project than "${name}", which it is to be; leave the name out, or ask for that project`;
  return [{ path: ['project'], message }];
}

function nameProblem(name: string): string | undefined {
  const { pattern = '' } = schemaOf(['project']);
  return new RegExp(pattern, 'u').test(name) ? undefined : `a project's name ${PATTERNS[pattern]}`;
}

function withOverride(finding: Finding, touched: readonly Touched[]): Finding {
  if (finding.offset !== undefined) return finding;
  const from = touched.findLast(({ path }) => isPrefix(path, finding.path));
  return from === undefined ? finding : { ...finding, override: from.override };
}

function isPrefix(prefix: Path, path: Path): boolean {
  return prefix.every((step, index) => String(step) === String(path[index]));
}
