/** An agent must tell in numbers what it did, under a real engine: rollouts, one that failed, a heal, what clients met. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { parseExposition, seriesSum } from '../metrics/exposition.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { answering } from './fleet-acts.ts';
import { exitedWith, getText } from './shop.ts';

const PORT = 7070;

describe('/metrics of an agent', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let a: Host;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a'] });
    a = shop.fleet.host('a');
    await shop.agent(a, '--api', `${a.address}:${PORT}`);
  });
  after(() => endings.run());

  test('tells of updates, heals, requests by release, and calls of etcd and Docker', async () => {
    const token = await readToken();
    const scrape = async () => {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`http://${a.address}:${PORT}/metrics`, { headers });
      assert.equal(answer.status, 200);
      return answer.text();
    };
    await shop.deploy('v1');
    for (let n = 0; n < 3; n++) await getText(shop.http(a), '/version');
    await shop.deploy('v2');
    await getText(shop.http(a), '/version');
    const { id } = await answering(shop, a);
    await dockerCall('POST', `/containers/${id}/kill`, undefined, [204], a.docker);
    const healed = async () => seriesSum(await scrape(), 'gantryd_heals_total', { component: 'web' }) === 1;
    await until(healed, { timeoutMs: WAIT_MS, what: 'the heal to be counted' });

    const text = await scrape();
    assert.ok(parseExposition(text).size > 40);
    const told = (name: string, labels: Readonly<Record<string, string>> = {}) =>
      seriesSum(text, name, { project: 'shop', ...labels });
    assert.equal(told('gantryd_rollouts_total', { component: 'web', result: 'completed' }), 2);
    assert.equal(told('gantryd_releases_total', { component: 'web', result: 'proven' }), 2);
    const requests = (release: string) =>
      told('gantryd_proxy_requests_total', { component: 'web', release, status: '2xx' });
    assert.ok(requests('1') >= 3 && requests('2') >= 1, `${requests('1')} and ${requests('2')}`);
    assert.ok(told('gantryd_reconcile_duration_seconds_count', { component: 'web' }) > 5);
    assert.ok(told('gantryd_check_duration_seconds_count', { purpose: 'ready', verdict: 'pass' }) >= 2);
    for (const call of ['list', 'create', 'start'])
      assert.ok(told('gantryd_docker_call_duration_seconds_count', { call }) > 0, call);
    for (const call of ['range', 'txn', 'lease-grant', 'watch'])
      assert.ok(told('gantryd_etcd_call_duration_seconds_count', { call }) > 0, call);
    assert.equal(told('gantryd_etcd_connected'), 1);
    assert.ok(told('gantryd_process_resident_memory_bytes') > 1e7);
  });

  async function readToken(): Promise<string> {
    const words = ['token', 'create', 'prometheus', '--role', 'read'];
    const made = await a.gantryd(words, { env: shop.env, timeoutMs: WAIT_MS });
    exitedWith(0, made);
    return made.stdout.trim();
  }
});
