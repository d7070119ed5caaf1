/**
 * Packages of many files, half of what a command took to start: the build makes one file of each
 * (build/packages.mjs). After the compiler alone there is none, and they are loaded as they are.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PACKAGE_ROOT } from './version.ts';

const FOLDER = join(PACKAGE_ROOT, 'dist', 'packages');

/** What the build has made as NAME.cjs, else what `whole` answers: the same exports. */
export function loadPackage<T>(name: string, whole: (require: NodeJS.Require) => T): T {
  const require = createRequire(import.meta.url);
  const file = join(FOLDER, `${name}.cjs`);
  return existsSync(file) ? require(file) : whole(require);
}
