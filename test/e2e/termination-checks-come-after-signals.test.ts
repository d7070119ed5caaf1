/** A termination check must not count before the signals are sent: idle a moment ago may be busy by then. */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutEngine, tempFolder } from '../ground/harness.ts';
import { openExample } from './example.ts';

/** Idle until it is told to finish, which then takes a second. Writes down how SIGTERM found it. */
const FINISHER = `
  let busyUntil = 0;
  const busy = () => Date.now() < busyUntil;
  require('node:http').createServer((request, response) => {
    if (request.url === '/finish') busyUntil = Date.now() + 1000;
    response.writeHead(request.url === '/idle' && busy() ? 503 : 200).end();
  }).listen(8080);
  process.on('SIGTERM', () => {
    require('node:fs').writeFileSync('/jobs/end', busy() ? 'busy' : 'finished');
    process.exit(0);
  });
`;

test('what passes before the termination signals does not end the drain', {
  skip: skipWithoutEngine,
}, async (t) => {
  const folder = join(await tempFolder(t), 'jobs');
  await mkdir(folder);
  const bindings = JSON.stringify([{ external: folder, volume: '/jobs' }]);
  const command = JSON.stringify(['node', '-e', FINISHER]);
  const overrides = [`bindings=${bindings}`, `command=${command}`];
  const worker = await openExample(t, 'worker/worker.yaml', { worker: overrides });
  await worker.gantry('start', 'worker');
  await worker.gantry('stop', 'worker');
  assert.equal(await readFile(join(folder, 'end'), 'utf8'), 'finished');
});
