/**
 * `node build/program.mjs`, the last step of the build: makes one file of the command line, all commands, of what the
 * compiler wrote, one of the proxy, and beside each what V8 makes of it when it is loaded. src/packages.ts loads what is
 * made here.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { compiled, compiledFile, runScript } from '../dist/src/packages.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SRC = join(ROOT, 'dist', 'src');
const OUT = join(ROOT, 'dist', 'program');

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
const COMMAND_LINE = `
  export { main } from './cli/main.js';
  export const often = () => Promise.all([${OFTEN.map((name) => `import('./cli/${name}.js')`)}]);`;

const PROXY = "export { runProxy } from './proxy/process.js';";

/** Each part finds what lies around it as if it were a file of its own. */
const PLACE_OF = `const placeOf = (file) =>
  require('node:url').pathToFileURL(require('node:path').join(__dirname, '..', 'src', file)).href;`;

rmSync(OUT, { recursive: true, force: true });
await keepCompiled(await oneFile('proxy', PROXY));
await keepCompiled(await oneFile('main', COMMAND_LINE), knowWhatIsAsked);

/** Answers where it is. */
async function oneFile(name, contents) {
  const outfile = join(OUT, `${name}.cjs`);
  await build({
    stdin: { contents, resolveDir: SRC },
    absWorkingDir: ROOT,
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    banner: { js: PLACE_OF },
    logLevel: 'warning',
    plugins: [{ name: 'parts', setup: ({ onLoad }) => onLoad({ filter: /\.js$/ }, asPart) }],
  });
  return outfile;
}

/** And loads packages, which it imports where few commands need them, as src/packages.ts has it. */
function asPart({ path }) {
  const contents = readFileSync(path, 'utf8')
    .replaceAll('import.meta.url', `placeOf(${JSON.stringify(relative(SRC, path))})`)
    .replaceAll(/\bimport\((?='[^.])/g, 'module.load(');
  return { contents, loader: 'js' };
}

/** With the functions that `use` has called when this process ends; the others V8 compiles when they are. */
async function keepCompiled(file, use = () => {}) {
  const script = compiled(file);
  const exported = runScript(script, file);
  process.once('exit', () => writeFileSync(compiledFile(file), script.createCachedData()));
  await use(exported);
}

/** What a command calls until it knows what it is to do. Ends this process. */
async function knowWhatIsAsked({ main, often }) {
  await often();
  await main('gantryd', ['--version']);
}
