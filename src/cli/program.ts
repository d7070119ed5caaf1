/** The command line as the build made one file of it; after the compiler alone, from the files that it wrote. */
import { loadProgram } from '../packages.ts';

type Main = typeof import('./main.ts');

export async function loadMain(): Promise<Main> {
  return loadProgram<Main>('main') ?? (await import('./main.ts'));
}
