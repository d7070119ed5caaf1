/**
 * A pipeline of three steps that moves text through all of them, beside the same three containers in a shell's pipe,
 * on the same host and in turns. The shell's containers log as `docker run` does by default, and once more not at all.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '../../ground/hosts.ts';
import type { Ends } from '../ends.ts';
import { openStage, type Say, shell, timed } from './stage.ts';

const LOOK_MS = 200;
/** One megabyte of lines of 1 KiB, again and again: what a file's content could be. */
const LINE = 'x'.repeat(1023);

export async function measurePipelines(
  t: Ends,
  { mebibytes, rounds, say }: { mebibytes: number; rounds: number; say: Say },
) {
  const { fleet, image } = await openStage(t, ['a']);
  const [host] = fleet.hosts;
  if (host === undefined) throw new Error('no host');
  const [first, second, third] = [
    `yes ${LINE} | head -c ${mebibytes * 1024 * 1024}`,
    'cat',
    'wc -c',
  ] as const;
  const job = join(host.folder, 'pipeline.json');
  const step = (name: string, command: string) => ({ name, image, command: ['sh', '-c', command] });
  await writeFile(
    job,
    JSON.stringify({
      name: 'bench',
      steps: [step('first', first), step('second', second), step('third', third)],
    }),
  );
  const docker = (options: string) =>
    timed(() =>
      shell(
        host,
        [
          `docker run --rm ${options} ${image} sh -c '${first}'`,
          `docker run --rm -i ${options} ${image} ${second}`,
          `docker run --rm -i ${options} ${image} ${third}`,
        ].join(' | '),
      ),
    );
  const runs: { gantry: number; docker: number; unlogged: number; peakMiB: number }[] = [];
  for (let round = 1; round <= rounds; round++) {
    const memory = watchMemory(host);
    const ours = await timed(() => host.gantry(['job', 'submit', job, '--follow'], { timeoutMs: 900_000 }));
    const peakMiB = await memory.end();
    expectBytes(ours.result.stdout, mebibytes);
    const theirs = await docker('');
    expectBytes(theirs.result.stdout, mebibytes);
    const unlogged = await docker('--log-driver none');
    runs.push({ gantry: ours.ms, docker: theirs.ms, unlogged: unlogged.ms, peakMiB });
    say(
      `pipeline ${round} of ${rounds}: ${Math.round(ours.ms)} ms with ${Math.round(peakMiB)} MiB at most, docker run ${Math.round(theirs.ms)} ms, without logs ${Math.round(unlogged.ms)} ms`,
    );
  }
  return { mebibytes, runs };
}

function expectBytes(stdout: string, mebibytes: number): void {
  const last = stdout.trim().split('\n').at(-1)?.trim();
  if (last !== `${mebibytes * 1024 * 1024}`) throw new Error(`the pipeline counted ${last} bytes`);
}

/** The most that any gantry process with this host's state directory has used (VmHWM, proc(5)). */
function watchMemory(host: Host): { end(): Promise<number> } {
  let most = 0;
  let over = false;
  const look = async () => {
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (!command.includes('gantry')) continue;
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      if (!command.includes(host.stateDir) && !environment.includes(host.stateDir)) continue;
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      most = Math.max(most, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
    }
  };
  const looking = (async () => {
    while (!over) {
      await look();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  })();
  return {
    async end() {
      over = true;
      await looking;
      return most;
    },
  };
}
