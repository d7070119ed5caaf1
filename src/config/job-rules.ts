/**
 * Rules a schema cannot say about jobs: what a text must be, and which fields belong together or exclude each other.
 * Tolerant readers of the raw document, like rules.ts, for our own form and for the workflow engine's. Pure.
 */
import { CONSTRAINT_FORMS, parseConstraint } from './constraint.ts';
import { type Entry, entries, entriesOf } from './entries.ts';
import { imageProblem } from './image.ts';
import { MAX_KEEP_MS, MIN_MEMORY_BYTES } from './job-schema.ts';
import { MOUNT_FORM, parseMount, sameTarget, sourceProblem, targetProblem } from './mount.ts';
import { type Finding, isRecord, type Path, pointerOf } from './problems.ts';
import { parseBytes, parseDuration } from './quantities.ts';
import { MAX_MS } from './schema.ts';
import { shellWords } from './shell-words.ts';
import { didYouMean } from './suggest.ts';

const CHANNELS = ['stdout', 'stderr'];
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const ALONE = /^(?:host|none|container:.*)$/;
const DURATION_FORM = 'must be milliseconds as a number, or a text as "90s", "5m", "2h", "7d"';

const TOO_SMALL = `must be at least "6m" (${MIN_MEMORY_BYTES} bytes), as Docker demands`;

/** All there is to say about a job in our own form. */
export function jobRules(document: unknown, base: Path = []): Finding[] {
  if (!isRecord(document)) return [];
  const job = { path: base, item: document };
  return [...jobFieldRules(job), ...entries(document, ['steps'], base).flatMap(containerRules)];
}

/** About a job in the workflow engine's form. */
export function workflowRules(document: unknown, base: Path = []): Finding[] {
  if (!isRecord(document)) return [];
  const steps = entries(document, ['steps'], base);
  return [
    ...inputRules({ path: base, item: document }),
    ...steps.flatMap((step) => [
      ...imageRules(step, 'source'),
      ...outputRules(step),
      ...delimiterRules(step),
      ...engineMemoryRules(step),
    ]),
  ];
}

/** About what a job has besides its steps. */
export function jobFieldRules(job: Entry): Finding[] {
  return [...inputRules(job), ...constraintRules(job), ...durationRules(job, 'keep', MAX_KEEP_MS)];
}

/** About what a step has besides its name. */
export function containerRules(step: Entry): Finding[] {
  return [
    ...imageRules(step, 'image'),
    ...wordRules(step, 'entrypoint'),
    ...wordRules(step, 'command'),
    ...outputRules(step),
    ...delimiterRules(step),
    ...durationRules(step, 'timeout', MAX_MS),
    ...memoryRules(step),
    ...networkRules(step),
    ...mountRules(step),
    ...repeated(step, 'secrets', (first) => `this secret is named at ${first} already`),
  ];
}

function imageRules({ path, item }: Entry, field: string): Finding[] {
  const image = item[field];
  if (typeof image !== 'string' || image === '') return [];
  return finding([...path, field], imageProblem(image));
}

function wordRules({ path, item }: Entry, field: string): Finding[] {
  const value = item[field];
  if (typeof value === 'string') {
    const read = shellWords(value);
    return finding([...path, field], 'problem' in read ? read.problem : undefined);
  }
  if (!Array.isArray(value)) return [];
  if (value.length === 0)
    return finding([...path, field], "must not be empty; leave it out for the image's own");
  return finding([...path, field, 0], value[0] === '' ? 'must be the program to run' : undefined);
}

function outputRules({ path, item }: Entry): Finding[] {
  const { output } = item;
  if (typeof output !== 'string' || output === '' || CHANNELS.includes(output)) return [];
  if (/^\/.*[^/]$/.test(output)) return [];
  const message = `must be "stdout", "stderr" or the absolute path of a file in the container${didYouMean(output, CHANNELS)}`;
  return finding([...path, 'output'], message);
}

function delimiterRules({ path, item }: Entry): Finding[] {
  const { beginDelimiter: begin, endDelimiter: end, output } = item;
  const [hasBegin, hasEnd] = [isText(begin), isText(end)];
  if (!hasBegin && !hasEnd) return [];
  if (hasBegin !== hasEnd) {
    const [absent, present] = hasBegin
      ? ['endDelimiter', 'beginDelimiter']
      : ['beginDelimiter', 'endDelimiter'];
    return finding([...path, absent], `is missing: \`${present}\` means nothing without it`);
  }
  const lines = ['beginDelimiter', 'endDelimiter'].flatMap((field) =>
    finding([...path, field], /[\r\n]/.test(String(item[field])) ? 'must be a single line' : undefined),
  );
  if (!isText(output) || !String(output).startsWith('/')) return lines;
  const message = 'is for what is printed; a file is taken whole. Leave it out, or take `output` "stdout"';
  return [...lines, { path: [...path, 'beginDelimiter'], at: 'key', message }];
}

