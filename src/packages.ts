/**
 * What took half of the time that a command took to start: files. The build makes one file of each package of many
 * files, and one of the command line itself, and keeps what V8 made of it (build/). After the compiler alone there is
 * none, and they are loaded as they are.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { PACKAGE_ROOT } from './version.ts';
import { isYoungHeapSmall } from './young-heap.ts';

const DIST = join(PACKAGE_ROOT, 'dist');

/** What the build has made as NAME.cjs, else what `whole` answers: the same exports. */
export function loadPackage<T>(name: string, whole: (require: NodeJS.Require) => T): T {
  const require = createRequire(import.meta.url);
  const file = join(DIST, 'packages', `${name}.cjs`);
  return existsSync(file) ? (exportsOf(file) as T) : whole(require);
}

/**
 * As the build has made it of the files beside this one. undefined: it has not, or the compiler has written others
 * since then.
 */
export function loadProgram<T>(name: string): T | undefined {
  const file = join(DIST, 'program', `${name}.cjs`);
  const isOwn = dirname(fileURLToPath(import.meta.url)) === join(DIST, 'src');
  return isOwn && existsSync(file) && !isOutdated(file) ? (exportsOf(file) as T) : undefined;
}

/** Of such a file. `cachedData`: what V8 made of it before. */
export function compiled(file: string, cachedData?: Buffer): Script {
  const code = Module.wrap(readFileSync(file, 'latin1'));
  return new Script(code, { filename: file, ...(cachedData && { cachedData }) });
}

/** With a `module.load` for what it imports later: V8 forgets whose script it was that it has made something of before. */
export function runScript(script: Script, file: string): unknown {
  const module = { exports: {}, load: (name: string) => import(name) };
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  return module.exports;
}

/** Where the build keeps what V8 made of the file: V8 takes it only under the flags that it made it under. */
export function compiledFile(file: string): string {
  return `${file}${isYoungHeapSmall() ? '.small' : ''}.v8`;
}

/** As `require` would, but without compiling what was compiled. A Node of another version refuses that, and compiles. */
function exportsOf(file: string): unknown {
  const kept = compiledFile(file);
  return runScript(compiled(file, existsSync(kept) ? readFileSync(kept) : undefined), file);
}

/** The compiler keeps a record of its own of what it has written last; a package that is installed has none. */
function isOutdated(file: string): boolean {
  const written = statSync(join(DIST, '.tsbuildinfo'), { throwIfNoEntry: false });
  return written !== undefined && written.mtimeMs > statSync(file).mtimeMs;
}
