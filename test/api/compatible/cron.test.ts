import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { cronRoutes } from '../../../src/api/compatible/cron.ts';
import { readSchedule } from '../../../src/cluster/job-values.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { pushSchedule, runSchedule } from '../../../src/jobs/intents/intents.ts';
import { fleetOn } from '../../jobs/intents/intents-ground.ts';
import { aJob, aSchedule, aStep } from '../../jobs/job-values.ts';
import { aHost, put, serve } from '../jobs/jobs-ground.ts';

const AT_KEYS = keys().project('jobs');
const JSON_TYPE = 'application/json; charset=UTF-8';
const HELLO = {
  Name: 'hello',
  Cron: '*/5 * * * *',
  Container: {
    Config: { Image: 'busybox:1', Cmd: ['echo', 'hello'], Env: ['WHO=docket', 'PATH'], WorkingDir: '/' },
    HostConfig: {
      ...{ Memory: 33_554_432, NanoCpus: 500_000_000, NetworkMode: 'host', Dns: ['10.0.0.1'] },
      Binds: ['/srv/data:/data:ro', 'cache:/cache'],
    },
    NetworkingConfig: {},
  },
};

async function ground(t: TestContext) {
  const served = await serve(t, cronRoutes);
  const fleet = { ...fleetOn(served.store, served.clock), project: 'jobs' };
  return { ...served, fleet, host: await aHost(t, served, 'jobs') };
}

describe('the cron server: POST /cron', () => {
  test('200 {"created":true}, and false for one that replaces another', async (t) => {
    const { ask } = await ground(t);
    const { status, headers, text } = await ask('POST', '/cron', HELLO);
    assert.deepEqual([status, headers.get('content-type'), text], [200, JSON_TYPE, '{"created":true}']);
    const again = await ask('POST', '/cron/', { ...HELLO, Cron: '@daily' });
    assert.deepEqual([again.status, again.text], [200, '{"created":false}']);
    assert.equal((await ask('GET', '/cron/hello')).json.Cron, '@daily');
  });

  test('makes a schedule, in the time zone of the machine that serves', async (t) => {
    const { ask, cluster } = await ground(t);
    await ask('POST', '/cron', HELLO);
    const value = readSchedule(cluster.get(AT_KEYS.jobs.schedule('hello')));
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    assert.deepEqual(
      [value?.schedule.timeZone, value?.schedule.cron, value?.by],
      [zone, HELLO.Cron, 'local'],
    );
    assert.deepEqual(value?.schedule.job.steps[0]?.command, ['echo', 'hello']);
  });

  test('400 for what is no JSON', async (t) => {
    const { ask } = await ground(t);
    const { status, json } = await ask('POST', '/cron', '{"Name"');
    assert.deepEqual([status, json.fields], [400, {}]);
    assert.deepEqual(Object.keys(json.overall), ['DeserializationError']);
  });

  const refused: readonly (readonly [string, unknown, Record<string, RegExp>])[] = [
    ['without anything', {}, { Name: /^Required$/, Cron: /^Required$/, Container: /^Required$/ }],
    ['that is no object', [], { Name: /^Required$/, Cron: /^Required$/, Container: /^Required$/ }],
    ['without a name', { ...HELLO, Name: '' }, { Name: /^Required$/ }],
    ['without a name and a cron', { Container: HELLO.Container }, { Name: /^Required$/, Cron: /^Required$/ }],
    ['with a name that cannot be', { ...HELLO, Name: 'a/b' }, { Name: /\w+/ }],
    ['with a bad cron', { ...HELLO, Cron: 'now and then' }, { Cron: /\w+/ }],
    ['without a config', { ...HELLO, Container: {} }, { 'Container.Config': /^Config is required$/ }],
    [
      'without an image',
      { ...HELLO, Container: { Config: { Cmd: ['date'] } } },
      { 'Container.Config.Image': /^Image is required$/ },
    ],
    [
      'with an empty image',
      { ...HELLO, Container: { Config: { Image: '' } } },
      { 'Container.Config.Image': /^Image is required$/ },
    ],
  ];
  for (const [what, sent, fields] of refused) {
    test(`422 {overall, fields} for one ${what}`, async (t) => {
      const { ask, cluster } = await ground(t);
      const { status, headers, json } = await ask('POST', '/cron', JSON.stringify(sent));
      assert.deepEqual([status, headers.get('content-type'), json.overall], [422, JSON_TYPE, {}]);
      assert.deepEqual(Object.keys(json.fields), Object.keys(fields));
      for (const [field, words] of Object.entries(fields)) assert.match(json.fields[field], words);
      assert.equal(cluster.list(AT_KEYS.jobs.schedules()).entries.length, 0);
    });
  }
});

test('the cron server: names that every object has are names like others', async (t) => {
  const { ask } = await ground(t);
  const { Container, ...rest } = HELLO;
  const sent = JSON.stringify({ ...rest, Container, constructor: 1, toString: 2, hasOwnProperty: 3 });
  const { status, json } = await ask('POST', '/cron', sent);
  assert.equal(status, 422);
  for (const name of ['constructor', 'toString', 'hasOwnProperty'])
    assert.equal(typeof json.fields[name], 'string', JSON.stringify(json));
  assert.equal((await ask('POST', '/cron', '{"Name": "a", "__proto__": {"Cron": "@daily"}}')).status, 400);
});

