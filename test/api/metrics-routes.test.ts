/** GET /metrics of the API: the agent's numbers and its proxy's as one text, for who may read them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMetrics } from '../../src/metrics/open.ts';
import { ensureProxy } from '../../src/proxy/launch.ts';
import { tempFolder } from '../ground/harness.ts';
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
