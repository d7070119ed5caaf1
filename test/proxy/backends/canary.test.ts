/** New work is split by a route's canary, exactly, and its answers are counted for both sides. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { mergedAnswers } from '../../../src/proxy/backends/answers.ts';
import { LiveBackend } from '../../../src/proxy/backends/backend.ts';
import { bucketOf } from '../../../src/proxy/backends/latency.ts';
import { LiveRoute } from '../../../src/proxy/backends/live-route.ts';
import { type CanarySplit, DEFAULT_LIMITS, type RouteKind } from '../../../src/proxy/tables/routes.ts';
import {
  ask,
  dial,
  type Ground,
  ground,
  heard,
  OWNER,
  type TestBackend,
  tableOf,
  onBothPaths as test,
  until,
} from '../ground.ts';

const PORT = 80;

function backends(...ids: readonly string[]): LiveBackend[] {
  return ids.map(
    (id) => new LiveBackend({ owner: 'shop', component: 'web', id }, { host: '10.0.0.1' }, () => {}),
  );
}

function split(percent: number, ...ids: readonly string[]): CanarySplit {
  return { id: 'release 2', backends: ids, percent };
}

it('exactly the share of the clients goes to the canary, evenly over time', () => {
  for (const percent of [1, 10, 33, 50, 99]) {
    const route = new LiveRoute(backends('old', 'other', 'new'), DEFAULT_LIMITS, {
      canary: split(percent, 'new'),
    });
    const picked = Array.from({ length: 1_000 }, () => route.pick(PORT)?.name.id);
    for (let at = 0; at < 1_000; at += 100) {
      const window = picked.slice(at, at + 100);
      assert.equal(window.filter((id) => id === 'new').length, percent, `${percent} % from ${at} on`);
    }
    const olds = picked.filter((id) => id === 'old').length;
    assert.ok(Math.abs(olds - picked.filter((id) => id === 'other').length) <= 1, 'the others take turns');
  }
});

it('within a group the backend with the least open is picked', () => {
  const [a, b, c] = backends('a', 'b', 'new') as [LiveBackend, LiveBackend, LiveBackend];
  const route = new LiveRoute([a, b, c], DEFAULT_LIMITS, { canary: split(10, 'new') });
  const client = {} as Socket;
  a.hold('tcp', client);
  assert.deepEqual([route.pick(PORT)?.name.id, route.pick(PORT)?.name.id], ['b', 'b']);
});

it('a group that nobody can be led to leaves its clients to the other', () => {
  const all = backends('old', 'new') as [LiveBackend, LiveBackend];
  const [old, young] = all;
  const route = new LiveRoute(all, DEFAULT_LIMITS, { canary: split(50, 'new') });
  young.shun(PORT);
  assert.deepEqual(new Set(Array.from({ length: 10 }, () => route.pick(PORT))), new Set([old]));
  old.shun(PORT);
  assert.deepEqual(new Set(Array.from({ length: 10 }, () => route.pick(PORT))), new Set([old, young]));
  assert.equal(route.pick(PORT, new Set([old])), young);
  assert.equal(route.pick(PORT, new Set([young])), old);
  assert.equal(route.pick(PORT, new Set(all)), undefined);
  const onlyCanary = new LiveRoute([young], DEFAULT_LIMITS, { canary: split(1, 'new') });
  assert.equal(onlyCanary.pick(PORT), young);
});

async function routeCanary(
  g: Ground,
  routed: readonly TestBackend[],
  canary: CanarySplit | undefined,
  kind: RouteKind = 'http',
): Promise<void> {
  const { plane, address, port, containerPort } = g;
  const listeners = [{ address, port, kind, containerPort }];
  const web = { component: 'web', listeners, backends: routed, ...(canary === undefined ? {} : { canary }) };
  await plane.put(OWNER, { ifRevision: plane.table(OWNER).revision, table: tableOf([web]) });
}

/** As requests and errors. */
function answersOf(g: Ground, id: string): readonly [number, number] | undefined {
  const answers = g.plane.status().backends.find((backend) => backend.id === id)?.answers;
  return answers && [answers.requests, answers.errors];
}

test('requests of one keep-alive client are split, and the answers of both sides are counted', async (t) => {
  const g = await ground(t);
  const old = await g.http('old', (_req, res) => res.end('old'));
  const young = await g.http('new', (_req, res) => {
    res.statusCode = 503;
    setTimeout(() => res.end('new'), 20);
  });
  await routeCanary(g, [old, young], undefined);
  await ask(g.url);
  assert.equal(answersOf(g, 'old'), undefined, 'nothing is counted without a canary');

  await routeCanary(g, [old, young], split(25, 'new'));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const bodies: string[] = [];
  for (let n = 0; n < 40; n++) bodies.push((await ask(g.url, { agent })).body);
  assert.equal(bodies.filter((body) => body === 'new').length, 10);
  assert.deepEqual(
    [answersOf(g, 'old'), answersOf(g, 'new')],
    [
      [30, 0],
      [10, 10],
    ],
  );

  await routeCanary(g, [young, old], split(50, 'new'));
  assert.deepEqual(answersOf(g, 'new'), [10, 10], 'another table with the same canary goes on counting');
  await routeCanary(g, [old, young], { ...split(50, 'new'), id: 'release 3' });
  assert.deepEqual(
    [answersOf(g, 'old'), answersOf(g, 'new')],
    [
      [0, 0],
      [0, 0],
    ],
  );
});

