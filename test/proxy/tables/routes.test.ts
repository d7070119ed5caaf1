import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DEFAULT_LIMITS,
  diffListeners,
  EMPTY_TABLE,
  ledRoutes,
  linkRouteName,
  placeKey,
  placesOverlap,
  type Route,
  type RoutedListener,
  routeOf,
  withBackends,
  withRoute,
} from '../../../src/proxy/tables/routes.ts';
import { checkOwner, checkTable } from '../../../src/proxy/tables/table-check.ts';

function listener(address: string, port: number, kind: 'http' | 'tcp' = 'http'): RoutedListener {
  return { address, port, kind, containerPort: 80, component: 'web' };
}

const PLACE = { address: '0.0.0.0', port: 53, containerPort: 53 } as const;

test('a route is replaced in its table and the others stay', () => {
  const web = { component: 'web', listeners: [], backends: [{ id: 'a', host: '10.0.0.1' }] };
  const api = { component: 'api', listeners: [], backends: [] };
  const table = withRoute(withRoute(EMPTY_TABLE, 'web', web), 'api', api);
  assert.deepEqual(routeOf(table, 'web'), web);
  assert.deepEqual(withRoute(table, 'web', undefined).routes, [api]);
  assert.deepEqual(EMPTY_TABLE.routes, []);
});

test('a table is kept to the backends that are there, and is the same one when all are', () => {
  const [a, b] = [
    { id: 'a', host: '10.0.0.1' },
    { id: 'b', host: '10.0.0.2' },
  ];
  const table = withRoute(EMPTY_TABLE, 'web', { component: 'web', listeners: [], backends: [a, b] });
  assert.deepEqual(
    routeOf(
      withBackends(table, (id) => id === 'b'),
      'web',
    )?.backends,
    [b],
  );
  assert.equal(
    withBackends(table, () => true),
    table,
  );
});

const DB = { component: 'db', listeners: [], backends: [{ id: 'a', host: '10.0.0.1' }] };
const ELSEWHERE = [{ id: 'link:db@other', host: '10.9.9.9', port: 7000 }];
const DB_LINK = { component: linkRouteName('db'), listeners: [], backends: ELSEWHERE, via: 'db' };

test("a link leads to the exporter's containers while its route has any, else to its own backends", () => {
  const linkIn = (routes: readonly Route[]) =>
    ledRoutes({ ...EMPTY_TABLE, routes }).find(({ component }) => component === 'link:db');
  const own = { component: 'link:db', listeners: [], backends: ELSEWHERE, leadsTo: 'link:db' };
  assert.deepEqual(linkIn([DB_LINK, DB]), { ...own, backends: DB.backends, leadsTo: 'db' });
  assert.deepEqual(linkIn([DB_LINK, { ...DB, backends: [] }]), own);
  assert.deepEqual(linkIn([DB_LINK]), own);
  const { via: _, ...direct } = DB_LINK;
  assert.deepEqual(linkIn([direct, DB]), own);
  assert.deepEqual(ledRoutes({ ...EMPTY_TABLE, routes: [DB] }), [{ ...DB, leadsTo: 'db' }]);
});

test("a link splits its clients as the exporter's own route does", () => {
  const canary = { id: 'release 2', backends: ['a'], percent: 10 };
  const led = ledRoutes({ ...EMPTY_TABLE, routes: [{ ...DB, canary }, DB_LINK] });
  assert.deepEqual(
    led.map((route) => route.canary),
    [canary, canary],
  );
  const elsewhere = ledRoutes({ ...EMPTY_TABLE, routes: [{ ...DB, canary, backends: [] }, DB_LINK] });
  assert.equal(elsewhere[1]?.canary, undefined);
});

test('what another host offers is no container that could be gone', () => {
  const table = { ...EMPTY_TABLE, routes: [DB_LINK, DB] };
  const kept = withBackends(table, () => false);
  assert.deepEqual(kept.routes, [DB_LINK, { ...DB, backends: [] }]);
  assert.equal(
    withBackends(kept, () => false),
    kept,
  );
});

test('only a link goes via a component, and only a link has a colon', () => {
  const problemsOf = (...routes: readonly object[]) => checkTable({ ...EMPTY_TABLE, routes }).problems ?? [];
  assert.deepEqual(problemsOf(DB_LINK, DB), []);
  assert.deepEqual(problemsOf({ ...DB, via: 'web' }), ['routes/0/via is for routes called link:NAME']);
  const bad = 'routes/0/via must be the name of a component';
  for (const via of ['', 'link:db', 7, null]) assert.deepEqual(problemsOf({ ...DB_LINK, via }), [bad]);
  for (const component of ['link:', 'link:a:b', 'db:link', ':'])
    assert.deepEqual(problemsOf({ ...DB, component }), [
      'routes/0/component must have no colon, or be link:NAME',
    ]);
  assert.deepEqual(problemsOf({ ...DB, backends: [{ id: 'a', host: '::1', port: 0 }] }), [
    'routes/0/backends/0/port must be a port (1-65535)',
  ]);
  assert.deepEqual(problemsOf({ ...DB, backends: [{ id: 'a', host: '::1', release: 'v1' }] }), [
    'routes/0/backends/0/release must be a whole number, 0 or more',
  ]);
});

