import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { JobEngine } from '../../../src/docker/job-engine.ts';
import { FakeEngine } from '../../docker/fake-engine.ts';
import {
  complete,
  desiredIn,
  host,
  joins,
  rolloutIn,
  status,
  tells,
  writeRollout,
} from '../../fleet/intents/intents-ground.ts';
import { apiGround, type Ground } from '../api-ground.ts';

const WEB = {
  components: [
    { name: 'web', repo: 'web' },
    { name: 'db', repo: 'db' },
  ],
};
const ONE = '/v1/projects/shop/components/web';

interface Shop extends Ground {
  readonly cluster: Ground['around']['store']['cluster'];
  readonly deploy: string;
  post(path: string, body?: unknown): ReturnType<Ground['ask']>;
  get(path: string): ReturnType<Ground['ask']>;
}

/** A project with a config, images and an engine. */
async function shop(t: TestContext, engine: FakeEngine | undefined = withImages()): Promise<Shop> {
  const ground = await apiGround(t, engine === undefined ? {} : { around: { engine: jobEngine(engine) } });
  const deploy = await ground.token('deploy');
  const set = await ground.ask('PUT', '/v1/projects/shop/config', { token: deploy, body: WEB });
  assert.equal(set.status, 200);
  return {
    ...ground,
    ...{ deploy, cluster: ground.around.store.cluster },
    post: (path, body) => ground.ask('POST', path, { token: deploy, body }),
    get: (path) => ground.ask('GET', path, { token: deploy }),
  };
}

function withImages(): FakeEngine {
  const engine = new FakeEngine();
  engine.addImage('web:latest');
  engine.addImage('db:latest');
  return engine;
}

/** Of which an update asks what any engine can say. */
function jobEngine(engine: FakeEngine): JobEngine {
  return engine as unknown as JobEngine;
}

describe('the config of a project', () => {
  test('is read with its revision, and written for that one alone where somebody asks so', async (t) => {
    const { ask, deploy, get } = await shop(t);
    const path = '/v1/projects/shop/config';
    const first = await get(path);
    assert.deepEqual([first.body.project, first.body.by], ['shop', 'token:t1']);
    assert.deepEqual(first.body.file, { project: 'shop', ...WEB });
    const etag = first.headers.get('etag') ?? '';
    assert.match(etag, /^"\d+"$/);
    const put = (headers: Record<string, string>, name: string) =>
      ask('PUT', path, { token: deploy, headers, body: { components: [{ name, repo: 'web' }] } });
    const second = await put({ 'if-match': etag }, 'web');
    assert.deepEqual([second.status, second.body], [200, { project: 'shop', changed: true }]);
    assert.notEqual(second.headers.get('etag'), etag);
    const lost = await put({ 'if-match': etag }, 'other');
    assert.deepEqual([lost.status, lost.body.code], [412, 'config-changed']);
    assert.equal((await put({ 'if-none-match': '*' }, 'other')).status, 412);
    assert.equal((await put({ 'if-match': 'no etag' }, 'other')).status, 400);
    assert.equal((await put({ 'if-match': second.headers.get('etag') ?? '' }, 'web')).body.changed, false);
    assert.equal((await put({}, 'other')).status, 200);
  });

  test('can be replaced by who names any that is there, or several, but by no weak tag', async (t) => {
    const { ask, deploy } = await shop(t);
    const put = (project: string, match: string, name: string) =>
      ask('PUT', `/v1/projects/${project}/config`, {
        ...{ token: deploy, headers: { 'if-match': match } },
        body: { components: [{ name, repo: 'web' }] },
      });
    const none = await put('new', '*', 'web');
    assert.deepEqual([none.status, none.body.code], [412, 'config-changed']);
    const any = await put('shop', '*', 'other');
    assert.equal(any.status, 200);
    const etag = any.headers.get('etag') ?? '';
    for (const match of [`W/${etag}`, '"foreign"', '"0"', `"1", W/${etag}`])
      assert.equal((await put('shop', match, 'third')).status, 412, match);
    assert.equal((await put('shop', `"1" ,${etag}`, 'third')).status, 200);
    for (const match of ['17', '"1" "2"', '*, "1"', ''])
      assert.equal((await put('shop', match, 'web')).status, 400, match);
  });

  test('that has problems is refused with all of them', async (t) => {
    const { ask, deploy } = await shop(t);
    const wrong = { components: [{ name: 'web' }, { name: 'a b', repo: 'x', registryAuth: 'rel' }], more: 1 };
    const { status, body } = await ask('PUT', '/v1/projects/shop/config', { token: deploy, body: wrong });
    assert.deepEqual([status, body.code], [422, 'config-invalid']);
    const pointers = body.problems.map((p: { pointer: string }) => p.pointer).sort();
    assert.deepEqual(pointers, ['/components/0/repo', '/components/1/name', '/more']);
    const relative = { components: [{ name: 'web', repo: 'web', registryAuth: 'auth.json' }] };
    const refused = await ask('PUT', '/v1/projects/shop/config', { token: deploy, body: relative });
    assert.equal(refused.body.problems[0].pointer, '/components/0/registryAuth');
  });

  test('is not there before it is set, and its project neither', async (t) => {
    const { get, ask, token } = await shop(t);
    for (const path of ['config', 'components', 'components/web', 'components/web/why']) {
      const { status, body } = await get(`/v1/projects/none/${path}`);
      assert.deepEqual([status, body.code], [404, 'project-unknown'], path);
    }
    assert.deepEqual((await get('/v1/projects')).body, { projects: ['shop'] });
    const elsewhere = await token('read', ['other']);
    assert.deepEqual((await ask('GET', '/v1/projects', { token: elsewhere })).body, { projects: [] });
    assert.equal((await ask('GET', '/v1/projects/shop/config', { token: elsewhere })).status, 403);
  });
});

