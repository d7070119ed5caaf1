/** One look, over an engine and a proxy in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Observer } from '../../src/agent/observe.ts';
import { type ComponentRecord, desiredOf } from '../../src/agent/record.ts';
import { specOf } from '../docker/components.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { FakeProxy } from '../fleet/fake-proxy.ts';
import { component, release } from './builders.ts';

test('a look that is under way when its observer is closed begins no checks', async () => {
  const engine = new FakeEngine();
  engine.addImage('app', 'sha256:aa');
  const check = { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 10, timeoutMs: 500 } as const;
  const made = release(7, { component: component({ readyChecks: [{ ...check, fall: 3, rise: 1 }] }) });
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: 7, releases: [made], marks: {}, linkPorts: {} },
  };
  await engine.start(await engine.create(specOf()));
  const quiet = { heal: true, now: Date.now, tell: () => {}, poke: () => {} };
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: new FakeProxy() };
  const observer = new Observer({ ...at, ...quiet });
  const memory = { busy: new Set<string>(), startAfter: 0, mayAdvance: () => true };
  const look = observer.observe(desiredOf('shop', 'web', record), record, memory);
  await observer.close();
  assert.equal((await look).containers.length, 1);
  await delay(100);
  assert.deepEqual(
    engine.calls.filter((c) => c.startsWith('exec')),
    [],
  );
});
