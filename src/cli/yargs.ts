/** The only file that loads yargs. */
import type { Argv } from 'yargs';
import { loadPackage } from '../packages.ts';

/** A parser of its own, for these words. */
export const yargs = loadPackage<(words: readonly string[]) => Argv>('yargs', (require) =>
  require('yargs/yargs'),
);