describe('components over the API', () => {
  test('are told as they are wanted and as they are', async (t) => {
    const { cluster, post, get } = await shop(t);
    await post(`${ONE}/update`, { note: 'first' });
    complete(cluster, 'web');
    joins(cluster, host('h1'));
    joins(cluster, host('h2'));
    tells(cluster, 'web', status('h1'));
    const { body } = await get(ONE);
    assert.deepEqual(
      [body.component, body.status, body.release, body.hosts, body.containers, body.by],
      ['web', 'ready', 1, { live: 2, settled: 1 }, { serving: 1 }, 'token:t1'],
    );
    assert.deepEqual(
      body.on.map((row: { host: string; phase: string }) => [row.host, row.phase]),
      [
        ['h1', 'serving'],
        ['h2', 'unknown'],
      ],
    );
    assert.equal(body.desired.generation, 1);
    const all = await get('/v1/projects/shop/components');
    assert.deepEqual(
      all.body.components.map((c: { component: string; status: string }) => [c.component, c.status]),
      [
        ['web', 'ready'],
        ['db', 'unknown'],
      ],
    );
    const [release] = (await get(`${ONE}/releases`)).body.releases;
    assert.deepEqual([release.release, release.note, release.outcome], [1, 'first', 'completed']);
    assert.match((await get(`${ONE}/why`)).body.words.join('\n'), /^web is to run release 1/);
    assert.equal((await get(`${ONE}/why?host=h3`)).status, 400);
    assert.equal((await get('/v1/projects/shop/components/wbe')).status, 404);
    const { hosts } = (await get('/v1/hosts')).body;
    assert.deepEqual(
      hosts.map((h: { host: string }) => h.host),
      ['h1', 'h2'],
    );
  });

  test('are updated, and that is followed to its end where somebody waits', async (t) => {
    const { cluster, post } = await shop(t);
    joins(cluster, host('h1'));
    const asked = await post(`${ONE}/update`, {});
    assert.deepEqual([asked.status, asked.body.components[0].release], [202, 1]);
    const over = await post(`${ONE}/update?wait=10ms`);
    assert.deepEqual([over.status, over.body.code], [504, 'wait-over']);
    const waiting = post(`${ONE}/update?wait=30s`, {});
    await until(() => desiredIn(cluster, 'web').generation === 3);
    complete(cluster, 'web');
    tells(cluster, 'web', status('h1', { generation: 3, serving: 3 }));
    const done = await waiting;
    assert.deepEqual([done.status, done.body.endings[0].outcome], [200, 'done']);
  });

  test('whose update fails answer why', async (t) => {
    const { cluster, post } = await shop(t);
    joins(cluster, host('h1'));
    const waiting = post(`${ONE}/update?wait=30s`, {});
    await until(() => cluster.get('/gantryd/projects/shop/components/web/rollout') !== undefined);
    const at = '2030-01-01T00:00:00.000Z';
    const failure = { host: 'h1', release: 1, why: 'it ended', logs: ['no such table'], at };
    writeRollout(cluster, 'web', {
      ...rolloutIn(cluster, 'web'),
      state: 'failed',
      endedAt: at,
      reason: 'r',
      failure,
    });
    const { status: code, body } = await waiting;
    assert.deepEqual([code, body.code], [409, 'release-failed']);
    assert.match(body.detail, /no such table/);
  });

  test('of which nothing could come of waiting say so', async (t) => {
    const { post } = await shop(t);
    const alone = await post(`${ONE}/update?wait=5s`, {});
    assert.deepEqual([alone.status, alone.body.code], [409, 'no-hosts']);
    assert.equal((await post(`${ONE}/update?wait=2h`, {})).status, 422);
    assert.equal((await post(`${ONE}/update?wait=soon`, {})).status, 422);
  });

  test('go back, stop and are killed, one by one or together', async (t) => {
    const { cluster, post } = await shop(t);
    await post('/v1/projects/shop/update', { components: ['web', 'db'] });
    complete(cluster, 'web');
    complete(cluster, 'db');
    await post(`${ONE}/update`, {});
    const back = await post(`${ONE}/rollback`, {});
    assert.deepEqual([back.status, back.body.components[0].release], [202, 1]);
    assert.equal((await post(`${ONE}/rollback`, { to: 7 })).status, 404);
    assert.equal((await post(`${ONE}/stop`)).body.components[0].changed, true);
    assert.equal((await post(`${ONE}/stop`)).body.components[0].changed, false);
    const killed = await post('/v1/projects/shop/kill', {});
    assert.deepEqual(
      killed.body.components.map((c: { component: string }) => c.component),
      ['web', 'db'],
    );
    assert.equal((await post('/v1/projects/shop/kill', { components: ['wbe'] })).status, 404);
    assert.equal((await post(`${ONE}/kill`, { now: true })).status, 422);
  });

  test('are scaled, one by one or together, without a new release', async (t) => {
    const { cluster, post } = await shop(t);
    assert.equal((await post(`${ONE}/scale`, { instances: 3 })).status, 404);
    await post('/v1/projects/shop/update', {});
    complete(cluster, 'web');
    complete(cluster, 'db');
    const one = await post(`${ONE}/scale`, { instances: 3 });
    assert.deepEqual(
      [one.status, one.body.components[0].instances, one.body.components[0].release],
      [202, 3, 1],
    );
    const both = await post('/v1/projects/shop/scale', { changes: { web: { total: 6 }, db: 'config' } });
    assert.deepEqual(
      both.body.components.map((c: { component: string; instances: unknown }) => [c.component, c.instances]),
      [
        ['web', { total: 6 }],
        ['db', 1],
      ],
    );
    for (const instances of [-1, 1.5, '3', { total: 6, more: 1 }, null, [3]])
      assert.equal((await post(`${ONE}/scale`, { instances })).status, 422, JSON.stringify(instances));
    assert.equal((await post('/v1/projects/shop/scale', { changes: {} })).status, 422);
    assert.equal((await post('/v1/projects/shop/scale', { changes: { wbe: 3 } })).status, 404);
    assert.equal((await post(`${ONE}/scale?wait=1s`, { instances: 3 })).body.code, 'no-hosts');
  });

  test('have their rollout paused and resumed', async (t) => {
    const { post } = await shop(t);
    assert.equal((await post(`${ONE}/rollout/pause`)).status, 409);
    await post(`${ONE}/update`, {});
    const paused = await post(`${ONE}/rollout/pause`);
    assert.deepEqual([paused.status, paused.body.state, paused.body.changed], [200, 'paused', true]);
    assert.equal((await post(`${ONE}/rollout/pause`)).body.changed, false);
    assert.deepEqual([(await post(`${ONE}/rollout/resume`)).body.attempt], [2]);
  });

  test('are updated without an engine only where their image cannot be another one', async (t) => {
    const ground = await apiGround(t);
    const token = await ground.token('deploy');
    const set = (repo: string) =>
      ground.ask('PUT', '/v1/projects/shop/config', { token, body: { components: [{ name: 'web', repo }] } });
    await set('web');
    const tagged = await ground.ask('POST', `${ONE}/update`, { token });
    assert.deepEqual([tagged.status, tagged.body.code], [422, 'image-not-found']);
    assert.match(tagged.body.hint, /gantryd run --api/);
  });

  test('cannot be asked for while etcd is away', async (t) => {
    const { around, get, post } = await shop(t);
    await get(ONE);
    around.store.disconnect();
    for (const { status: code, body, headers } of [await get(ONE), await post(`${ONE}/stop`)]) {
      assert.deepEqual([code, body.code, headers.get('retry-after')], [503, 'cluster-unreachable', '1']);
    }
  });
});

