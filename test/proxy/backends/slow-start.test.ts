/** Who is picked among backends of which some have joined the others a short time ago. By a clock of its own. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { LiveBackend } from '../../../src/proxy/backends/backend.ts';
import type { Hold } from '../../../src/proxy/backends/hold.ts';
import { LiveRoute, type LiveTerms } from '../../../src/proxy/backends/live-route.ts';
import { joiningAt, SETTLED } from '../../../src/proxy/backends/slow-start.ts';
import { DEFAULT_LIMITS } from '../../../src/proxy/tables/routes.ts';
import { checkTable } from '../../../src/proxy/tables/table-check.ts';

const PORT = 80;
const SLOW_START_MS = 1_000;
const CLIENT = {} as Socket;
const SHOP_WEB = { owner: 'shop', component: 'web' };

function backend(id: string, joined?: number): LiveBackend {
  const made = new LiveBackend({ ...SHOP_WEB, id }, { host: '10.0.0.1' }, () => {});
  made.route({ host: '10.0.0.1' }, undefined, joined);
  return made;
}

function routeAt(clock: { now: number }, all: readonly LiveBackend[], terms: LiveTerms = {}): LiveRoute {
  return new LiveRoute(all, DEFAULT_LIMITS, {
    slowStartMs: SLOW_START_MS,
    now: () => clock.now,
    ...terms,
  });
}

/** How many of so many clients each gets when every one is gone before the next comes. */
function shares(route: LiveRoute, clients: number): Record<string, number> {
  const counts = Object.fromEntries(route.backends.map(({ name }) => [name.id, 0]));
  for (let n = 0; n < clients; n++) {
    const id = route.pick(PORT)?.name.id ?? assert.fail('nobody was picked');
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

/** The same where each client stays until so many others have come. */
function sharesUnderLoad(route: LiveRoute, clients: number, atATime: number): Record<string, number> {
  const counts = Object.fromEntries(route.backends.map(({ name }) => [name.id, 0]));
  const holds: Hold[] = [];
  for (let n = 0; n < clients; n++) {
    const picked = route.pick(PORT) ?? assert.fail('nobody was picked');
    counts[picked.name.id] = (counts[picked.name.id] ?? 0) + 1;
    holds.push(picked.hold('tcp', CLIENT));
    if (holds.length > atATime) holds.shift()?.release();
  }
  for (const hold of holds) hold.release();
  return counts;
}

function isAbout(actual: number | undefined, expected: number, what: string): void {
  assert.ok(Math.abs((actual ?? 0) - expected) <= 3, `${what}: ${actual}, not about ${expected}`);
}

test('the share of a fresh backend grows with its age to that of the others, idle or under load', () => {
  for (const [at, weight] of [
    [0, 0.1],
    [250, 0.325],
    [500, 0.55],
    [750, 0.775],
    [1_000, 1],
    [9_000, 1],
  ] as const) {
    const of = (share: typeof shares) =>
      share(routeAt({ now: at }, [backend('a'), backend('b'), backend('c'), backend('fresh', 0)]), 1_000);
    const expected = (1_000 * weight) / (3 + weight);
    for (const [what, got] of [
      ['idle', of(shares)],
      ['a few at a time', of((route, clients) => sharesUnderLoad(route, clients, 3))],
      ['many at a time', of((route, clients) => sharesUnderLoad(route, clients, 200))],
    ] as const) {
      isAbout(got.fresh, expected, `after ${at} ms, ${what}`);
      for (const id of ['a', 'b', 'c'])
        isAbout(got[id], (1_000 - (got.fresh ?? 0)) / 3, `${id} after ${at} ms, ${what}`);
    }
  }
});

test('the share grows while the route is in use, and then all are equal', () => {
  const clock = { now: 0 };
  const route = routeAt(clock, [backend('a'), backend('fresh', 0)]);
  const seen: number[] = [];
  for (clock.now = 0; clock.now <= 1_200; clock.now += 200) seen.push(shares(route, 100).fresh ?? 0);
  [9, 22, 31, 39, 45, 50, 50].forEach((expected, at) => void isAbout(seen[at], expected, `${at * 200} ms`));
});

test('a fresh backend that is slow gets less than its share', () => {
  const fresh = backend('fresh', 0);
  const route = routeAt({ now: 500 }, [backend('a'), fresh]);
  fresh.hold('tcp', CLIENT);
  assert.deepEqual(shares(route, 100), { a: 100, fresh: 0 });
});

test('what a fresh backend could not take while it was busy does not come over it afterwards', () => {
  const fresh = backend('fresh', 0);
  const route = routeAt({ now: 0 }, [backend('a'), fresh]);
  const hold = fresh.hold('tcp', CLIENT);
  shares(route, 1_000);
  hold.release();
  assert.ok((shares(route, 10).fresh ?? 0) <= 3);
});

test('no client goes without: fresh backends take what nobody else can', () => {
  const [a, fresh] = [backend('a'), backend('fresh', 0)];
  const route = routeAt({ now: 0 }, [a, fresh]);
  for (let n = 0; n < 20; n++) assert.equal(route.pick(PORT, new Set([a])), fresh);
  a.shun(PORT);
  assert.deepEqual(shares(route, 20), { a: 0, fresh: 20 });
  assert.deepEqual(shares(routeAt({ now: 0 }, [fresh]), 20), { fresh: 20 });
});

test('fresh backends among themselves share by age, and equals equally', () => {
  const older = routeAt({ now: 500 }, [backend('older', 0), backend('newer', 500)]);
  isAbout(shares(older, 650).newer, 100, 'of 0.55 and 0.1');
  const equals = routeAt({ now: 0 }, [backend('a', 0), backend('b', 0), backend('c', 0)]);
  assert.deepEqual(shares(equals, 300), { a: 100, b: 100, c: 100 });
});

test('the share of a canary is exact, whoever is fresh', () => {
  const all = [backend('a'), backend('b', 0), backend('new', 0), backend('newer', 100)];
  const canary = { id: 'release 2', backends: ['new', 'newer'], percent: 20 };
  const got = shares(routeAt({ now: 100 }, all, { canary }), 1_000);
  assert.equal((got.new ?? 0) + (got.newer ?? 0), 200);
  assert.ok((got.newer ?? 0) < (got.new ?? 0));
  assert.ok((got.b ?? 0) < (got.a ?? 0) / 4);
});

test('without a slow start nobody is held back', () => {
  const route = routeAt({ now: 0 }, [backend('a'), backend('fresh', 0)], { slowStartMs: undefined });
  assert.deepEqual(shares(route, 100), { a: 50, fresh: 50 });
});

test('among equals it is in turns, exactly, also beside one that is busy', () => {
  const busy = backend('busy');
  const route = routeAt({ now: 0 }, [busy, backend('b'), backend('c'), backend('d')]);
  busy.hold('tcp', CLIENT);
  assert.deepEqual(shares(route, 99), { busy: 0, b: 33, c: 33, d: 33 });
});

test('what older generations carry counts', () => {
  const [a, b] = [backend('a'), backend('b')];
  const route = routeAt({ now: 0 }, [a, b]);
  a.elsewhere = 2;
  b.hold('tcp', CLIENT);
  assert.deepEqual(shares(route, 10), { a: 0, b: 10 });
  a.elsewhere = 0;
  assert.deepEqual(shares(route, 10), { a: 10, b: 0 });
});

test('equals are picked by what is open alone, however fresh they are', () => {
  const [a, b] = [backend('a', 0), backend('b', 0)];
  const route = routeAt({ now: 0 }, [a, b]);
  a.hold('tcp', CLIENT);
  assert.deepEqual(shares(route, 100), { a: 0, b: 100 });
  const later = routeAt({ now: 50 }, [a, backend('later', 20)]);
  assert.deepEqual(shares(later, 100), { a: 0, later: 100 });
});

test('a fresh backend gets more than its share when the others hang', () => {
  const a = backend('a');
  const route = routeAt({ now: 500 }, [a, backend('fresh', 0)]);
  for (let n = 0; n < 50; n++) a.hold('tcp', CLIENT);
  assert.deepEqual(shares(route, 100), { a: 0, fresh: 100 });
});

test('who joins is as old as those that stay when more leave, else it joins now', () => {
  const [a, b, c] = [backend('a', 3), backend('b', 5), backend('c')] as const;
  const next = (...ids: readonly string[]) => ids.map((id) => ({ id }));
  const of = (present: readonly LiveBackend[], ...ids: readonly string[]) =>
    joiningAt(present, SHOP_WEB, next(...ids), 7);
  assert.equal(of([], 'a'), 7, 'the first');
  assert.equal(of([a], 'a', 'b'), 7, 'more');
  assert.equal(of([a, b], 'c', 'd'), 7, 'an update');
  assert.equal(of([a, b, c], 'a', 'b', 'd'), 7, 'one is replaced');
  assert.equal(of([a, b, c], 'b', 'd', 'e'), 5, 'a canary is promoted');
  assert.equal(
    of([a, b, c, backend('d'), backend('e')], 'b', 'c', 'f', 'g'),
    SETTLED,
    'one of two is settled',
  );
  a.unroute();
  assert.equal(of([a, b], 'b', 'd'), 7, 'who drains does not count');
  const theirs = joiningAt([b, c], { ...SHOP_WEB, component: 'api' }, next('c', 'd'), 7);
  assert.equal(theirs, 7, "another component's");
});

test('who leaves and comes back joins anew, who stays does not', () => {
  const it = backend('a', 5);
  it.route({ host: '10.0.0.1' }, undefined, 9);
  assert.equal(it.joinedAt, 5);
  it.unroute();
  it.route({ host: '10.0.0.1' }, undefined, 9);
  assert.equal(it.joinedAt, 9);
});

test('a slow start of a table is whole milliseconds', () => {
  const problemsOf = (slowStartMs: unknown) =>
    checkTable({
      routes: [{ component: 'web', listeners: [], backends: [], slowStartMs }],
      limits: DEFAULT_LIMITS,
    }).problems;
  assert.equal(problemsOf(30_000), undefined);
  assert.deepEqual(problemsOf(0.5), ['routes/0/slowStartMs must be a whole number, 0 or more']);
});
