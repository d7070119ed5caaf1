import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStored } from '../../src/config/parse.ts';
import { linesFor } from './problem-lines.ts';

const withNotify = (...notify: readonly object[]) => ({
  components: [{ name: 'web', repo: 'nginx' }],
  notify,
});

test('who is told is told of everything, and a drain is long after ten minutes, unless the file says otherwise', () => {
  const result = parseStored(
    withNotify(
      { url: 'https://a/hook' },
      { url: 'http://b:81/?x=1', on: ['rollback'], secret: 's', drainLongerThan: 1000 },
    ),
    'shop',
  );
  assert.ok('project' in result);
  assert.deepEqual(result.project.notify, [
    {
      url: 'https://a/hook',
      on: ['failed-deploy', 'rollback', 'mass-failure', 'long-drain', 'failed-run'],
      drainLongerThanMs: 600_000,
    },
    { url: 'http://b:81/?x=1', on: ['rollback'], secret: 's', drainLongerThanMs: 1000 },
  ]);
});

test('an address that is none, holds a password or is of another scheme is refused', () => {
  for (const url of ['ftp://a/b', 'a/b', 'https://ann:pw@a/', 'https://', 'https://a b/', 'https://a/#x'])
    assert.equal(linesFor(withNotify({ url })).length, 1, url);
  assert.equal(linesFor(withNotify({ url: 'https://a/', on: ['deploy'] })).length, 1);
  assert.equal(linesFor(withNotify({ on: ['rollback'] })).length, 1);
});
