import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keys } from '../../../src/cluster/keys.ts';
import type { Store } from '../../../src/cluster/store.ts';
import { lookAtProject } from '../../../src/fleet/intents/look.ts';
import { setConfig } from '../../../src/fleet/intents/stored-config.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { meddled } from './intents-ground.ts';

const on = (store: Store) => ({ store, keys: keys(), now: () => 0 });
const file = (tag: string) => ({ components: [{ name: 'web', repo: 'web', tag }] });
const asked = (tag: string) => ({ project: 'shop', file: file(tag), by: 'me@here' });

describe('a config that is for one revision alone, where the answer of etcd is lost', () => {
  test('is not written over what another one has set since', async (t) => {
    const { store, revision } = await first(t);
    const after = async () => void (await setConfig(on(store), asked('theirs')));
    for (const answer of ['dropped', 'lost'] as const) {
      const lossy = on(meddled(store, [{ answer, after }]));
      const ours = setConfig(lossy, { ...asked('ours'), expected: await revision() });
      await assert.rejects(ours, { code: 'config-changed' });
      assert.deepEqual((await lookAtProject(on(store), 'shop')).config.value?.file, file('theirs'));
    }
  });

  test('is set once, whether that was written or not', async (t) => {
    const { store, revision } = await first(t);
    for (const answer of ['dropped', 'lost'] as const) {
      const lossy = on(meddled(store, [{ answer }]));
      await setConfig(lossy, { ...asked(answer), expected: await revision() });
      assert.deepEqual((await lookAtProject(on(store), 'shop')).config.value?.file, file(answer));
    }
  });
});

async function first(t: { after(clean: () => void): void }) {
  const store = new MemoryStore(new MemoryCluster());
  t.after(() => void store.close());
  await setConfig(on(store), asked('first'));
  const revision = async () => (await lookAtProject(on(store), 'shop')).config.modRevision;
  return { store, revision };
}