describe('the cron server: GET /cron', () => {
  test('200, an array of allocations, each as it was sent, with Logs', async (t) => {
    const { ask } = await ground(t);
    assert.deepEqual((await ask('GET', '/cron')).json, []);
    await ask('POST', '/cron', { ...HELLO, Name: 'world' });
    await ask('POST', '/cron', HELLO);
    for (const path of ['/cron', '/cron/']) {
      const { status, headers, json } = await ask('GET', path);
      assert.deepEqual([status, headers.get('content-type')], [200, JSON_TYPE]);
      assert.deepEqual(json, [
        { ...HELLO, Logs: [] },
        { ...HELLO, Name: 'world', Logs: [] },
      ]);
    }
  });

  test('leaves out schedules that have more to them than an allocation can say', async (t) => {
    const { ask, fleet } = await ground(t);
    await pushSchedule(
      fleet,
      aSchedule({ name: 'plain', job: aJob({ name: 'plain', keepMs: 604_800_000 }) }),
    );
    const steps = [aStep(), aStep()];
    await pushSchedule(fleet, aSchedule({ name: 'pipeline', job: aJob({ name: 'pipeline', steps }) }));
    const names = (await ask('GET', '/cron')).json.map(({ Name }: { Name: string }) => Name);
    assert.deepEqual(names, ['plain']);
    for (const method of ['GET', 'DELETE']) assert.equal((await ask(method, '/cron/pipeline')).status, 404);
  });

  test('500 {} while etcd does not answer', async (t) => {
    const { ask, store } = await ground(t);
    store.disconnect();
    const { status, text } = await ask('GET', '/cron');
    assert.deepEqual([status, text], [500, '{}']);
  });
});

describe('the cron server: GET /cron/:name', () => {
  test('200, the allocation; what it left out is there, and empty', async (t) => {
    const { ask } = await ground(t);
    await ask('POST', '/cron', { ...HELLO, Container: { Config: { Image: 'busybox:1' } } });
    const { status, headers, json } = await ask('GET', '/cron/hello');
    assert.deepEqual([status, headers.get('content-type')], [200, JSON_TYPE]);
    assert.deepEqual(json, {
      ...{ Name: 'hello', Cron: HELLO.Cron, Logs: [] },
      Container: { Config: { Image: 'busybox:1' }, HostConfig: {}, NetworkingConfig: {} },
    });
  });

  test('its Logs tell of its runs, and stay when it is replaced', async (t) => {
    const { ask, fleet, host } = await ground(t);
    await ask('POST', '/cron', HELLO);
    const good = await runSchedule(fleet, 'hello');
    await (await host.begin(good.id)).end();
    const bad = await runSchedule(fleet, 'hello');
    await (await host.begin(bad.id)).end(3);
    assert.equal((await ask('POST', '/cron', HELLO)).text, '{"created":false}');
    const { json } = await ask('GET', '/cron/hello');
    const began = '2026-11-21 14:30:22 +0000 UTC';
    const ended = '2026-11-21 14:30:23 +0000 UTC';
    const told = ({ id }: { id: string }, end: string) => [
      `${began}, [created: ${id} c0ffee]`,
      `${began}, [started: ${id} c0ffee]`,
      `${ended}, [${end}]`,
    ];
    assert.deepEqual(
      [...json.Logs].sort(),
      [
        ...told(good, `ended: ${good.id} with exit code 0`),
        ...told(bad, `failed: ${bad.id} step 1 ended with exit code 3`),
      ].sort(),
    );
  });

  test('its Logs tell why it cannot run', async (t) => {
    const { ask, cluster } = await ground(t);
    await ask('POST', '/cron', HELLO);
    const key = AT_KEYS.jobs.schedule('hello');
    const value = JSON.parse(cluster.get(key)?.value ?? '');
    put(cluster, key, { ...value, trouble: 'busybox:1 cannot be had' });
    assert.deepEqual((await ask('GET', '/cron/hello')).json.Logs, [
      '2026-11-21 14:30:22 +0000 UTC, [busybox:1 cannot be had]',
    ]);
  });

  test('404 {} for what is none', async (t) => {
    const { ask } = await ground(t);
    const { status, headers, text } = await ask('GET', '/cron/nobody');
    assert.deepEqual([status, headers.get('content-type'), text], [404, JSON_TYPE, '{}']);
    assert.match(headers.get('gantryd-reason') ?? '', /jobs has no schedule nobody/);
  });
});

describe('the cron server: DELETE /cron/:name', () => {
  test('200 {"deleted":true}', async (t) => {
    const { ask } = await ground(t);
    await ask('POST', '/cron', HELLO);
    const { status, headers, text } = await ask('DELETE', '/cron/hello');
    assert.deepEqual([status, headers.get('content-type'), text], [200, JSON_TYPE, '{"deleted":true}']);
    assert.deepEqual((await ask('GET', '/cron')).json, []);
  });

  test('404 {} for what is none', async (t) => {
    const { ask } = await ground(t);
    const { status, text } = await ask('DELETE', '/cron/nobody');
    assert.deepEqual([status, text], [404, '{}']);
  });
});
