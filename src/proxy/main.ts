/** What the processes of a proxy are started with: the proxy as the build made one file of it, else as the compiler left it. */
import { loadProgram } from '../packages.ts';

type Program = typeof import('./process.ts');

const { runProxy } = loadProgram<Program>('proxy') ?? (await import('./process.ts'));
runProxy();
