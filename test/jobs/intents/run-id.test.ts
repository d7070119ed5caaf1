import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handId, runId, scheduleInIds, tickId } from '../../../src/jobs/intents/run-id.ts';

const AT = Date.parse('2026-11-21T14:30:22.987Z');

test('a run is named by its job, the second, and four letters by chance', () => {
  assert.equal(
    runId('backup', AT, () => 0.5),
    'backup.20261121T143022Z-iiii',
  );
  assert.match(runId('', AT), /^job\.20261121T143022Z-[0-9a-z]{4}$/);
});

test("a schedule's tick has one name, and a run of it by hand begins alike", () => {
  assert.equal(tickId('nightly', Date.parse('2026-11-21T14:30:00Z')), 'nightly.20261121T143000Z');
  assert.match(handId('nightly', AT), /^nightly\.20261121T143022Z-[0-9a-z]{4}$/);
});

test('names are made fit for keys, files and containers', () => {
  const name = (job: string) => runId(job, AT).split('.')[0];
  assert.equal(name('href counter/ä 1'), 'href_counter_1');
  assert.equal(name('../../etc'), 'etc');
  assert.equal(name('-x'), 'x');
  assert.equal(name('…'), 'job');
  assert.equal(name('a'.repeat(300)), 'a'.repeat(63));
});

test('two schedules never share the names of their runs', () => {
  assert.equal(scheduleInIds('my_job'), 'my_job');
  const others = ['my job', 'my/job', 'my.job', '_my_job', '', 'a'.repeat(64), `${'a'.repeat(64)}b`];
  const names = others.map(scheduleInIds);
  assert.equal(new Set([...names, 'my_job', 'job', 'a'.repeat(63)]).size, others.length + 3);
  for (const found of names) assert.match(found, /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/);
});

test('ids of one name sort by time', () => {
  const times = [0, 1, 61, 3601, 86_401, 40 * 86_400].map((s) => AT + s * 1000);
  const ids = times.map((at) => runId('a', at));
  assert.deepEqual([...ids].reverse().sort(), ids);
});
