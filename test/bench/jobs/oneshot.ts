/** What a one-shot `true` costs as a whole process, beside `docker run --rm`, in turns on the same host. */
import type { Ends } from '../ends.ts';
import { openStage, type Say, shell, timed } from './stage.ts';

export async function measureOneShots(t: Ends, { rounds, say }: { rounds: number; say: Say }) {
  const { fleet, image } = await openStage(t, ['a']);
  const [host] = fleet.hosts;
  if (host === undefined) throw new Error('no host');
  const ours = () => timed(() => host.gantry(['job', 'run', '--image', image, '--command', 'true']));
  const theirs = () => timed(() => shell(host, `docker run --rm ${image} true`));
  const runs: { gantry: number; docker: number }[] = [];
  // The first of each warms caches.
  await ours();
  await theirs();
  for (let round = 1; round <= rounds; round++) {
    const gantry = (await ours()).ms;
    const docker = (await theirs()).ms;
    runs.push({ gantry, docker });
    say(`one-shot ${round} of ${rounds}: ${Math.round(gantry)} ms, docker run ${Math.round(docker)} ms`);
  }
  return { runs };
}
