/** The example `worker` must do what its README says: every job is done once, whoever is replaced meanwhile. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutEngine, tempFolder, until } from '../ground/harness.ts';
import { openExample } from './example.ts';

const WAIT_MS = 30_000;
/** More than can be done in the time, so that some are left when it is stopped. */
const JOBS = [...'abcdefghijklmnopqrst'];

test('worker: an update and a stop let it finish the job in hand', { skip: skipWithoutEngine }, async (t) => {
  const folder = join(await tempFolder(t), 'jobs');
  await mkdir(folder);
  for (const job of JOBS) await writeFile(join(folder, `${job}.todo`), '');
  const bindings = JSON.stringify([{ external: folder, volume: '/jobs' }]);
  const overrides = [`bindings=${bindings}`, 'environmentVariables.WORK_MS=1500'];
  const worker = await openExample(t, 'worker/worker.yaml', { worker: overrides });

  await worker.gantry('start', 'worker');
  const first = await inHand(folder);
  await worker.gantry('update', 'worker', 'tag=v2');
  assert.equal(await readFile(join(folder, `${first}.done`), 'utf8'), 'done by v1\n');

  await until(async () => (await doneBy(folder)).includes('v2'), { timeoutMs: WAIT_MS, what: 'a job of v2' });
  const last = await inHand(folder);
  await worker.gantry('stop', 'worker', 'tag=v2');
  assert.equal(await readFile(join(folder, `${last}.done`), 'utf8'), 'done by v2\n');
  const left = await readdir(folder);
  assert.deepEqual(left.map((name) => name.replace(/\..*/, '')).sort(), JOBS);
  assert.deepEqual(
    left.filter((name) => name.endsWith('.doing')),
    [],
  );
});

/** The job that is worked on. */
async function inHand(folder: string): Promise<string> {
  const find = async () => (await readdir(folder)).find((name) => name.endsWith('.doing'));
  return (await until(find, { timeoutMs: WAIT_MS, what: 'a job in hand' })).replace('.doing', '');
}

async function doneBy(folder: string): Promise<readonly string[]> {
  const done = (await readdir(folder)).filter((name) => name.endsWith('.done'));
  const texts = await Promise.all(done.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.map((text) => text.replace('done by ', '').trim());
}
