/**
 * Holds the architecture: the direction of imports, the single importer of each library, the shape of a
 * source file. Reads the sources as text; a new folder or library gets its line in the tables below.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../src/version.ts';

const MAX_LINES = 400;
/** Tests are tables and stories; a specification in one file is worth its length. */
const MAX_TEST_LINES = 750;
/** One long table each, which would not be clearer in pieces. */
const LONG_DATA = ['src/config/schema.ts'];
const ROOT_FILES = 'root';

/** What a folder of src may import, besides itself and the files directly in src. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  cli: [
    'metrics',
    'api',
    'fleet',
    'agent',
    'jobs',
    'secrets',
    'proxy',
    'checks',
    'cluster',
    'docker',
    'config',
  ],
  api: ['metrics', 'fleet', 'agent', 'jobs', 'secrets', 'proxy', 'checks', 'cluster', 'docker', 'config'],
  jobs: ['metrics', 'secrets', 'cluster', 'docker', 'config'],
  fleet: ['metrics', 'agent', 'secrets', 'proxy', 'checks', 'cluster', 'docker', 'config'],
  agent: ['metrics', 'secrets', 'proxy', 'checks', 'cluster', 'docker', 'config'],
  secrets: ['cluster', 'config'],
  proxy: ['config'],
  checks: ['config'],
  cluster: ['metrics', 'config'],
  docker: ['metrics', 'config'],
  config: [],
  metrics: [],
  [ROOT_FILES]: [],
};

/** Types are erased: a value described in one place may be named in another. */
const MAY_IMPORT_TYPES: Readonly<Record<string, readonly string[]>> = {
  config: ['checks', 'proxy'],
  checks: ['proxy', 'docker'],
  cluster: ['proxy'],
  metrics: ['proxy'],
  [ROOT_FILES]: ['checks', 'proxy', 'docker', 'config'],
};

/** The one folder or file of src that may import a package. Packages not named here: anywhere in src. */
const ONLY_IMPORTER: Readonly<Record<string, string>> = {
  dockerode: 'src/docker/',
  'http-proxy': 'src/proxy/http/hardening.ts',
  undici: 'src/llhttp.ts',
  got: 'src/checks/',
  yargs: 'src/cli/',
  ajv: 'src/config/',
  yaml: 'src/config/',
  'prom-client': 'src/metrics/',
  croner: 'src/config/',
  'shell-quote': 'src/config/',
  'tar-stream': 'src/docker/',
  pino: 'src/log.ts',
  etcd3: 'src/cluster/',
  cockatiel: 'src/cluster/',
  '@grpc/grpc-js': 'src/cluster/',
};

interface Import {
  readonly from: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const sources = filesBelow('src', /\.ts$/).filter((file) => !file.includes('.generated.'));
const written = ['src', 'build', 'test', 'examples', 'bin'].flatMap((folder) =>
  filesBelow(folder, /\.(ts|mjs|cjs|js)$/),
);

test('imports go in one direction', () => {
  const wrong = sources
    .flatMap(importsOf)
    .filter(({ specifier }) => specifier.startsWith('.'))
    .filter((found) => !allowed(found))
    .map(({ from, specifier }) => `${from} imports ${specifier}`);
  assert.deepEqual(wrong, []);
});

test('each library has one importer', () => {
  const wrong = sources
    .flatMap(importsOf)
    .filter(({ from, specifier }) => !from.startsWith(ONLY_IMPORTER[packageOf(specifier)] ?? ''))
    .map(({ from, specifier }) => `${from} imports ${specifier}`);
  assert.deepEqual(wrong, []);
});

test('src imports nothing of test or examples', () => {
  const wrong = sources
    .flatMap(importsOf)
    .filter(({ specifier }) => /\.\.\/(test|examples)\//.test(specifier));
  assert.deepEqual(wrong, []);
});

test('no bound of a wait is joined where the garbage collector takes it (src/deadline.ts)', () => {
  const joined = /AbortSignal\.any\([^;]*AbortSignal\.timeout/;
  const wrong = [...sources, ...filesBelow('examples', /\.mjs$/)].filter((file) => joined.test(read(file)));
  assert.deepEqual(wrong, []);
});

test('every file says first what it is for, but tests and the two lines of bin', () => {
  const told = written.filter((file) => isWritten(file) && !/^bin|\.test\.ts$/.test(file));
  const bare = told.filter((file) => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(read(file)));
  assert.deepEqual(bare, []);
});

test(`no file is longer than ${MAX_LINES} lines, no test than ${MAX_TEST_LINES}`, () => {
  const most = (file: string) => (file.startsWith('test/') ? MAX_TEST_LINES : MAX_LINES);
  const long = written
    .filter((file) => isWritten(file) && !LONG_DATA.includes(file))
    .map((file) => ({ file, lines: read(file).split('\n').length - 1 }))
    .filter(({ file, lines }) => lines > most(file));
  assert.deepEqual(long, []);
});

test('no file knows a path of the machine it was written on', () => {
  const foreign = /(^|[\s'"`(=:])(\/work\/|\/home\/\w|\/Users\/\w|\/tmp\/[a-z]\d+\b)/m;
  const documents = ['docs', '.ci'].flatMap((folder) => filesBelow(folder, /./));
  const telling = [...written, ...documents].filter(
    (file) => file !== ownSource() && foreign.test(read(file)),
  );
  assert.deepEqual(telling, []);
});

function allowed({ from, specifier, typeOnly }: Import): boolean {
  const source = folderOf(from);
  const target = folderOf(normalize(join(dirname(from), specifier)));
  if (source === target || target === ROOT_FILES) return true;
  const also = typeOnly ? (MAY_IMPORT_TYPES[source] ?? []) : [];
  return [...(MAY_IMPORT[source] ?? []), ...also].includes(target);
}

/** The folder directly below src, or ROOT_FILES. */
function folderOf(file: string): string {
  const parts = file.split(sep);
  return parts.length > 2 ? (parts[1] ?? ROOT_FILES) : ROOT_FILES;
}

function importsOf(file: string): Import[] {
  const text = read(file);
  const fixed = [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'/gm)];
  const bare = [...text.matchAll(/^import\s+'([^']+)'/gm)];
  const late = [...text.matchAll(/\b(?:import|require)\(\s*'([^']+)'/g)];
  return [
    ...fixed.map(([, type, specifier = '']) => ({ from: file, specifier, typeOnly: type !== undefined })),
    ...[...bare, ...late].map(([, specifier = '']) => ({ from: file, specifier, typeOnly: false })),
  ];
}

/** `@scope/name/file` and `name/file` without the file. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function isWritten(file: string): boolean {
  return !file.includes('.generated.');
}

function filesBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(PACKAGE_ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(PACKAGE_ROOT.length + 1))
    .sort();
}

function read(file: string): string {
  return readFileSync(join(PACKAGE_ROOT, file), 'utf8');
}

function ownSource(): string {
  return join('test', 'layers.test.ts');
}
