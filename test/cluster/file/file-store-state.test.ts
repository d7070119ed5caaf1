import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Draft,
  EMPTY,
  holding,
  listingOf,
  stateOf,
  textOf,
} from '../../../src/cluster/file/file-store-state.ts';
import type { Write } from '../../../src/cluster/store.ts';

const LEASE = { id: 'l1', process: { boot: 'b', pid: 7, start: '99' } };
const GRANTED = new Map([[LEASE.id, LEASE]]);
const put = (key: string, lease?: string): Write => ({
  kind: 'put',
  key,
  value: JSON.stringify({ said: 'ü "quoted"\n\u2028' }),
  ...(lease === undefined ? {} : { lease }),
});

test('what is written is read back, keys with odd names too', () => {
  const draft = new Draft(EMPTY);
  draft.commit([], [put('/a'), put('/b', 'l1'), put('__proto__')], GRANTED);
  draft.leave('l1', 12);
  assert.deepEqual(stateOf(textOf(draft.state())), draft.state());
  assert.deepEqual(stateOf(textOf(EMPTY)), EMPTY);
});

test('text of no store is not read', () => {
  const whole = textOf(EMPTY);
  for (const text of ['', '{}', '[]', 'null', whole.slice(0, -3), whole.replace('"format":1', '"format":2')])
    assert.equal(stateOf(text), undefined, text);
});

test('a lease comes with its first key, and only if the commit is done', () => {
  const draft = new Draft(EMPTY);
  draft.commit([{ key: '/a', modRevision: 5 }], [put('/a', 'l1')], GRANTED);
  assert.equal(draft.state().leases.size, 0);
  assert.throws(() => draft.commit([], [put('/b'), put('/a', 'l2')], GRANTED), /the lease l2 has ended/);
  assert.equal(draft.changed, false);
  draft.commit([], [put('/a', 'l1')], GRANTED);
  assert.deepEqual([...draft.state().leases.values()], [LEASE]);
  assert.ok(holding(draft.state(), new Set(['l1'])));
});

test('leases that end take their keys with them as one write; one that holds nothing is no write', () => {
  const draft = new Draft(EMPTY);
  draft.commit([], [put('/a', 'l1'), put('/b', 'l1'), put('/c')], GRANTED);
  const { revision } = draft.state();
  const ending = new Draft(draft.state());
  ending.end(['l1', 'unknown']);
  const { entries } = listingOf(ending.state(), { from: '/', to: '0' });
  assert.deepEqual([entries.map(({ key }) => key), ending.state().revision], [['/c'], revision + 1]);
  const again = new Draft(ending.state());
  again.end(['l1']);
  assert.deepEqual([again.changed, again.state().revision], [false, revision + 1]);
});
