/**
 * Packages of many files, half of what a command took to start: the build makes one file of each, and keeps what V8
 * made of it (build/packages.mjs). After the compiler alone there is none, and they are loaded as they are.
 */
import { existsSync, readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';
import { PACKAGE_ROOT } from './version.ts';
import { isYoungHeapSmall } from './young-heap.ts';

const FOLDER = join(PACKAGE_ROOT, 'dist', 'packages');

/** What the build has made as NAME.cjs, else what `whole` answers: the same exports. */
export function loadPackage<T>(name: string, whole: (require: NodeJS.Require) => T): T {
  const require = createRequire(import.meta.url);
  const file = join(FOLDER, `${name}.cjs`);
  return existsSync(file) ? (exportsOf(file) as T) : whole(require);
}

/** Where the build keeps what V8 made of the file: V8 takes it only under the flags that it made it under. */
export function compiledFile(file: string): string {
  return `${file}${isYoungHeapSmall() ? '.small' : ''}.v8`;
}

/** As `require` would, but without compiling what was compiled. A Node of another version refuses that, and compiles. */
function exportsOf(file: string): unknown {
  const kept = compiledFile(file);
  const cachedData = existsSync(kept) ? readFileSync(kept) : undefined;
  const code = Module.wrap(readFileSync(file, 'utf8'));
  const script = new Script(code, { filename: file, ...(cachedData && { cachedData }) });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  return module.exports;
}
