import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { projectJobRoutes } from '../../../src/api/jobs/job-routes.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { makeRunFolder, runFolder } from '../../../src/jobs/disk/run-folder.ts';
import { makeKeyFile, publicKeyOf } from '../../../src/secrets/key-file.ts';
import { openSecrets } from '../../../src/secrets/opened.ts';
import { publishKey } from '../../../src/secrets/secret-store.ts';
import { tempFolder, until } from '../../ground/harness.ts';
import { aHost, put, type Served, serve } from './jobs-ground.ts';

const RUNS = '/v1/projects/shop/runs';
const SCHEDULES = '/v1/projects/shop/schedules';
const SECRETS = '/v1/projects/shop/secrets';
const JOB = { name: 'backup', steps: [{ image: 'busybox:1', command: 'date' }] };
const AT_KEYS = keys().project('shop');

/** The routes, with a host that runs jobs. */
async function ground(t: TestContext) {
  const served = await serve(t, projectJobRoutes);
  return { ...served, host: await aHost(t, served) };
}

async function submitted({ ask }: Served, job: object = JOB, query = ''): Promise<string> {
  const { status, json } = await ask('POST', `${RUNS}${query}`, job);
  assert.equal(status, 201, JSON.stringify(json));
  return json.id;
}

describe('runs over HTTP', () => {
  test('are made of a job document, and shown with what they wait for', async (t) => {
    const { ask } = await ground(t);
    const made = await ask('POST', RUNS, JOB);
    assert.equal(made.status, 201);
    const { id, state, by, job } = made.json;
    assert.match(id, /^backup\.20261121T143022Z-[0-9a-z]{4}$/);
    assert.deepEqual([state, by, job.steps[0].command], ['pending', 'local', ['date']]);
    assert.equal(made.headers.get('location'), `${RUNS}/${id}`);
    const shown = await ask('GET', `${RUNS}/${id}`);
    assert.deepEqual([shown.status, shown.json.pending], [200, 'all hosts that may run it are busy: h1']);
    const listed = await ask('GET', RUNS);
    assert.deepEqual(
      [listed.json.project, listed.json.runs.map((run: { id: string }) => run.id), listed.json.more],
      ['shop', [id], false],
    );
  });

  test("take the workflow engine's form as well", async (t) => {
    const { ask } = await ground(t);
    const { status, json } = await ask('POST', RUNS, { steps: [{ source: 'busybox' }] });
    assert.deepEqual([status, json.job.steps[0].image], [201, 'busybox:latest']);
  });

  test('are refused with all that is wrong with the job, each with its place', async (t) => {
    const { ask, cluster } = await ground(t);
    const { status, headers, json } = await ask('POST', RUNS, {
      steps: [{ image: 'busybox:1', comand: 'date' }, { image: 'no such:image' }],
    });
    assert.deepEqual([status, headers.get('content-type')], [422, 'application/problem+json']);
    assert.equal(json.code, 'config-invalid');
    const places = json.problems.map((problem: { pointer: string }) => problem.pointer);
    assert.deepEqual(places.sort(), ['/steps/0/comand', '/steps/1/image']);
    assert.equal(cluster.list(AT_KEYS.jobs.runs()).entries.length, 0);
  });

  test('are refused where no live host may run them', async (t) => {
    const { ask } = await serve(t, projectJobRoutes);
    const { status, json } = await ask('POST', RUNS, JOB);
    assert.deepEqual([status, json.code, json.retryable], [409, 'no-hosts', true]);
    assert.match(json.detail, /Nothing was submitted: no live host runs jobs/);
  });

  test('of a given id are made once, however often they are asked for', async (t) => {
    const { ask } = await ground(t);
    const first = await ask('POST', `${RUNS}?id=deploy-7`, JOB);
    const again = await ask('POST', `${RUNS}?id=deploy-7`, JOB);
    assert.deepEqual([first.status, again.status, again.json.id], [201, 200, 'deploy-7']);
    const other = await ask('POST', `${RUNS}?id=deploy-7`, { ...JOB, name: 'other' });
    assert.deepEqual([other.status, other.json.code], [400, 'usage']);
    assert.match(other.json.detail, /There is a run deploy-7 already/);
  });

  test('are waited for, and told with how they ended', async (t) => {
    const served = await ground(t);
    const { ask, host, cluster } = served;
    const asked = ask('POST', `${RUNS}?id=slow&wait=20s`, { ...JOB, remove: true });
    await until(() => cluster.get(AT_KEYS.jobs.run('slow')), { timeoutMs: 5_000, what: 'the run' });
    await (await host.begin('slow')).end(3);
    const { status, json } = await asked;
    assert.deepEqual([status, json.state, json.end.exitCode], [201, 'failed', 3]);
    assert.equal((await ask('GET', `${RUNS}/slow`)).status, 404, 'nothing of it was to be kept');
  });

  test('are told as they are when the time to wait is over', async (t) => {
    const { ask } = await ground(t);
    const { status, json } = await ask('POST', `${RUNS}?wait=50ms`, JOB);
    assert.deepEqual([status, json.state], [201, 'pending']);
    const wrong = await ask('POST', `${RUNS}?wait=soon`, JOB);
    assert.deepEqual([wrong.status, wrong.json.problems[0].pointer], [422, '?wait']);
  });

  test('are listed when they are over only if that is asked for, so many at a time', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    for (const id of ['a', 'b', 'c']) await submitted(served, JOB, `?id=${id}`);
    await (await host.begin('a')).end();
    assert.deepEqual((await ask('GET', RUNS)).json.runs.length, 2);
    const { json } = await ask('GET', `${RUNS}?all=true&limit=2`);
    assert.deepEqual([json.runs.length, json.more], [2, true]);
    assert.equal((await ask('GET', `${RUNS}?limit=0`)).status, 422);
  });

  test('are cancelled at once while nobody runs them, and by their host where one does', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    await submitted(served, JOB, '?id=waiting');
    const over = await ask('POST', `${RUNS}/waiting/cancel?why=not%20needed`);
    assert.deepEqual([over.status, over.json.state], [200, 'cancelled']);
    assert.equal(over.json.end.why, 'cancelled by local: not needed');
    await submitted(served, JOB, '?id=running');
    const running = await host.begin('running');
    const asked = await ask('POST', `${RUNS}/running/cancel`);
    assert.deepEqual([asked.status, asked.json.state, asked.json.cancel.by], [202, 'running', 'local']);
    await running.end();
  });

  test('are removed once they are over', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    await submitted(served, JOB, '?id=a');
    const running = await host.begin('a');
    const early = await ask('DELETE', `${RUNS}/a`);
    assert.deepEqual([early.status, early.json.code], [409, 'run-active']);
    await running.end();
    assert.equal((await ask('DELETE', `${RUNS}/a`)).status, 204);
    const gone = await ask('GET', `${RUNS}/a`);
    assert.deepEqual([gone.status, gone.json.code], [404, 'run-unknown']);
  });

  test('give their log from the host that has it, as it comes, from before it began to its end', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    await submitted(served, JOB, '?id=a');
    assert.equal((await ask('GET', `${RUNS}/a/log`)).status, 404, 'no host has begun it');
    const followed = ask('GET', `${RUNS}/a/log?follow=true`);
    const running = await host.begin('a');
    await running.print('one\n');
    await running.print('two\n', 'stderr');
    await running.end();
    const { status, headers, text } = await followed;
    assert.deepEqual([status, headers.get('content-type')], [200, 'application/x-ndjson']);
    const lines = text.split('\n').filter((line) => line !== '');
    const told = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      told.map(({ entry, end }) => (end ? 'end' : `${entry.stream} ${entry.text}`)),
      ['stdout one\n', 'stderr two\n', 'end'],
    );
    const rest = await ask('GET', `${RUNS}/a/log?from=${encodeURIComponent(told[0].next)}`);
    assert.match(rest.text, /two/);
    assert.doesNotMatch(rest.text, /one/);
    assert.doesNotMatch((await ask('GET', `${RUNS}/a/log?tail=1`)).text, /one/);
  });

  test('give their output once they have ended well', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    await submitted(served, JOB, '?id=a');
    const running = await host.begin('a');
    const early = await ask('GET', `${RUNS}/a/output`);
    assert.deepEqual([early.status, early.json.code, early.json.retryable], [404, 'output-gone', true]);
    await running.end(0, 'all of it');
    const { status, headers, text } = await ask('GET', `${RUNS}/a/output`);
    assert.deepEqual(
      [status, headers.get('content-type'), headers.get('content-length'), text],
      [200, 'application/octet-stream', '9', 'all of it'],
    );
  });

  test('take their input on the host that has begun them, and wait for one', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    await submitted(served, JOB, '?id=a&input=upload');
    const sent = ask('PUT', `${RUNS}/a/input`, 'what it reads');
    const running = await host.begin('a');
    assert.equal((await sent).status, 204);
    assert.equal(await readFile(running.folder.input, 'utf8'), 'what it reads');
    await running.end();
    await submitted(served, JOB, '?id=b');
    const other = await host.begin('b');
    const none = await ask('PUT', `${RUNS}/b/input`, 'too much');
    assert.deepEqual([none.status, none.json.code], [400, 'usage']);
    await other.end();
  });

  test('of a host that is this one are read from its own disk', async (t) => {
    const stateDir = await tempFolder(t);
    const served = await serve(t, projectJobRoutes, { stateDir, host: 'h1', project: 'shop' });
    const host = await aHost(t, served);
    await submitted(served, JOB, '?id=a');
    await (await host.begin('a')).end(0, 'of the other disk');
    const folder = runFolder(stateDir, 'shop', 'a');
    await makeRunFolder(folder);
    await writeFile(folder.output, 'of this disk');
    assert.equal((await served.ask('GET', `${RUNS}/a/output`)).text, 'of this disk');
  });
});

