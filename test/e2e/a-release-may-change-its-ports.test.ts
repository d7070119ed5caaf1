/** A release that listens elsewhere, or is reached in another way, must take over without a loss all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, skipWithoutEngine } from '../ground/harness.ts';
import { EASED, type Load, startLoad } from '../ground/load.ts';
import { getText, lostNothing, openShop, type Shop, variable, version } from './shop.ts';

const skip = skipWithoutEngine;

test('another container port behind the same port of the host', { skip }, async (t) => {
  const { shop, load } = await underLoad(t);
  const there = [...variable('PORT', 8081), ...ports(shop, { container: 8081, kind: 'http' })];
  const readyChecks = JSON.stringify([{ kind: 'http', path: '/health', port: 8081 }]);
  for (const name of ['v2', 'v3']) {
    await shop.must('update', '--detach', ...version(name), ...there, '--set', `readyChecks=${readyChecks}`);
    assert.equal(await getText(shop.http, '/version'), name);
    await shop.must('update', '--detach', ...version(`${name}-back`));
    assert.equal(await getText(shop.http, '/version'), `${name}-back`);
  }
  await lostNothing(load);
});

test('the same port as tcp instead of http, and back', { skip }, async (t) => {
  const { shop, load } = await underLoad(t);
  await shop.must('update', '--detach', ...version('raw'), ...ports(shop, { container: 8080, kind: 'tcp' }));
  assert.equal(await getText(shop.http, '/version'), 'raw');
  assert.equal(load.report().failed, 0, load.report().errors.join('\n'));
  await shop.must('update', '--detach', ...version('routed'));
  assert.equal(await getText(shop.http, '/version'), 'routed');
  await lostNothing(load);
});

test('a port more, a port less', { skip }, async (t) => {
  const { shop, load } = await underLoad(t);
  const more = { host: '127.0.0.1', port: await freePort() };
  await shop.must('update', '--detach', ...version('v2'), '--set', `ports.${more.port}=8080`);
  assert.equal(await getText(more, '/version'), 'v2');
  await shop.must('update', '--detach', ...version('v3'));
  assert.equal(await getText(shop.http, '/version'), 'v3');
  await assert.rejects(getText(more, '/version'), 'the port it gave up is closed');
  await lostNothing(load);
});

test('the same port at another address: what is open stays open', { skip }, async (t) => {
  const { shop, load } = await underLoad(t);
  const narrow = ports(shop, { container: 8080, kind: 'http' }, '127.0.0.1');
  await shop.must('update', '--detach', ...version('v2'), ...narrow);
  assert.equal(await getText(shop.http, '/version'), 'v2');
  // Two sockets cannot listen on one port at overlapping addresses: who connects in between is refused.
  assert.equal(load.report().cut, 0, load.report().errors.join('\n'));
});

async function underLoad(t: Parameters<typeof openShop>[0]): Promise<{ shop: Shop; load: Load }> {
  const shop = await openShop(t, { web: { instances: 2 } });
  await shop.must('start', ...version('v1'));
  return { shop, load: await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 300, easing: EASED }) };
}

function ports(shop: Shop, http: object, address = '0.0.0.0'): readonly string[] {
  const all = [
    { external: shop.http.port, address, ...http },
    { external: shop.tcp.port, container: 9000, kind: 'tcp' },
  ];
  return ['--set', `ports=${JSON.stringify(all)}`];
}
