/** In a fleet secrets are in etcd, where nobody can read them, and on the hosts, where they outlast it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import {
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { exitedWith, getText } from './shop.ts';

const VALUE = 'hunter2';
const SUM = createHash('sha256').update(VALUE).digest('hex');
const READS = `require('crypto').createHash('sha256').update(require('fs').readFileSync('/run/secrets/db')).digest('hex') === '${SUM}' || process.exit(1)`;
/** Ready once it has read the value. */
const WEB: ComponentFile = {
  secrets: ['db'],
  update: { monitor: 0, keepOld: 0 },
  readyChecks: [
    { kind: 'http', path: '/health', port: 8080 },
    { kind: 'exec', command: ['/bin/node', '-e', READS] },
  ],
};
const MEMORY = `/dev/shm/gantryd-test-${process.pid}`;

describe('secrets of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let host: Host;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a'] });
    host = shop.first;
    endings.after(() => rm(MEMORY, { recursive: true, force: true }));
  });
  after(() => endings.run());

  test('reach containers, also while etcd is away, and a missing one stops a release before it begins', async () => {
    const key = join(host.folder, 'fleet.key');
    const env = { ...shop.env, GANTRYD_SECRETS_KEY: key, GANTRYD_SECRETS_DIR: MEMORY };
    const set = (input: string, name: string) =>
      host.gantryd(['secret', 'set', PROJECT, name], { env: shop.env, input });
    const early = await set(VALUE, 'db');
    exitedWith(1, early);
    assert.match(early.stderr, /No agent of shop has a key for secrets yet.*\n.*secret keygen/);

    exitedWith(0, await host.gantryd(['secret', 'keygen', key], { env }));
    const agent = host.agent(['run', PROJECT, '--host-name', host.name], { env });
    await agent.says('Gantryd running', WAIT_MS);
    const keys = `/gantryd/projects/${PROJECT}/secrets`;
    await until(async () => (await shop.values(`${keys}-key`)).length === 1, {
      timeoutMs: WAIT_MS,
      what: 'a key',
    });
    exitedWith(0, await set(VALUE, 'db'));
    assert.ok(!(await shop.etcd.control('get', '--prefix', '/gantryd')).includes(VALUE));
    await shop.deploy('v1', WEB);
    assert.equal(await getText(shop.http(host), '/version'), 'v1');

    await shop.setConfig('v2', { ...WEB, secrets: ['db', 'tokn'] });
    const refused = await shop.gantryd('update', '--wait');
    exitedWith(1, refused);
    assert.match(`${refused.stdout}${refused.stderr}`, /There is no secret tokn/);
    const [serving, ...others] = await shop.containers(host);
    assert.deepEqual(others, []);

    // etcd gone, and so is the container: what takes its place has the secret too.
    await shop.etcd.kill();
    await dockerCall('DELETE', `/containers/${serving?.id}?force=1`, undefined, [204], host.docker);
    const heals = async () => (await getText(shop.http(host), '/version')) === 'v1';
    await until(heals, { timeoutMs: WAIT_MS, what: 'another container to serve' });
    const [healed] = await shop.containers(host);
    assert.notEqual(healed?.id, serving?.id);
    const inspected = await dockerCall(
      'GET',
      `/containers/${healed?.id}/json`,
      undefined,
      [200],
      host.docker,
    );
    const told = `${JSON.stringify(inspected)}${agent.stdout}${agent.stderr}`;
    assert.ok(told.includes(':/run/secrets/db:ro') && !told.includes(VALUE));
    await shop.etcd.start();
  });
});
