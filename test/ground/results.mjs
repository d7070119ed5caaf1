/**
 * What `npm test` says at its very end, over all groups: how many tests, which failed, which files took longest.
 * The default export is a reporter for `node --test`; it writes one JSON line per result, so that nothing has
 * to be read out of the output for people. Plain JavaScript, as all that runs before the build.
 */
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';

const SLOWEST = 10;
const COUNTS = ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'];
/** Where tsc puts what the sources' paths are told of. */
const OUT_DIR = 'dist';

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    const line = lineOf(type, data);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

/** What the reporter wrote into `files`. A stopped run may have written none, or half of its last line. */
export function readResults(files) {
  const lines = files.flatMap((file) => textOf(file).split('\n').slice(0, -1));
  return lines.map((line) => JSON.parse(line));
}

/** Pure: the closing text. */
export function closing(results) {
  const sum = (name) => results.reduce((total, { counts }) => total + (counts?.[name] ?? 0), 0);
  const counts = COUNTS.map((name) => `${name} ${sum(name)}`).join(', ');
  return [
    ...section('Failed:', failedTests(results)),
    ...section('Slowest files:', slowestFiles(results)),
    `All groups: ${counts}`,
  ].join('\n');
}

function failedTests(results) {
  return results.filter((line) => line.failed !== undefined).map(({ file, failed }) => `${file}: ${failed}`);
}

function slowestFiles(results) {
  const slowest = results.filter((line) => line.ms !== undefined).sort((a, b) => b.ms - a.ms);
  return slowest.slice(0, SLOWEST).map(({ file, ms }) => `${seconds(ms)}  ${file}`);
}

function lineOf(type, { nesting, file, name, message, details, todo }) {
  if (nesting !== 0) return undefined;
  if (file === undefined) return type === 'test:diagnostic' ? countOf(message) : undefined;
  if (type === 'test:fail' && todo === undefined)
    return { file: sourceOf(file), failed: titleOf(name, file) };
  // The file itself is a test to the runner, and its name is its path.
  const isFile = type === 'test:complete' && resolve(name) === file;
  return isFile ? { file: sourceOf(file), ms: details.duration_ms } : undefined;
}

/** The runner's own closing lines reach a reporter as `tests 12`. */
function countOf(message) {
  const [name, count] = message.split(' ');
  return COUNTS.includes(name) ? { counts: { [name]: Number(count) } } : undefined;
}

function titleOf(name, file) {
  return resolve(name) === file ? 'the file as a whole' : name;
}

function sourceOf(file) {
  return relative(resolve(OUT_DIR), file).replace(/\.js$/, '.ts');
}

function section(title, lines) {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`), ''];
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`;
}

function textOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}