test('two places overlap when the kernel would let only one of them listen', () => {
  const overlap = (a: string, b: string, port = 80) =>
    placesOverlap({ address: a, port: 80 }, { address: b, port });
  assert.equal(overlap('127.0.0.1', '127.0.0.1'), true);
  assert.equal(overlap('0.0.0.0', '127.0.0.1'), true);
  assert.equal(overlap('127.0.0.1', '::'), true);
  assert.equal(overlap('0.0.0.0', '::'), true);
  assert.equal(overlap('0.0.0.0', '::1'), false);
  assert.equal(overlap('127.0.0.1', '127.0.0.2'), false);
  assert.equal(overlap('0.0.0.0', '127.0.0.1', 81), false);
});

test('a swap opens what is new, closes what is gone and keeps the rest even if its kind changes', () => {
  const diff = diffListeners(
    [listener('127.0.0.1', 80), listener('127.0.0.1', 81), listener('::1', 80)],
    [listener('127.0.0.1', 80, 'tcp'), listener('127.0.0.1', 82), listener('::1', 80)],
  );
  assert.deepEqual(diff.open, [listener('127.0.0.1', 82)]);
  assert.deepEqual(diff.keep, [listener('127.0.0.1', 80, 'tcp'), listener('::1', 80)]);
  assert.deepEqual(diff.close, [listener('127.0.0.1', 81)]);
});

test('a table is checked whole: every problem is told with its place', () => {
  const { problems } = checkTable({
    routes: [
      {
        component: '',
        listeners: [{ address: 'localhost', port: 0, kind: 'sctp', containerPort: 70_000 }],
        backends: [{ id: 'a', host: 'a.example' }],
      },
      'nothing',
    ],
    limits: { ...DEFAULT_LIMITS, maxConnections: -1 },
  });
  assert.deepEqual(problems, [
    'routes/0/component must be a name',
    'routes/0/listeners/0/address must be an IP address',
    'routes/0/listeners/0/port must be a port (1-65535)',
    'routes/0/listeners/0/containerPort must be a port (1-65535)',
    'routes/0/listeners/0/kind must be http, tcp or udp',
    'routes/0/backends/0/host must be an IP address',
    'routes/1 must be an object',
    'limits/maxConnections must be a whole number, 0 or more',
  ]);
});

test('only connections and datagrams of components are led by the kernel', () => {
  const problems = (component: string, kind: string, plane?: string) =>
    checkTable({
      routes: [{ component, listeners: [{ ...PLACE, kind, plane }], backends: [] }],
      limits: DEFAULT_LIMITS,
    }).problems;
  assert.equal(problems('web', 'tcp', 'kernel'), undefined);
  assert.equal(problems('web', 'tcp', 'auto'), undefined);
  assert.equal(problems('web', 'udp'), undefined);
  assert.equal(problems('link:db', 'tcp'), undefined);
  const at = 'routes/0/listeners';
  assert.deepEqual(problems('web', 'tcp', 'fast'), [`${at}/0/plane must be userspace, kernel or auto`]);
  assert.deepEqual(problems('web', 'http', 'auto'), [`${at}/0/plane must be userspace with kind http`]);
  assert.deepEqual(problems('web', 'udp', 'auto'), [`${at}/0/plane must be kernel with kind udp`]);
  assert.deepEqual(problems('link:db', 'tcp', 'kernel'), [`${at} of a link must be of the plane userspace`]);
});

test('a port of udp and one of connections do not meet', () => {
  const [tcp, udp] = [
    { ...PLACE, kind: 'tcp' },
    { ...PLACE, kind: 'udp' },
  ] as const;
  assert.equal(placesOverlap(tcp, udp), false);
  assert.equal(placesOverlap(udp, { ...udp, address: '127.0.0.1' }), true);
  assert.deepEqual([placeKey(tcp), placeKey(udp)], ['0.0.0.0:53', '0.0.0.0:53/udp']);
});

test('a table that contradicts itself is refused', () => {
  const route = (component: string, address: string) => ({
    component,
    listeners: [{ address, port: 80, kind: 'http', containerPort: 80 }],
    backends: [
      { id: 'a', host: '10.0.0.1' },
      { id: 'a', host: '10.0.0.2' },
    ],
  });
  const { problems } = checkTable({
    routes: [route('web', '0.0.0.0'), route('api', '127.0.0.1'), { ...route('web', '::1'), backends: [] }],
    limits: DEFAULT_LIMITS,
  });
  assert.deepEqual(problems, [
    'component web has two routes',
    'component web has backend a twice',
    'component api has backend a twice',
    'web on 0.0.0.0:80 and api on 127.0.0.1:80 exclude each other',
  ]);
});

test('an owner may be called anything printable', () => {
  assert.equal(checkOwner('My shop/eu'), undefined);
  assert.match(checkOwner('') ?? '', /owner/);
  assert.match(checkOwner('a\nb') ?? '', /owner/);
});
