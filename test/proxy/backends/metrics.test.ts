/** What the proxy counts: every request once, whatever becomes of it, and nothing lost while a proxy hands over. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { it } from 'node:test';
import { proxyText } from '../../../src/metrics/proxy-text.ts';
import { Traffic } from '../../../src/proxy/backends/traffic.ts';
import { countsOf, mergedCounts } from '../../../src/proxy/control/counts.ts';
import type { ProxyCounts, TrafficReport } from '../../../src/proxy/control/protocol.ts';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import type { DataPlane } from '../../../src/proxy/proxy.ts';
import { parseExposition, seriesSum } from '../../metrics/exposition.ts';
import {
  ask,
  dial,
  ground,
  heard,
  OWNER,
  tableOf,
  onBothPaths as test,
  until,
  untilIdle,
} from '../ground.ts';
import { openStreams, stateDir, town } from '../process-ground.ts';

const LEFT = 0;
const UPGRADED = 1;
const OK = 2;
const ERROR = 5;

function tally({ traffic }: ProxyCounts, release = 'none'): TrafficReport {
  return traffic.find((report) => report.release === release) ?? assert.fail(`nothing of ${release}`);
}

function answers(plane: DataPlane, release?: string): readonly number[] {
  return tally(plane.counts(), release).answers;
}

const sum = (counts: readonly number[]) => counts.reduce((all, n) => all + n, 0);

test('every request of a kept connection counts once, under the release of its container', async (t) => {
  const g = await ground(t);
  const a = await g.http('a', (_req, res) => void res.end('a'));
  const listener = {
    address: g.address,
    port: g.port,
    kind: 'http',
    containerPort: g.containerPort,
  } as const;
  const route = { component: 'web', listeners: [listener] };
  const put = (release: number) =>
    g.plane.put(OWNER, {
      ifRevision: g.plane.table(OWNER).revision,
      table: { ...tableOf([]), routes: [{ ...route, backends: [{ id: 'a', host: a.host, release }] }] },
    });
  await put(7);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (let n = 0; n < 5; n++) await ask(g.url, { agent });
  assert.deepEqual(answers(g.plane, '7'), [0, 0, 5, 0, 0, 0]);
  assert.equal(sum(tally(g.plane.counts(), '7').latency), 5);
  assert.deepEqual(answers(g.plane), [0, 0, 0, 0, 0, 0], 'none without a container');
  const [open] = g.plane.counts().open;
  assert.deepEqual([open?.release, open?.routed, open?.inFlight], ['7', true, 0]);
});

test('an answer with 5xx, one that breaks off before its head and a dial that fails count as errors', async (t) => {
  const g = await ground(t);
  const a = await g.http('a', (req, res) => {
    if (req.url === '/cut') return void req.socket.destroy();
    res.writeHead(req.url === '/bad' ? 500 : 200).end();
  });
  await g.route([a]);
  await ask(g.url, { path: '/bad' });
  await ask(g.url, { path: '/cut', method: 'POST', body: 'x' });
  assert.deepEqual(answers(g.plane), [0, 0, 0, 0, 0, 2]);
  await g.route([g.dead('b')]);
  assert.equal((await ask(g.url)).status, 502);
  await g.route([]);
  assert.equal((await ask(g.url)).status, 503);
  const { dialFailures, refused, answers: all } = tally(g.plane.counts());
  assert.deepEqual([dialFailures, refused, all[ERROR]], [1, 2, 4]);
});

test('a client that leaves before its answer counts as left, one that leaves amid it does not', async (t) => {
  const g = await ground(t);
  let asked = 0;
  const a = await g.http('a', (req, res) => {
    asked += 1;
    if (req.url === '/half') res.write('half');
  });
  await g.route([a]);
  const early = http.get(g.url, { agent: false }).on('error', () => {});
  await until('the request is there', () => asked === 1);
  assert.equal(g.plane.counts().open[0]?.inFlight, 1);
  early.destroy();
  await until('it counts', () => answers(g.plane)[LEFT] === 1);
  const late = http.get(`${g.url}/half`, { agent: false }).on('error', () => {});
  const [answer] = (await once(late, 'response')) as [http.IncomingMessage];
  answer.on('error', () => {});
  late.destroy();
  await untilIdle(g.plane);
  assert.deepEqual(answers(g.plane), [1, 0, 1, 0, 0, 0]);
});

test('an upgrade counts as 1xx and is open until it ends; a refused one counts as its answer', async (t) => {
  const g = await ground(t);
  const a = await g.http(
    'a',
    (_req, res) => void res.writeHead(404).end(),
    (server) =>
      server.on('upgrade', (req, socket) => {
        if (req.url === '/no') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      }),
  );
  await g.route([a]);
  const offer = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
  const yes = await g.dial();
  const seen = heard(yes);
  yes.write(offer('/'));
  await until('it is upgraded', () => seen.text().includes('101'));
  assert.deepEqual([answers(g.plane)[UPGRADED], g.plane.counts().open[0]?.upgraded], [1, 1]);
  const no = await g.dial();
  const refusal = heard(no);
  no.write(offer('/no'));
  await until('it is refused', () => refusal.text().includes('403'));
  assert.deepEqual(answers(g.plane), [0, 1, 0, 0, 1, 0]);
  await g.route([]);
  const [drain] = g.plane.counts().drains;
  assert.deepEqual([drain?.component, drain?.backend], ['web', 'a'], 'it left the table and is held');
  yes.destroy();
  no.destroy();
  await untilIdle(g.plane);
  assert.deepEqual(g.plane.counts().drains, []);
});

test('tcp clients count when they are led somewhere, and those that wait or are sent away', async (t) => {
  const g = await ground(t);
  const a = await g.tcp('a', (socket) => void socket.on('error', () => {}).pipe(socket));
  await g.route([], { kind: 'tcp', hold: { timeoutMs: 5_000, max: 1 } });
  const waits = await g.dial();
  await until('it waits', () => tally(g.plane.counts()).held === 1);
  const refused = await g.dial();
  await until('it is sent away', () => refused.destroyed || tally(g.plane.counts()).refused === 1);
  await g.route([a], { kind: 'tcp' });
  await until('it is led', () => tally(g.plane.counts()).tcp === 1);
  assert.deepEqual([tally(g.plane.counts()).held, tally(g.plane.counts()).refused], [1, 1]);
  for (const socket of [waits, refused]) socket.destroy();
  await untilIdle(g.plane);
});

it('releases that nobody leads to are forgotten but for the latest, and components have a bound', () => {
  const traffic = new Traffic();
  const held = traffic.of('shop', 'web', '1');
  for (let release = 2; release <= 30; release++) traffic.of('shop', 'web', String(release));
  traffic.settle(new Set([held]));
  const kept = traffic.reports().map(({ release }) => Number(release));
  assert.deepEqual(kept, [1, 25, 26, 27, 28, 29, 30]);
  const inUse = Array.from({ length: 600 }, (_, n) => {
    const one = traffic.of('shop', `c${n}`, '1');
    traffic.settle(
      new Set([held, ...traffic.reports().map((r) => traffic.of(r.owner, r.component, r.release))]),
    );
    return one;
  });
  assert.equal(inUse.at(-1)?.name.component, 'other');
  assert.ok(traffic.reports().length <= 501);
});

it('counts of several processes are summed, a drain of both is one', () => {
  const report = (answered: number): TrafficReport => ({
    ...{ owner: 'shop', component: 'web', release: '1', answers: [0, 0, answered, 0, 0, 0] },
    ...{ latency: [answered], tookMs: answered, tcp: 1, dialFailures: 0, held: 0, refused: 0 },
  });
  const drain = (ageMs: number) => ({ owner: 'shop', component: 'web', backend: 'a', ageMs });
  const open = (inFlight: number) =>
    ({
      owner: 'shop',
      component: 'web',
      release: '1',
      routed: false,
      inFlight,
      upgraded: 0,
      tcp: 0,
    }) as const;
  const all = mergedCounts([
    { traffic: [report(2)], open: [open(1)], drains: [drain(5)] },
    { traffic: [report(3)], open: [open(2)], drains: [drain(9)] },
  ]);
  assert.deepEqual(
    all.traffic.map((t) => [t.answers[OK], t.latency[0], t.tcp]),
    [[5, 5, 2]],
  );
  assert.deepEqual(
    all.open.map((o) => o.inFlight),
    [3],
  );
  assert.deepEqual(
    all.drains.map((d) => d.ageMs),
    [9],
  );
  assert.deepEqual(countsOf(all, 'other'), { traffic: [], open: [], drains: [] });
});

it('over a handover the sums go on: nothing is lost while the older proxy lives, nor when it ends', async (t) => {
  const folder = await stateDir(t);
  const place = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  await client.put('shop', { ifRevision: 0, table: place.table('a') });
  const text = async () => proxyText(await client.metrics());
  const requests = async () => seriesSum(await text(), 'gantryd_proxy_requests_total');
  for (let n = 0; n < 3; n++) await ask(place.url);
  const kept = await dial(place.address, place.httpPort);
  t.after(() => void kept.destroy());
  const streams = await openStreams(t, place);
  assert.equal(await requests(), 5, 'three, an event stream and an upgrade');
  await upgradeProxy({ stateDir: folder });
  await ask(place.url);
  await until('both generations are counted', async () => (await requests()) === 6);
  const during = await text();
  assert.equal(seriesSum(during, 'gantryd_proxy_generations'), 2);
  assert.equal(seriesSum(during, 'gantryd_proxy_tcp_connections_total'), 1);
  assert.equal(seriesSum(during, 'gantryd_proxy_connections_open', { phase: 'serving', kind: 'tcp' }), 1);
  const { revision } = await client.table('shop');
  await client.put('shop', { ifRevision: revision, table: place.table('b') });
  await until('the drain is told', async () => seriesSum(await text(), 'gantryd_proxy_drains') === 1);
  // The last request of the older proxy, right before it ends.
  const seen = heard(kept);
  kept.write('GET / HTTP/1.1\r\nHost: town\r\n\r\n');
  await until('it is answered', () => seen.text().includes('200'));
  for (const stream of streams) stream.close();
  await until(
    'the older one is gone',
    async () => seriesSum(await text(), 'gantryd_proxy_generations') === 1,
  );
  const after = await text();
  assert.equal(seriesSum(after, 'gantryd_proxy_requests_total', { status: '2xx' }), 6);
  assert.equal(seriesSum(after, 'gantryd_proxy_requests_total', { status: '1xx' }), 1);
  assert.equal(seriesSum(after, 'gantryd_proxy_request_duration_seconds_count'), 7);
  assert.equal(seriesSum(after, 'gantryd_proxy_drains'), 0);
  assert.ok(parseExposition(after).has('gantryd_proxy_resident_memory_bytes'));
  assert.deepEqual(await client.metrics('nobody').then(({ traffic }) => traffic), [], 'of one owner alone');
});