test('the time to the first byte of the head is counted, before the body is whole', async (t) => {
  const g = await ground(t);
  const young = await g.http('new', (_req, res) => void setTimeout(() => res.write('some'), 30));
  await routeCanary(g, [young], split(1, 'new'));
  const client = await g.dial();
  client.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
  await once(client, 'data');
  const latency = g.plane.status().backends[0]?.answers?.latency ?? [];
  assert.equal(latency.at(-1), 1, 'one answer, in the last bucket there is');
  assert.ok(latency.length - 1 >= bucketOf(28), `in the bucket of 28 ms or later, not ${latency.length - 1}`);
});

test('an answer broken off, or never begun, is an error; a client that left is not', async (t) => {
  const g = await ground(t);
  let asked = 0;
  const young = await g.http('new', (req, res) => {
    asked += 1;
    if (req.url === '/half') return void res.write('half', () => res.socket?.resetAndDestroy());
    if (req.url === '/none') return void res.socket?.destroy();
    if (req.url === '/half-a-500') {
      res.statusCode = 500;
      return void res.write('half', () => res.socket?.resetAndDestroy());
    }
    if (req.url === '/stream') res.write('begun');
  });
  await routeCanary(g, [young], split(10, 'new'));
  await assert.rejects(ask(g.url, { path: '/half' }));
  await until('it is counted', () => answersOf(g, 'new')?.[1] === 1);
  assert.deepEqual(answersOf(g, 'new'), [1, 1]);
  assert.equal((await ask(g.url, { method: 'POST', path: '/none' })).status, 502);
  assert.deepEqual(answersOf(g, 'new'), [2, 2]);
  await assert.rejects(ask(g.url, { path: '/half-a-500' }));
  await until('it is over', () => g.plane.open === 0);
  assert.deepEqual(answersOf(g, 'new'), [3, 3], 'counted once');

  for (const path of ['/stream', '/never']) {
    const before = asked;
    const client = await g.dial();
    client.write(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`);
    await until('the backend has it', () => asked > before);
    if (path === '/stream') await once(client, 'data');
    client.destroy();
    await until('it is over', () => g.plane.open === 0);
  }
  assert.deepEqual(answersOf(g, 'new'), [4, 3], 'of those who left only the answer that began is counted');
});

test('a canary that takes no connection fails, and no client notices', async (t) => {
  const g = await ground(t);
  const old = await g.http('old', (_req, res) => res.end('old'));
  const dead = g.dead('new');
  await routeCanary(g, [old, dead], split(50, 'new'));
  for (let n = 0; n < 6; n++) assert.equal((await ask(g.url)).body, 'old');
  assert.deepEqual(
    [answersOf(g, 'old'), answersOf(g, 'new')],
    [
      [6, 0],
      [1, 1],
    ],
  );
});

test('tcp connections and upgrades are split as well', async (t) => {
  const g = await ground(t);
  const say = (name: string) => (socket: Socket) => void socket.end(name);
  const [old, young] = [await g.tcp('old', say('old')), await g.tcp('new', say('new'))];
  await routeCanary(g, [old, young], split(50, 'new'), 'tcp');
  const said: string[] = [];
  for (let n = 0; n < 6; n++) {
    const socket = await g.dial();
    const words = heard(socket);
    await until('it has ended', words.ended);
    said.push(words.text());
    socket.end();
  }
  assert.deepEqual(said.toSorted(), ['new', 'new', 'new', 'old', 'old', 'old']);
  assert.deepEqual(answersOf(g, 'new'), [0, 0], 'connections are no requests');
});

test('upgrades are counted by how they are answered', async (t) => {
  const g = await ground(t);
  const agree = (server: http.Server) =>
    server.on('upgrade', (_req, socket) => {
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
  const refuse = (server: http.Server) =>
    server.on('upgrade', (_req, socket) => {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
    });
  const old = await g.http('old', () => {}, agree);
  const young = await g.http('new', () => {}, refuse);
  await routeCanary(g, [old, young], split(50, 'new'));
  for (let n = 0; n < 4; n++) {
    const socket = await dial(g.address, g.port);
    const words = heard(socket);
    socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await until('it is answered', () => words.text().includes('\r\n\r\n'));
    socket.destroy();
  }
  await until('they are over', () => g.plane.open === 0);
  assert.deepEqual(
    [answersOf(g, 'old'), answersOf(g, 'new')],
    [
      [2, 0],
      [2, 2],
    ],
  );
});

it('counts of several processes make one', () => {
  const one = { requests: 3, errors: 1, latency: [1, 1] };
  assert.deepEqual(mergedAnswers([one, { requests: 1, errors: 0, latency: [0, 0, 1] }]), {
    requests: 4,
    errors: 1,
    latency: [1, 1, 1],
  });
});
