/**
 * `gantryd scale … --wait` from one container to many, beside as many of `docker run -d` started together, of the same
 * image on the same engine and in turns. What was started is gone again before the other begins.
 */
import { until } from '../../ground/harness.ts';
import type { Host } from '../../ground/hosts.ts';
import { WEB } from '../continuity/stage.ts';
import type { Ends } from '../ends.ts';
import { shell, timed } from '../jobs/stage.ts';
import { type ApiStage, deployed, openApiStage, quickComponent, quickImage, type Say } from './stage.ts';

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
  const image = await quickImage(stage);
  await deployed(stage, [quickComponent(WEB, image)], say);
  const ours = () => scaled(stage, instances);
  const theirs = () => startedByDocker(stage, image, instances);
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

async function scaled({ shop, host }: ApiStage, instances: number): Promise<number> {
  const { ms } = await timed(() => shop.on(host, 'scale', `${WEB}=${instances}`, '--wait'));
  await expectRunning(host, instances);
  await shop.must('scale', `${WEB}=1`, '--wait');
  await untilAlone(host);
  return ms;
}

async function startedByDocker({ host }: ApiStage, image: string, instances: number): Promise<number> {
  const one = `docker run -d --label ${LABEL} ${image} >/dev/null`;
  const { ms } = await timed(() => shell(host, `for i in $(seq ${instances - 1}); do ${one} & done; wait`));
  await expectRunning(host, instances);
  await timed(() => shell(host, `docker rm -f $(docker ps -aq --filter label=${LABEL})`));
  await untilAlone(host);
  return ms;
}

async function expectRunning(host: Host, count: number): Promise<void> {
  const running = (await host.containers()).filter(({ state }) => state === 'running').length;
  if (running !== count) throw new Error(`${running} containers run, not ${count}`);
}

/** Only the one that it is scaled from is left. */
async function untilAlone(host: Host): Promise<void> {
  const isAlone = async () => (await host.containers()).length === 1;
  await until(isAlone, { timeoutMs: GONE_MS, what: 'one container to be left' });
}