describe('tokens over the API', () => {
  test('are made, listed without themselves, and revoked by an admin alone', async (t) => {
    const { ask, token } = await apiGround(t);
    const [admin, deploy, limited] = [
      await token('admin'),
      await token('deploy'),
      await token('admin', ['shop']),
    ];
    const body = { name: 'ci', role: 'deploy', projects: ['shop'] };
    assert.equal((await ask('POST', '/v1/tokens', { token: deploy, body })).status, 403);
    assert.equal((await ask('POST', '/v1/tokens', { token: limited, body })).status, 403);
    const made = await ask('POST', '/v1/tokens', { token: admin, body });
    assert.equal(made.status, 201);
    assert.equal((await ask('GET', '/v1/projects', { token: made.body.token })).status, 200);
    assert.equal((await ask('POST', '/v1/tokens', { token: admin, body })).status, 409);
    const listed = await ask('GET', '/v1/tokens', { token: admin });
    assert.deepEqual(
      listed.body.tokens.map((row: { name: string }) => row.name),
      ['ci', 't1', 't2', 't3'],
    );
    const text = JSON.stringify(listed.body);
    assert.equal(text.includes('hash') || text.includes(made.body.token.slice(-43)), false);
    assert.equal((await ask('DELETE', '/v1/tokens/ci', { token: admin })).status, 200);
    assert.equal((await ask('DELETE', '/v1/tokens/ci', { token: admin })).status, 404);
    assert.equal((await ask('GET', '/v1/projects', { token: made.body.token })).status, 401);
  });
});

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!holds()) {
    assert.ok(performance.now() < end, 'it did not come to be');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