function inputRules({ path, item }: Entry): Finding[] {
  if (typeof item.input !== 'string' || BASE64.test(withoutBreaks(item.input))) return [];
  const message =
    'must be base64 (letters, digits, `+`, `/`, with `=` at the end), as `base64 FILE` prints it';
  return finding([...path, 'input'], message);
}

/** Base64 is printed in lines. */
export function withoutBreaks(base64: string): string {
  return base64.replace(/\s/g, '');
}

function constraintRules({ path, item }: Entry): Finding[] {
  return textsIn(item.constraints).flatMap(([index, text]) =>
    finding([...path, 'constraints', index], parseConstraint(text) ? undefined : CONSTRAINT_FORMS),
  );
}

function durationRules({ path, item }: Entry, field: string, most: number): Finding[] {
  const value = item[field];
  if (typeof value !== 'string') return [];
  const at = [...path, field];
  // A bare number in quotes would be milliseconds here and seconds elsewhere.
  const ms = /[a-z]/i.test(value) ? parseDuration(value) : undefined;
  if (ms === undefined) return finding(at, DURATION_FORM);
  if (ms === 0 && field === 'timeout') return finding(at, 'must be more than 0; leave it out for no limit');
  return finding(at, ms > most ? `must be ${Math.floor(most / 86_400_000)} days at most` : undefined);
}

/** Of a text; the schema has a word about numbers. */
function memoryRules({ path, item }: Entry): Finding[] {
  const bytes = typeof item.memory === 'string' ? parseBytes(item.memory) : undefined;
  return finding(
    [...path, 'memory'],
    bytes !== undefined && bytes < MIN_MEMORY_BYTES ? TOO_SMALL : undefined,
  );
}

/** 0 was as much as leaving it out. */
function engineMemoryRules({ path, item: { memory } }: Entry): Finding[] {
  const small = typeof memory === 'number' && memory > 0 && memory < MIN_MEMORY_BYTES;
  return finding([...path, 'memory'], small ? TOO_SMALL : undefined);
}

function networkRules(step: Entry): Finding[] {
  const { path, item } = step;
  const networks = textsIn(item.networks);
  const found = repeated(step, 'networks', (first) => `this network is named at ${first} already`);
  if (item.networkMode !== undefined && networks.length > 0) {
    const message = 'cannot stand beside `networks`; name all networks there';
    found.push({ path: [...path, 'networkMode'], at: 'key', message });
  }
  if (networks.length < 2) return found;
  const alone = networks.filter(([, name]) => ALONE.test(name));
  return [
    ...found,
    ...alone.flatMap(([index, name]) =>
      finding([...path, 'networks', index], `"${name}" must be the only network`),
    ),
  ];
}

function mountRules(step: Entry): Finding[] {
  const seen = new Map<string, string>();
  return mountsOf(step)
    .flatMap(({ path, at, source, target }) => {
      const first = seen.get(sameTarget(target));
      seen.set(sameTarget(target), first ?? pointerOf(path));
      const taken = first === undefined ? undefined : `something is mounted here by ${first} already`;
      const found = [
        ...finding(at('source'), sourceProblem(source)),
        ...finding(at('target'), targetProblem(target) ?? taken),
      ];
      return found;
    })
    .concat(mountForms(step));
}

interface Mounted {
  readonly path: Path;
  readonly at: (field: 'source' | 'target') => Path;
  readonly source: string;
  readonly target: string;
}

function mountsOf(step: Entry): Mounted[] {
  const objects = entriesOf(step, 'mounts').flatMap(({ path, item: { source, target } }) =>
    isText(source) && isText(target)
      ? [{ path, at: (field: string) => [...path, field], source, target }]
      : [],
  );
  const written = textsIn(step.item.mounts).flatMap(([index, text]) => {
    const mount = parseMount(text);
    const path = [...step.path, 'mounts', index];
    return mount === undefined ? [] : [{ path, at: () => path, ...mount }];
  });
  return [...objects, ...written];
}

function mountForms({ path, item }: Entry): Finding[] {
  return textsIn(item.mounts).flatMap(([index, text]) =>
    finding([...path, 'mounts', index], parseMount(text) === undefined ? MOUNT_FORM : undefined),
  );
}

function repeated({ path, item }: Entry, field: string, message: (first: string) => string): Finding[] {
  const list = textsIn(item[field]);
  return list.flatMap(([index, text]) => {
    const first = list.find(([, other]) => other === text)?.[0] ?? index;
    if (first === index) return [];
    return finding([...path, field, index], message(pointerOf([...path, field, first])));
  });
}

/** The texts of a list, with their places in it. */
function textsIn(list: unknown): (readonly [number, string])[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((text, index) => (typeof text === 'string' ? [[index, text] as const] : []));
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function finding(path: Path, message: string | undefined): Finding[] {
  return message === undefined ? [] : [{ path, message }];
}
