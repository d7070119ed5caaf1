/** GET /metrics of the API: the agent's numbers and its proxy's as one text, for who may read them. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { openMetrics } from '../../src/metrics/open.ts';
import { ensureProxy } from '../../src/proxy/generations/launch.ts';
import { tempFolder, until } from '../ground/harness.ts';
import { parseExposition, seriesSum } from '../metrics/exposition.ts';
import { ask } from '../proxy/ground.ts';
import { stateDir as proxyFolder, town } from '../proxy/process-ground.ts';
import { apiGround } from './api-ground.ts';

async function scrape(url: string, token: string) {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
}

test('the numbers of the agent and of its proxy, of its own project alone, come as one text', async (t) => {
  const stateDir = await proxyFolder(t);
  const place = await town(t);
  const proxy = await ensureProxy({ stateDir });
  await proxy.put('shop', { ifRevision: 0, table: place.table('a') });
  await ask(place.url);
  const metrics = await openMetrics({ project: 'shop' });
  const api = await apiGround(t, { around: { metrics, stateDir, project: 'shop', host: 'h' } });
  const { status, type, text } = await scrape(api.url, await api.token('read', ['shop']));
  assert.deepEqual([status, type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
  assert.ok(parseExposition(text).size > 40);
  assert.equal(seriesSum(text, 'gantryd_proxy_up'), 1);
  assert.equal(seriesSum(text, 'gantryd_proxy_requests_total', { project: 'shop', status: '2xx' }), 1);
  assert.equal(seriesSum(text, 'gantryd_build_info', { project: 'shop' }), 1);
  const { revision } = await proxy.table('shop');
  await proxy.put('shop', { ifRevision: revision, table: { ...place.table('a'), routes: [] } });
  await proxy.put('other', { ifRevision: 0, table: place.table('a') });
  await ask(place.url);
  const after = (await scrape(api.url, await api.token('read'))).text;
  assert.equal(seriesSum(after, 'gantryd_proxy_requests_total', { status: '2xx' }), 1, 'not of the other');
});

test('nobody reads them without a token, or with one for other projects; without a proxy it is said', async (t) => {
  const metrics = await openMetrics({ project: 'shop' });
  const stateDir = await tempFolder(t);
  const api = await apiGround(t, { around: { metrics, stateDir, project: 'shop' } });
  assert.equal((await api.ask('GET', '/metrics')).status, 401);
  const strange = await api.ask('GET', '/metrics', { token: await api.token('admin', ['other']) });
  assert.deepEqual([strange.status, strange.body.code], [403, 'forbidden']);
  const { text } = await scrape(api.url, await api.token('read'));
  assert.equal(seriesSum(text, 'gantryd_proxy_up'), 0);
  assert.ok(parseExposition(text).has('gantryd_proxy_up'));
});

test('an API without numbers has no such path', async (t) => {
  const api = await apiGround(t);
  assert.equal((await api.ask('GET', '/metrics', { token: await api.token('read') })).status, 404);
});

test('the API counts its own requests by the templates of their routes, and what it refused', async (t) => {
  const metrics = await openMetrics();
  const bounds = { headersMs: 100, refusedRate: { perSecond: 1, burst: 3 } };
  const api = await apiGround(t, { around: { metrics }, metrics, bounds });
  const token = await api.token('deploy');
  const has = async (name: string, value: number, labels: Readonly<Record<string, string>>) =>
    until(async () => seriesSum(await metrics.text(), name, labels) === value, {
      ...{ timeoutMs: 5_000, what: `${value} of ${name} ${JSON.stringify(labels)}` },
    });
  for (const project of ['a', 'b', 'c']) await api.ask('GET', `/v1/projects/${project}/config`, { token });
  const config = '/v1/projects/:project/config';
  await has('gantryd_api_requests_total', 3, { route: config, method: 'GET', status: '4xx' });
  await has('gantryd_api_request_duration_seconds_count', 3, { route: config, method: 'GET' });
  await api.ask('GET', '/../etc/passwd/nowhere', { token });
  await has('gantryd_api_requests_total', 1, { route: 'none', method: 'GET', status: '4xx' });

  for (let i = 0; i < 4; i++) await api.ask('GET', '/v1/projects');
  await has('gantryd_api_refused_total', 3, { reason: 'auth' });
  await has('gantryd_api_refused_total', 1, { reason: 'rate' });
  await api.ask('PUT', '/v1/projects/a/config', { token, body: '[', headers: { 'content-type': 'text/x' } });
  await has('gantryd_api_refused_total', 1, { reason: 'body' });
  const odd = connect(api.api.port, '127.0.0.1', () => odd.write('no http\r\n\r\n'));
  await has('gantryd_api_refused_total', 1, { reason: 'head' });

  const gone = new AbortController();
  const headers = { authorization: `Bearer ${token}` };
  const { status } = await fetch(`${api.url}/v1/events?project=a`, { headers, signal: gone.signal });
  assert.equal(status, 200);
  await has('gantryd_api_event_followers', 1, {});
  await has('gantryd_api_requests_in_flight', 1, {});
  gone.abort();
  await has('gantryd_api_event_followers', 0, {});
  await has('gantryd_api_requests_in_flight', 0, {});
  const text = await metrics.text();
  assert.equal(seriesSum(text, 'gantryd_api_request_duration_seconds_count', { route: '/v1/events' }), 0);
  assert.equal(seriesSum(text, 'gantryd_api_requests_total', { route: '/v1/events', status: '2xx' }), 1);
  const paths = [...(parseExposition(text).get('gantryd_api_requests_total')?.samples ?? [])];
  assert.ok(paths.every(({ labels }) => labels.route === 'none' || /^\/[\w/:.]+$/.test(labels.route ?? '')));
});
