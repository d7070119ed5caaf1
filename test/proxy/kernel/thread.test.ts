import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SILENT } from '../../../src/log.ts';
import type { KernelEntry } from '../../../src/proxy/kernel/plane.ts';
import { openKernelThread } from '../../../src/proxy/kernel/thread.ts';
import { until } from '../ground.ts';

const ENTRY: KernelEntry = { protocol: 'tcp', address: '0.0.0.0', port: 1, targets: [] };
const NO_EVENTS = { targetDead() {}, targetGone() {}, restored() {} };

/** A thread that answers as `body` says, which has `asked` and `tell`. */
function threadOf(body: string): URL {
  const script = `
    import { parentPort } from 'node:worker_threads';
    const tell = (words) => parentPort.postMessage(words);
    parentPort.on('message', (asked) => { ${body} });
  `;
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
}

test('a thread that ends by a defect is replaced, and the next one is told what was in force', async (t) => {
  const gone: string[] = [];
  const events = { ...NO_EVENTS, targetGone: ({ id }: { id: string }) => gone.push(id) };
  const main = threadOf(`
    if (asked.name === 'ability') throw new Error('a defect');
    if (asked.name === 'apply') tell({ kind: 'gone', target: { id: 'told ' + asked.args[0][0].port } });
    tell({ kind: 'answer', id: asked.id });
  `);
  const plane = openKernelThread({ stateDir: '/', log: SILENT, events }, main);
  t.after(() => plane.close());
  await plane.apply([ENTRY]);
  const failed = { code: 'proxy-failed', retryable: true, message: /a defect/ };
  await assert.rejects(plane.ability('tcp'), failed);
  await until('the next one is told', () => gone.length === 2);
  assert.deepEqual(gone, ['told 1', 'told 1']);
});

test('a failure comes over from the thread as what it was', async (t) => {
  const failure = { code: 'proxy-failed', message: 'nft is tired', retryable: true, hint: 'wake it' };
  const main = threadOf(`
    if (asked.name === 'close') tell({ kind: 'answer', id: asked.id });
    else tell({ kind: 'failure', id: asked.id, failure: ${JSON.stringify(failure)} });
  `);
  const plane = openKernelThread({ stateDir: '/', log: SILENT, events: NO_EVENTS }, main);
  t.after(() => plane.close());
  await assert.rejects(plane.apply([ENTRY]), failure);
});

test('one that was never asked closes', async () => {
  await openKernelThread({ stateDir: '/', log: SILENT, events: NO_EVENTS }).close();
});
