import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { inputOnItsWay, receiveInput, runFolder, sizeOf } from '../../../src/jobs/disk/run-folder.ts';
import { tempFolder, until } from '../../ground/harness.ts';

async function arrived(path: string, bytes: number): Promise<void> {
  await until(async () => (await sizeOf(path)) === bytes, { timeoutMs: 5_000, what: `${bytes} bytes` });
}

test('an input that is sent again is whole, whenever the first one turns out to be cut', async (t) => {
  const folder = runFolder(join(await tempFolder(t), 'state'), 'shop', 'a');
  const part = inputOnItsWay(folder);
  const signal = new AbortController().signal;
  const [first, again] = [new PassThrough(), new PassThrough()];
  const cut = receiveInput(folder, first, signal);
  first.write('half of');
  await arrived(part, 7);
  const whole = receiveInput(folder, again, signal);
  again.write('all ');
  await arrived(part, 4);
  first.destroy(new Error('reset'));
  await assert.rejects(cut, /reset/);
  again.end('of it');
  await whole;
  assert.equal(await readFile(folder.input, 'utf8'), 'all of it');
  assert.equal(await sizeOf(part), undefined);
});

test('an input that was overtaken does not take the place of the other one', async (t) => {
  const folder = runFolder(join(await tempFolder(t), 'state'), 'shop', 'a');
  const signal = new AbortController().signal;
  const [first, again] = [new PassThrough(), new PassThrough()];
  const slow = receiveInput(folder, first, signal);
  first.write('old');
  await arrived(inputOnItsWay(folder), 3);
  again.end('new one');
  await receiveInput(folder, again, signal);
  first.end();
  await assert.rejects(slow, { code: 'output-gone', retryable: true });
  assert.equal(await readFile(folder.input, 'utf8'), 'new one');
});
