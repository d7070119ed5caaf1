/**
 * The real engine for the tests: GANTRYD_TEST_DOCKER, else where gantryd itself would look. Images and
 * containers that it makes bear names of their own and go when the suite ends.
 */
import { openEngine } from '../../src/docker/dockerode.ts';
import type { Engine } from '../../src/docker/engine.ts';
import { EngineApi } from './api.ts';
import type { Ground } from './contract.ts';
import { busyboxImage, removeImage, uniqueTag } from './images.ts';

export const ENGINE_ADDRESS: string | undefined = process.env.GANTRYD_TEST_DOCKER || undefined;

/** Given to `skip` of every test that needs the engine. */
export const NO_ENGINE: string | undefined =
  process.env.GANTRYD_TEST_NO_ENGINE === '1'
    ? 'GANTRYD_TEST_NO_ENGINE=1: no Docker engine to test on'
    : undefined;

export function openRealEngine(): Engine {
  return openEngine(ENGINE_ADDRESS === undefined ? {} : { address: ENGINE_ADDRESS });
}

export const api = new EngineApi(ENGINE_ADDRESS);

export function shell(script: string): readonly string[] {
  return ['sh', '-c', script];
}

export function realGround(): Ground {
  const image = uniqueTag();
  return {
    ...(NO_ENGINE === undefined ? {} : { skip: NO_ENGINE }),
    image,
    absentImage: uniqueTag(),
    setUp: async () => {
      await busyboxImage(ENGINE_ADDRESS, image);
    },
    tearDown: () => removeImage(ENGINE_ADDRESS, image),
    open: openRealEngine,
    commands: {
      polite: shell('trap "echo got TERM; exit 3" TERM; echo ready; while :; do sleep 0.05; done'),
      stubborn: shell('trap "" TERM; echo ready; while :; do sleep 1; done'),
      // Docker keeps the order within one stream; between the two only what is far enough apart.
      talks: shell(
        'for i in 1 3; do echo line $i; sleep 0.1; echo line $((i+1)) >&2; sleep 0.1; done; echo line 5; exit 7',
      ),
      missing: ['/no/such/program'],
      inside: shell('echo out; echo err >&2; exit 4'),
      well: ['true'],
      hangs: ['sleep', '30'],
      echoes: ['cat'],
    },
    async addForeign(name) {
      const { Id } = await api.json<{ Id: string }>('POST', `/containers/create?name=${name}`, {
        Image: image,
      });
      await api.send('POST', `/containers/${Id}/start`);
      return Id;
    },
    async removeForeign(id) {
      await api.send('DELETE', `/containers/${id}?force=1&v=1`);
    },
    async foreignRuns(id) {
      const { State } = await api.json<{ State: { Running: boolean } }>('GET', `/containers/${id}/json`);
      return State.Running;
    },
  };
}
