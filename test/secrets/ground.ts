/** What the tests of secrets stand on: folders that go with the test, a project's secrets in memory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { keys } from '../../src/cluster/keys.ts';
import type { SecretPlace } from '../../src/secrets/secret-store.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';

export async function scratch(t: TestContext, parent: string = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'gantryd-secrets-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface MemoryPlace extends SecretPlace {
  readonly store: MemoryStore;
}

export function memoryPlace(project = 'shop', cluster = new MemoryCluster()): MemoryPlace {
  return { store: new MemoryStore(cluster), keys: keys().project(project), project };
}