describe('schedules over HTTP', () => {
  const NIGHTLY = { cron: '0 3 * * *', image: 'busybox:1' };

  test('are created, replaced, listed and shown with their next ticks', async (t) => {
    const { ask } = await ground(t);
    const created = await ask('PUT', `${SCHEDULES}/nightly`, NIGHTLY);
    assert.deepEqual([created.status, created.json.created, created.json.timeZone], [201, true, 'UTC']);
    assert.equal(created.json.next[0], '2026-11-22T03:00:00.000Z');
    const again = await ask('PUT', `${SCHEDULES}/nightly`, { ...NIGHTLY, name: 'nightly', cron: '@daily' });
    assert.deepEqual([again.status, again.json.created, again.json.cron], [200, false, '@daily']);
    const listed = await ask('GET', SCHEDULES);
    assert.deepEqual(
      listed.json.schedules.map((one: { name: string; next: string[] }) => [one.name, one.next.length]),
      [['nightly', 1]],
    );
    const shown = await ask('GET', `${SCHEDULES}/nightly`);
    assert.deepEqual([shown.status, shown.json.next.length, shown.json.runs], [200, 5, []]);
  });

  test('are refused as the command line refuses them', async (t) => {
    const { ask } = await ground(t);
    const { status, json } = await ask('PUT', `${SCHEDULES}/nightly`, { cron: '61 * * * *', image: 'a b' });
    assert.deepEqual([status, json.code], [422, 'config-invalid']);
    const places = json.problems.map((problem: { pointer: string }) => problem.pointer);
    assert.deepEqual(places.sort(), ['/cron', '/image']);
    const other = await ask('PUT', `${SCHEDULES}/nightly`, { ...NIGHTLY, name: 'daily' });
    assert.deepEqual([other.status, other.json.problems[0].pointer], [422, '/name']);
    assert.equal((await ask('PUT', `${SCHEDULES}/-x`, NIGHTLY)).status, 422);
  });

  test('wait for a host to look whether their images can be had, where that is asked for', async (t) => {
    const { ask, cluster } = await ground(t);
    const asked = ask('PUT', `${SCHEDULES}/nightly?wait=20s`, NIGHTLY);
    const key = AT_KEYS.jobs.schedule('nightly');
    const there = await until(() => cluster.get(key), { timeoutMs: 5_000, what: 'the schedule' });
    put(cluster, key, { ...JSON.parse(there.value), trouble: 'busybox:1 cannot be had' });
    const { status, json } = await asked;
    assert.deepEqual([status, json.trouble, json.next], [201, 'busybox:1 cannot be had', []]);
  });

  test('are run by hand, suspended, resumed and deleted', async (t) => {
    const { ask, host } = await ground(t);
    await ask('PUT', `${SCHEDULES}/nightly`, NIGHTLY);
    const run = await ask('POST', `${SCHEDULES}/nightly/run`);
    assert.deepEqual([run.status, run.json.schedule.name], [201, 'nightly']);
    const busy = await ask('POST', `${SCHEDULES}/nightly/run`);
    assert.deepEqual([busy.status, busy.json.code], [409, 'schedule-busy']);
    await (await host.begin(run.json.id)).end();
    const past = await ask('GET', `${SCHEDULES}/nightly/history`);
    assert.deepEqual(
      past.json.runs.map((one: { state: string }) => one.state),
      ['complete'],
    );
    const suspended = await ask('POST', `${SCHEDULES}/nightly/suspend`);
    assert.deepEqual(suspended.json, { schedule: 'nightly', suspended: true, changed: true });
    const kept = await ask('PUT', `${SCHEDULES}/nightly`, NIGHTLY);
    assert.deepEqual([kept.json.staysSuspended, kept.json.next], [true, []]);
    assert.equal((await ask('POST', `${SCHEDULES}/nightly/resume`)).json.suspended, false);
    const gone = await ask('DELETE', `${SCHEDULES}/nightly`);
    assert.deepEqual(gone.json, { schedule: 'nightly', deleted: true, underWay: [] });
    const unknown = await ask('GET', `${SCHEDULES}/nightly`);
    assert.deepEqual([unknown.status, unknown.json.code], [404, 'schedule-unknown']);
  });
});

