import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { unhurried } from '../../../src/api/compatible/asked.ts';
import { serviceRoutes } from '../../../src/api/compatible/service.ts';
import type { Call } from '../../../src/api/route.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { readConfig, readDesired, readRelease, readScale } from '../../../src/cluster/values.ts';
import type { JobEngine } from '../../../src/docker/job-engine.ts';
import { FakeEngine } from '../../docker/fake-engine.ts';
import { status as statusValue } from '../../fleet/intents/intents-ground.ts';
import { until } from '../../ground/harness.ts';
import { put, type Served, serve } from '../jobs/jobs-ground.ts';

const AT_KEYS = keys().project('services');
const WEB = {
  ...{ name: 'web', image: 'example/web:1', command: "serve --greeting 'hello world'" },
  ...{ environment: { GREETING: 'hello' }, ports: ['8080', '80:8081'] },
};
const PLAIN = { name: 'plain', image: 'example/web:1', command: null, environment: null, ports: null };

/** A host runs the project, and as many containers as the test says. */
async function ground(t: TestContext) {
  const engine = new FakeEngine();
  for (const image of ['example/web:1', 'example/web:2']) engine.addImage(image);
  // Of which only images are asked.
  const served = await serve(t, serviceRoutes, { engine: engine as unknown as JobEngine });
  const host = { host: 'h1', id: 'id-1', project: 'services', address: '127.0.0.1', version: '1', pid: 1 };
  const more = { components: ['web'], labels: {}, since: '2026-11-21T14:00:00.000Z' };
  put(served.cluster, keys().host('services', 'h1'), { format: 1, ...host, ...more });
  return served;
}

function componentIn({ cluster }: Served): unknown {
  const components = readConfig(cluster.get(AT_KEYS.config))?.file.components;
  return Array.isArray(components) ? components[0] : undefined;
}

/** What its host tells. */
function runs({ cluster }: Served, count: number, name = 'web', state = 'serving'): void {
  const containers = Array.from({ length: count }, (_, index) => ({
    ...{
      id: `c${index}`,
      release: 1,
      state,
      connections: 0,
      check: '',
      startedAt: '2026-11-21T14:30:22.000Z',
    },
  }));
  put(cluster, AT_KEYS.status(name, 'h1'), statusValue('h1', { containers } as never));
}

/** Answers once the host was asked for as many, and has them. */
async function scaled(served: Served, number: number, name = 'web') {
  const asked = served.ask('POST', `/service/${name}/scale`, { number });
  const want = () => readScale(served.cluster.get(AT_KEYS.scale(name)))?.instances;
  const isWanted = () => JSON.stringify(want()) === JSON.stringify({ total: number });
  await until(isWanted, { timeoutMs: 5_000, what: `a total of ${number}` });
  runs(served, number, name);
  return asked;
}

