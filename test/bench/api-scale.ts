/**
 * `gantryd scale … --wait` from one container to many, beside as many of `docker run -d` started together, of the same
 * image on the same engine and in turns. What was started is gone again before the other begins.
 */
import { until } from '../ground/harness.ts';
import { deployed, openApiStage, quickComponent, quickImage, type Say } from './api-stage.ts';
import { WEB } from './continuity-stage.ts';
import type { Ends } from './ends.ts';
import { shell, timed } from './jobs-stage.ts';

export interface ScalingOptions {
  readonly instances: number;
  readonly rounds: number;
  readonly say: Say;
}

/** Milliseconds of whole commands. */
interface Round {
  readonly gantry: number;
  readonly docker: number;
}

const LABEL = 'bench=scale';
const GONE_MS = 60_000;

export async function measureScaling(t: Ends, { instances, rounds, say }: ScalingOptions) {
  const stage = await openApiStage(t);
  const { shop, host } = stage;
  const image = await quickImage(stage);
  await deployed(stage, [quickComponent(WEB, image)], say);
  const running = async () => (await host.containers()).filter(({ state }) => state === 'running').length;
  const expect = async (count: number) => {
    const seen = await running();
    if (seen !== count) throw new Error(`${seen} containers run, not ${count}`);
  };
  const untilAlone = () =>
    until(async () => (await host.containers()).length === 1, {
      timeoutMs: GONE_MS,
      what: 'one container to be left',
    });
  const ours = async () => {
    const { ms } = await timed(() => shop.on(host, 'scale', `${WEB}=${instances}`, '--wait'));
    await expect(instances);
    await shop.must('scale', `${WEB}=1`, '--wait');
    await untilAlone();
    return ms;
  };
  const one = `docker run -d --label ${LABEL} ${image}`;
  const theirs = async () => {
    const { ms } = await timed(() =>
      shell(host, `for i in $(seq ${instances - 1}); do ${one} >/dev/null & done; wait`),
    );
    await expect(instances);
    await timed(() => shell(host, `docker rm -f $(docker ps -aq --filter label=${LABEL})`));
    await untilAlone();
    return ms;
  };
  // The first of each warms caches.
  await ours();
  await theirs();
  const runs: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    const [gantry, docker] = [await ours(), await theirs()];
    runs.push({ gantry, docker });
    say(`scale ${round} of ${rounds}: ${Math.round(gantry)} ms, docker run ${Math.round(docker)} ms`);
  }
  return { instances, runs };
}
