/** A program must be able to deploy over HTTP as a person does with commands, and nobody else. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { ask } from '../api/api-ground.ts';
import { tempFolder } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { run } from '../ground/processes.ts';
import { APP, Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { exitedWith, getText } from './shop.ts';

const PORT = 7070;
const ONE = '/v1/projects/shop/components/web';
const CONFIG = '/v1/projects/shop/config';

describe('the API of an agent', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let a: Host;
  let url: string;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a'] });
    a = shop.fleet.host('a');
    url = `http://${a.address}:${PORT}`;
    await shop.agent(a, '--api', `${a.address}:${PORT}`);
  });
  after(() => endings.run());

  test('sets a config, rolls it out, tells how it is and goes back', async () => {
    const token = await madeToken('ci', 'deploy');
    const put = (version: string, etag?: string) =>
      ask(`${url}${CONFIG}`, 'PUT', {
        ...{ token, body: file(version) },
        ...(etag === undefined ? {} : { headers: { 'if-match': etag } }),
      });
    const first = await put('v1');
    assert.equal(first.status, 200, JSON.stringify(first.body));
    const deployed = await ask(`${url}${ONE}/update?wait=60s`, 'POST', { token, body: { note: 'first' } });
    assert.deepEqual([deployed.status, deployed.body.endings?.[0]?.outcome], [200, 'done']);
    assert.equal(await getText(shop.http(a), '/version'), 'v1');

    const etag = first.headers.get('etag') ?? '';
    assert.equal((await put('v2', etag)).status, 200);
    assert.equal((await put('v3', etag)).status, 412);
    assert.equal((await ask(`${url}${ONE}/update?wait=60s`, 'POST', { token })).status, 200);
    assert.equal(await getText(shop.http(a), '/version'), 'v2');

    const back = await ask(`${url}${ONE}/rollback?wait=60s`, 'POST', { token });
    assert.equal(back.status, 200, JSON.stringify(back.body));
    assert.equal(await getText(shop.http(a), '/version'), 'v1');
    const { body } = await ask(`${url}${ONE}`, 'GET', { token });
    assert.deepEqual([body.status, body.release, body.hosts], ['ready', 1, { live: 1, settled: 1 }]);
    assert.match(await shop.must('history', '-c', 'web'), /token:ci/);
  });

  test('asks for a token that may, and forgets one that was revoked', async () => {
    const [read, other] = [await madeToken('look', 'read'), await madeToken('other', 'deploy', 'elsewhere')];
    assert.equal((await ask(`${url}${ONE}`, 'GET')).status, 401);
    assert.equal((await ask(`${url}${ONE}`, 'GET', { token: read })).status, 200);
    assert.equal((await ask(`${url}${ONE}/stop`, 'POST', { token: read })).status, 403);
    assert.equal((await ask(`${url}${ONE}`, 'GET', { token: other })).status, 403);
    const listed = await daemon('token', 'list');
    assert.match(listed, /look +\S+ +read +all/);
    assert.equal(listed.includes(read.slice(-43)), false);
    await daemon('token', 'revoke', 'look');
    assert.equal((await ask(`${url}${ONE}`, 'GET', { token: read })).status, 401);
  });

  test('is served without an agent too, but for what needs an engine', async () => {
    const token = await madeToken('alone', 'deploy');
    const place = `${a.address}:${PORT + 1}`;
    const api = a.agent(['api', '--api', place, '--json'], { env: shop.env });
    await api.says('"kind":"api"', WAIT_MS);
    assert.equal((await ask(`http://${place}/healthz`, 'GET')).status, 200);
    assert.equal((await ask(`http://${place}${ONE}`, 'GET', { token })).body.status, 'ready');
    const update = await ask(`http://${place}${ONE}/update`, 'POST', { token });
    assert.deepEqual([update.status, update.body.code], [422, 'image-not-found']);
    const second = await a.gantryd(['api', '--api', place], { env: shop.env, timeoutMs: WAIT_MS });
    exitedWith(1, second);
    assert.match(second.stderr, /cannot listen on .*EADDRINUSE/);
    api.signal('SIGTERM');
    exitedWith(0, await api.ended);
  });

  test('does what the scripts of examples/api say', async (t) => {
    const token = await madeToken('script', 'deploy', 'shop');
    const path = join(a.folder, 'api.json');
    await writeFile(path, JSON.stringify(file('v4')));
    const script = (name: string, ...args: readonly string[]) =>
      run(t, 'sh', [join(PACKAGE_ROOT, 'examples', 'api', name), ...args], {
        ...{ env: { ...process.env, API: url, TOKEN: token }, timeoutMs: WAIT_MS },
      });
    const deployed = await script('deploy.sh', path);
    exitedWith(0, deployed);
    assert.match(deployed.stdout, /"outcome":"done"[\s\S]*"status":"ready"/);
    assert.equal(await getText(shop.http(a), '/version'), 'v4');
    exitedWith(0, await script('rollback.sh'));
    assert.equal(await getText(shop.http(a), '/version'), 'v1');
    await daemon('token', 'revoke', 'script');
    assert.notEqual((await script('rollback.sh')).code, 0);
  });

  test('does what the commands of README say', async (t) => {
    const readme = await readFile(join(PACKAGE_ROOT, 'README.md'), 'utf8');
    const [, commands = ''] = /```sh\n(curl [\s\S]*?)```/.exec(readme) ?? [];
    assert.equal(commands.match(/^curl /gm)?.length, 4, commands);
    const token = await madeToken('readme', 'deploy', 'shop');
    const cwd = await tempFolder(t);
    await writeFile(join(cwd, 'shop.json'), JSON.stringify(file('v5')));
    const env = { ...process.env, API: url, TOKEN: token };
    const result = await run(t, 'sh', ['-euc', commands], { env, cwd, timeoutMs: WAIT_MS });
    exitedWith(0, result);
    assert.equal(result.stdout.match(/"outcome":"done"/g)?.length, 2, result.stdout);
    assert.equal(await getText(shop.http(a), '/version'), 'v5');
  });

  async function daemon(...words: readonly string[]): Promise<string> {
    const result = await a.gantryd(words, { env: shop.env, timeoutMs: WAIT_MS });
    exitedWith(0, result);
    return result.stdout;
  }

  async function madeToken(name: string, role: string, project?: string): Promise<string> {
    const only = project === undefined ? [] : ['--project', project];
    const token = (await daemon('token', 'create', name, '--role', role, ...only)).trim();
    assert.match(token, /^gantryd_[a-z0-9]+_\S{43}$/);
    return token;
  }

  function file(version: string) {
    const web = {
      ...{ name: 'web', ...APP, update: { monitor: 0 }, readyTimeout: 30_000 },
      ports: [{ external: 8080, container: 8080, kind: 'http' }],
      readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
      environmentVariables: [{ name: 'VERSION', value: version }],
    };
    return { components: [web] };
  }
});