describe('the service connector: POST /service', () => {
  test('200 and no body; the service is a component of the project services, and runs nothing yet', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    const { status, text } = await ask('POST', '/service', WEB);
    assert.deepEqual([status, text], [200, '']);
    const component = componentIn(served);
    assert.deepEqual(component, {
      ...{ instances: { total: 1 }, name: 'web', repo: 'example/web', tag: '1' },
      command: ['serve', '--greeting', 'hello world'],
      ports: [
        { external: 8080, container: 8080 },
        { external: 80, container: 8081 },
      ],
      environmentVariables: [{ name: 'GREETING', value: 'hello' }],
    });
    assert.equal(cluster.get(AT_KEYS.desired('web')), undefined);
    assert.deepEqual((await ask('GET', '/service/web/status')).json, { running_resources: 0 });
  });

  test('services that are defined at the same time are all there', async (t) => {
    const { ask } = await ground(t);
    const names = ['a', 'b', 'c', 'd'];
    const image = 'example/web:1';
    const asked = await Promise.all(names.map((name) => ask('POST', '/service', { name, image })));
    assert.deepEqual(
      asked.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    assert.deepEqual(Object.keys((await ask('GET', '/service')).json).sort(), names);
  });

  test('400 "No data received" for what is no JSON object, as a page', async (t) => {
    const { ask } = await ground(t);
    for (const body of [undefined, '', '{', '[]', '{}']) {
      const { status, headers, text } = await ask('POST', '/service', body);
      assert.deepEqual([status, headers.get('content-type')], [400, 'text/html; charset=UTF-8']);
      assert.match(text, /<h1>Error: 400 Bad Request<\/h1>\n<p>No data received<\/p>/);
    }
  });

  test('400 "Missing parameters." without a name or an image', async (t) => {
    const { ask, cluster } = await ground(t);
    for (const body of [{ name: 'web' }, { image: 'a:1' }, { ...WEB, name: '' }]) {
      const { status, text } = await ask('POST', '/service', body);
      assert.equal(status, 400);
      assert.match(text, /<p>Missing parameters\.<\/p>/);
    }
    assert.equal(cluster.get(AT_KEYS.config), undefined);
  });

  test('400 for what a component cannot be, and what was defined before stays', async (t) => {
    const { ask } = await ground(t);
    await ask('POST', '/service', WEB);
    const wrong: readonly (readonly [object, RegExp])[] = [
      [{ ports: ['53/udp'] }, /ports parameter: 53\/udp is neither PORT nor PORT:PORT/],
      [{ ports: ['0:80'] }, /\/components\/0\/ports\/0\/external/],
      [{ image: 'no such:image' }, /Invalid value for image parameter/],
      [{ command: 'a | b' }, /command parameter: it has &#34;\|&#34;/],
      [{ environment: ['A=1'] }, /Invalid value for environment parameter/],
    ];
    for (const [over, words] of wrong) {
      const { status, text } = await ask('POST', '/service', { ...WEB, ...over });
      assert.equal(status, 400, text);
      assert.match(text, words);
    }
    assert.deepEqual((await ask('GET', '/service/web')).json, { ...WEB, ports: ['8080', '80:8081'] });
  });
});

describe('the service connector: GET /service and /service/{n}', () => {
  test('200, definitions by name, and one as it was sent', async (t) => {
    const { ask } = await ground(t);
    assert.deepEqual((await ask('GET', '/service')).json, {});
    await ask('POST', '/service', WEB);
    await ask('POST', '/service', { name: 'plain', image: 'example/web:1' });
    const all = await ask('GET', '/service');
    assert.deepEqual([all.status, all.headers.get('content-type')], [200, 'application/json']);
    assert.deepEqual(all.json, { web: WEB, plain: PLAIN });
    const one = await ask('GET', '/service/plain');
    assert.deepEqual([one.status, one.json], [200, PLAIN]);
  });

  test('501 "Undefined service: n." for what is none, as a page', async (t) => {
    const { ask } = await ground(t);
    const asked = [
      ask('GET', '/service/web'),
      ask('GET', '/service/web/status'),
      ask('POST', '/service/web/scale', { number: 1 }),
    ];
    for (const { status, headers, text } of await Promise.all(asked)) {
      assert.deepEqual([status, headers.get('content-type')], [501, 'text/html; charset=UTF-8']);
      assert.match(text, /<p>Undefined service: web\.<\/p>/);
    }
  });
});

describe('the service connector: PUT /service/{n}', () => {
  test('200 and no body; creates it where there is none, by the name of the path', async (t) => {
    const { ask } = await ground(t);
    const { status, text } = await ask('PUT', '/service/web', { image: 'example/web:1' });
    assert.deepEqual([status, text], [200, '']);
    assert.deepEqual((await ask('GET', '/service')).json, { web: { ...PLAIN, name: 'web' } });
  });

  test('replaces it, and keeps what operators added to the component', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    await ask('POST', '/service', WEB);
    const value = JSON.parse(cluster.get(AT_KEYS.config)?.value ?? '');
    value.file.components[0].drainTimeout = 5_000;
    put(cluster, AT_KEYS.config, value);
    await ask('PUT', '/service/web', { name: 'web', image: 'example/web:2' });
    const component = componentIn(served);
    const expected = {
      name: 'web',
      repo: 'example/web',
      tag: '2',
      drainTimeout: 5_000,
      instances: { total: 1 },
    };
    assert.deepEqual(component, expected);
  });

  test('one that is deployed gets a release of the new definition', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    await ask('POST', '/service', WEB);
    await scaled(served, 2);
    await ask('PUT', '/service/web', { ...WEB, image: 'example/web:2' });
    assert.equal(readDesired(cluster.get(AT_KEYS.desired('web')))?.release, 2);
    assert.equal(readRelease(cluster.get(AT_KEYS.release('web', 2)))?.image.name, 'example/web:2');
    assert.deepEqual(readScale(cluster.get(AT_KEYS.scale('web')))?.instances, { total: 2 });
  });

  test('400 without an image', async (t) => {
    const { ask } = await ground(t);
    const { status, text } = await ask('PUT', '/service/web', { command: 'sleep 1' });
    assert.equal(status, 400);
    assert.match(text, /<p>Missing parameter\.<\/p>/);
  });
});

