/**
 * `node build/program.mjs`, the last step of the build: makes one file of the command line, all commands, of what the
 * compiler wrote, and beside it what V8 makes of it when it is loaded. src/packages.ts loads what is made here.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { compiled, compiledFile, runScript } from '../dist/src/packages.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SRC = join(ROOT, 'dist', 'src');
const OUT = join(ROOT, 'dist', 'program');
const FILE = join(OUT, 'main.cjs');

/** What most commands and agents load is compiled with it; the rest when it is asked for. */
const OFTEN = [
  'fleet/drains',
  'fleet/intent',
  'fleet/list',
  'fleet/reports',
  'fleet/run',
  'jobs/here',
  'local',
  'proxy',
];
const CONTENTS = `
  export { main } from './cli/main.js';
  export const often = () => Promise.all([${OFTEN.map((name) => `import('./cli/${name}.js')`)}]);`;

/** Each part finds what lies around it as if it were a file of its own. */
const PLACE_OF = `const placeOf = (file) =>
  require('node:url').pathToFileURL(require('node:path').join(__dirname, '..', 'src', file)).href;`;

rmSync(OUT, { recursive: true, force: true });
await build({
  stdin: { contents: CONTENTS, resolveDir: SRC },
  absWorkingDir: ROOT,
  outfile: FILE,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  banner: { js: PLACE_OF },
  logLevel: 'warning',
  plugins: [{ name: 'parts', setup: ({ onLoad }) => onLoad({ filter: /\.js$/ }, asPart) }],
});
await keepCompiled();

/** And loads packages, which it imports where few commands need them, as src/packages.ts has it. */
function asPart({ path }) {
  const contents = readFileSync(path, 'utf8')
    .replaceAll('import.meta.url', `placeOf(${JSON.stringify(relative(SRC, path))})`)
    .replaceAll(/\bimport\((?='[^.])/g, 'module.load(');
  return { contents, loader: 'js' };
}

/** With the functions that a command has called until it knows what is asked; the others V8 compiles when they are. */
async function keepCompiled() {
  const script = compiled(FILE);
  const { main, often } = runScript(script, FILE);
  await often();
  process.once('exit', () => writeFileSync(compiledFile(FILE), script.createCachedData()));
  await main('gantryd', ['--version']);
}
