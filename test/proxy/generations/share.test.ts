/** How many processes carry a host's clients, what is whose of a table's limits, and what they tell each other to balance by. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveBackend } from '../../../src/proxy/backends/backend.ts';
import { hearElsewhere, summedCounts } from '../../../src/proxy/generations/lasting.ts';
import { divided, workersWanted } from '../../../src/proxy/generations/share.ts';
import { DEFAULT_LIMITS, type ProxyLimits, type RouteTable } from '../../../src/proxy/tables/routes.ts';
import { checkTable } from '../../../src/proxy/tables/table-check.ts';

function tableWith(limits: Partial<ProxyLimits>, max = 10): RouteTable {
  const route = { component: 'web', listeners: [], backends: [], hold: { timeoutMs: 100, max } };
  return { routes: [route], limits: { ...DEFAULT_LIMITS, ...limits } };
}

test('of all tables the one that asks for most workers counts', () => {
  const wanted = (...workers: (number | 'auto' | undefined)[]) => {
    const tables = workers.map((count) => ({
      table: tableWith(count === undefined ? {} : { workers: count }),
    }));
    return workersWanted(tables, 4);
  };
  assert.deepEqual(
    [wanted(), wanted(undefined), wanted(2, 3), wanted('auto'), wanted(6, 'auto'), wanted(99)],
    [1, 1, 3, 4, 6, 64],
  );
});

test('what a host may have is divided among its workers, each of which may have one', () => {
  const parts = (maxConnections: number, of: number) =>
    Array.from(
      { length: of },
      (_, at) => divided(tableWith({ maxConnections }), { of, at }).limits.maxConnections,
    );
  assert.deepEqual(
    [parts(10, 3), parts(2, 3), parts(0, 2), parts(7, 1)],
    [[4, 3, 3], [1, 1, 1], [0, 0], [7]],
  );
  const rooms = [0, 1, 2, 3].map((at) => divided(tableWith({}, 5), { of: 4, at }).routes[0]?.hold?.max);
  assert.deepEqual(rooms, [2, 1, 1, 1]);
  const table = tableWith({ maxConnections: 10 });
  assert.equal(divided(table, { of: 1, at: 0 }), table);
});

test('a table asks for 1 to 64 workers, or for one for each core', () => {
  const problems = (workers: unknown) =>
    checkTable({ routes: [], limits: { ...DEFAULT_LIMITS, workers } }).problems?.join();
  assert.deepEqual([1, 64, 'auto', undefined].map(problems), [undefined, undefined, undefined, undefined]);
  for (const wrong of [0, 65, 1.5, '2', 'all', null])
    assert.equal(problems(wrong), 'limits/workers must be a whole number from 1 to 64, or auto');
});

test('what others have open is heard by backend, and forgotten when it is told no more', () => {
  const of = (id: string, open: number) => ({ owner: 'shop', component: 'web', id, open });
  const backends = ['a', 'b'].map((id) => ({ name: { owner: 'shop', component: 'web', id }, elsewhere: 0 }));
  const told = () => backends.map(({ elsewhere }) => elsewhere);
  const hear = (...counts: ReturnType<typeof of>[]) =>
    hearElsewhere(backends as unknown as LiveBackend[], summedCounts(counts));
  hear(of('a', 2), of('b', 0), of('a', 3));
  assert.deepEqual(told(), [5, 0]);
  hear(of('b', 1));
  assert.deepEqual(told(), [0, 1]);
});