describe('the service connector: POST /service/{n}/scale', () => {
  test('200 and no body once as many run; the first one deploys it', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    await ask('POST', '/service', WEB);
    const { status, text } = await scaled(served, 3);
    assert.deepEqual([status, text], [200, '']);
    const desired = readDesired(cluster.get(AT_KEYS.desired('web')));
    assert.deepEqual([desired?.status, desired?.release, desired?.by], ['ready', 1, 'local']);
    assert.equal((await scaled(served, 1)).status, 200);
    assert.equal(readDesired(cluster.get(AT_KEYS.desired('web')))?.release, 1);
  });

  test('to 0: all go, and the definition stays', async (t) => {
    const served = await ground(t);
    const { ask } = served;
    await ask('POST', '/service', WEB);
    assert.equal((await ask('POST', '/service/web/scale', { number: 0 })).status, 200);
    await scaled(served, 2);
    assert.equal((await scaled(served, 0)).status, 200);
    assert.deepEqual((await ask('GET', '/service/web/status')).json, { running_resources: 0 });
    assert.equal((await ask('GET', '/service/web')).status, 200);
  });

  test('takes a number as text, as the connector did', async (t) => {
    const { ask } = await ground(t);
    await ask('POST', '/service', WEB);
    assert.equal((await ask('POST', '/service/web/scale', { number: '0' })).status, 200);
  });

  test('400 without a number, and for what is none', async (t) => {
    const { ask } = await ground(t);
    await ask('POST', '/service', WEB);
    for (const path of ['/service/web/scale', '/service/unknown/scale']) {
      const none = await ask('POST', path, { total: 1 });
      assert.equal(none.status, 400);
      assert.match(none.text, /<p>Missing parameter\.<\/p>/);
    }
    for (const number of ['many', -1, 1.5, true, [2]]) {
      const { status, text } = await ask('POST', '/service/web/scale', { number });
      assert.equal(status, 400, String(number));
      assert.match(text, /<p>Invalid value for number parameter\.<\/p>/);
    }
    const nothing = await ask('POST', '/service/web/scale');
    assert.match(nothing.text, /No data received/);
  });

  test('500 where no host runs the project, and where the image cannot be had', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    await ask('POST', '/service', { ...WEB, image: 'example/gone:1' });
    const gone = await ask('POST', '/service/web/scale', { number: 1 });
    assert.equal(gone.status, 500);
    assert.match(gone.text, /example\/gone:1/);
    cluster.commit([], [{ kind: 'delete', key: keys().host('services', 'h1') }]);
    const nowhere = await ask('POST', '/service/web/scale', { number: 1 });
    assert.equal(nowhere.status, 500);
    assert.match(nowhere.text, /no live host runs the project services/);
  });
});

describe('the service connector: a connection on which a client waits', () => {
  test('is not cut for its silence, and has its bound again with the answer', async () => {
    const bounds = [60_000];
    const socket = {
      get timeout() {
        return bounds.at(-1);
      },
      setTimeout: (ms: number) => bounds.push(ms),
    };
    const call = { request: { socket } } as unknown as Call;
    const first = unhurried(call, () => unhurried(call, async () => bounds.at(-1)));
    assert.equal(await first, 0);
    await assert.rejects(unhurried(call, () => Promise.reject(new Error('no'))));
    assert.deepEqual(bounds, [60_000, 0, 0, 60_000, 0, 60_000]);
  });
});

describe('the service connector: GET /service/{n}/status', () => {
  test('200 {"running_resources":N}: what runs on all hosts, and is not to go', async (t) => {
    const served = await ground(t);
    const { ask, cluster } = served;
    await ask('POST', '/service', WEB);
    runs(served, 2);
    const other = { ...JSON.parse(cluster.get(AT_KEYS.status('web', 'h1'))?.value ?? ''), host: 'h2' };
    put(cluster, AT_KEYS.status('web', 'h2'), other);
    const { status, headers, text } = await ask('GET', '/service/web/status');
    assert.deepEqual([status, headers.get('content-type')], [200, 'application/json']);
    assert.equal(text, '{"running_resources":4}');
    for (const state of ['starting', 'warm', 'draining', 'failed']) {
      runs(served, 2, 'web', state);
      assert.deepEqual((await ask('GET', '/service/web/status')).json, { running_resources: 2 }, state);
    }
  });
});
