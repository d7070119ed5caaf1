/** `gantry`: asks the runner of this box where that is quicker, and else is the command itself. */
import { endProcess, watchStreams } from './streams.ts';

export async function gantry(): Promise<void> {
  const lost = watchStreams();
  const [, , ...argv] = process.argv;
  const asked = argv[0] === 'job' && argv[1] === 'run' ? await askedFor(argv.slice(2), lost) : argv;
  if (asked === undefined) return;
  const { loadMain } = await import('./program.ts');
  const { main } = await loadMain();
  // The program that the build makes has modules of its own: they would watch the streams a second time.
  await main('gantry', asked, lost);
}

/** The command that is left to do; undefined: it is done. */
async function askedFor(
  words: readonly string[],
  lost: () => boolean,
): Promise<readonly string[] | undefined> {
  const { askRunner } = await import('./runner/client.ts');
  const asked = await askRunner(words);
  if (asked.kind === 'broken') return asked.argv;
  if (asked.kind === 'declined') return ['job', 'run', ...words];
  endProcess(asked.exitCode, lost);
  return undefined;
}
