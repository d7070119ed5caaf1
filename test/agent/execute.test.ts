/** What an executor does where another process was there between the look and the call. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { executors } from '../../src/agent/execute.ts';
import { EMPTY_RECORD, recordFile, withRelease } from '../../src/agent/record.ts';
import { secretMounts } from '../../src/agent/secret-mounts.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { specOf } from '../docker/components.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { FakeProxy } from '../fleet/fake-proxy.ts';
import { created, release, seen } from './builders.ts';

test('a container that another process started, and that has ended since the look, is not started again', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-execute-'));
  t.after(() => rm(stateDir, { recursive: true }));
  const shared = { project: 'shop', component: 'web', hostId: 'h1', engine: new FakeEngine() };
  const { engine } = shared;
  const { id: imageId } = engine.addImage('example/web:1');
  const id = await engine.create(specOf({}, { imageId, host: 'h1' }));
  const file = recordFile(stateDir, 'shop', 'web');
  await file.prepare();
  const { 'start-container': start } = executors({
    ...shared,
    proxy: new FakeProxy(),
    secrets: secretMounts({ ...shared, stateDir, port: undefined }),
    limits: DEFAULT_LIMITS,
    file,
    now: Date.now,
    tell: () => undefined,
    mayAdvance: () => true,
    keepsOld: false,
    lastVerdict: () => undefined,
    forget: async () => undefined,
    addressOf: () => undefined,
  });
  const stale = { record: withRelease(EMPTY_RECORD, release(1)), observed: seen([created(id, 1)]) };
  const action = { kind: 'start-container', component: 'web', container: id, why: 'created' } as const;

  await engine.start(id);
  engine.die(id);
  await start(action, stale, AbortSignal.timeout(10_000));
  assert.equal(engine.runs(id), false);
});
