import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EMPTY_RECORD, recordFile } from '../../src/agent/record.ts';
import { recordsVersion } from '../../src/agent/record-folder.ts';

const HOUR_MS = 3_600_000;

test('the records of a project are the same until one of them is written', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-records-'));
  t.after(() => rm(stateDir, { recursive: true }));
  const later = () => recordsVersion(stateDir, 'shop', Date.now() + HOUR_MS);
  assert.equal(await later(), 'none');
  const [web, db] = ['web', 'db'].map((component) => recordFile(stateDir, 'shop', component));
  await web?.prepare();
  await web?.write(EMPTY_RECORD);
  const first = await later();
  assert.equal(await later(), first);
  await db?.write(EMPTY_RECORD);
  const second = await later();
  assert.notEqual(second, first);
  await web?.write(EMPTY_RECORD);
  assert.notEqual(await later(), second);
  assert.equal(await recordsVersion(stateDir, 'other'), 'none');
});

test('shortly after a write nothing is said: another one might not be seen', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-records-'));
  t.after(() => rm(stateDir, { recursive: true }));
  const file = recordFile(stateDir, 'shop', 'web');
  await file.prepare();
  await file.write(EMPTY_RECORD);
  assert.equal(await recordsVersion(stateDir, 'shop'), undefined);
  // A clock that was set back says as little.
  assert.equal(await recordsVersion(stateDir, 'shop', Date.now() + 100), undefined);
});