describe('secrets over HTTP', () => {
  test('are set, sealed for the hosts, listed without their values, and removed', async (t) => {
    const served = await ground(t);
    const { ask, store, cluster } = served;
    const place = { store, keys: AT_KEYS, project: 'shop' };
    const early = await ask('PUT', `${SECRETS}/db`, 'pa55word');
    assert.deepEqual([early.status, early.json.code], [409, 'secrets-key']);
    const key = await makeKeyFile(join(await tempFolder(t), 'secrets.key'));
    await publishKey(place, publicKeyOf(key), 'h1', 0);
    const set = await ask('PUT', `${SECRETS}/db`, 'pa55word');
    assert.deepEqual([set.status, set.json], [200, { secret: 'db', bytes: 8, warnings: [] }]);
    const listed = await ask('GET', SECRETS);
    assert.deepEqual(
      listed.json.secrets.map(({ name, bytes, by }: Record<string, unknown>) => [name, bytes, by]),
      [['db', 8, 'local']],
    );
    const written = cluster.list({ from: '/', to: '0' }).entries.map((entry) => entry.value);
    assert.doesNotMatch([...written, set.text, listed.text].join(), /pa55word/);
    const opened = openSecrets({ ...place, stateDir: await tempFolder(t), key: async () => key });
    assert.equal((await opened.values([{ name: 'db' }])).get('db')?.toString(), 'pa55word');
    assert.equal((await ask('DELETE', `${SECRETS}/db`)).status, 204);
    const gone = await ask('DELETE', `${SECRETS}/db`);
    assert.deepEqual([gone.status, gone.json.code], [404, 'secret-unknown']);
  });

  test('that are empty or too large are refused', async (t) => {
    const { ask } = await ground(t);
    assert.equal((await ask('PUT', `${SECRETS}/db`, 'x'.repeat(600_000))).status, 413);
  });
});

test('names that would be other keys are refused', async (t) => {
  const { ask, cluster } = await ground(t);
  const before = cluster.list({ from: '/', to: '0' }).entries.length;
  for (const path of ['/v1/projects/a%2Fb/runs', '/v1/projects/..%2Fx/runs', '/v1/projects/-x/runs'])
    assert.equal((await ask('POST', path, JOB)).status, 400, path);
  assert.equal((await ask('POST', `${RUNS}?id=a%2Fb`, JOB)).status, 400);
  assert.equal(cluster.list({ from: '/', to: '0' }).entries.length, before);
});
