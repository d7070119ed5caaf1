import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { workflowRoutes } from '../../../src/api/compatible/workflow.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { activeRun, aHost, type Served, serve } from '../jobs/jobs-ground.ts';

const ID = /^[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}$/;
const NOBODY = '00000000-0000-0000-0000-000000000000';
const AT_KEYS = keys().project('jobs');
const JOB = {
  name: 'Word Job',
  environment: [{ variable: 'WHO', value: 'me' }],
  steps: [
    { name: 'random-words', source: 'example/words', environment: [{ variable: 'COUNT', value: '10' }] },
    { source: 'example/sort:1', output: 'stderr', refresh: true },
  ],
};

async function ground(t: TestContext) {
  const served = await serve(t, workflowRoutes);
  return { ...served, host: await aHost(t, served, 'jobs') };
}

async function made({ ask }: Served, job: object = JOB): Promise<string> {
  return (await ask('POST', '/jobs', job)).json.id;
}

describe('the workflow engine: POST /jobs', () => {
  test('201, JSON, the job with its id; it is left to run', async (t) => {
    const { ask, cluster } = await ground(t);
    const { status, headers, json } = await ask('POST', '/jobs', JOB);
    assert.deepEqual([status, headers.get('content-type')], [201, 'application/json']);
    const { id, ...echo } = json;
    assert.match(id, ID);
    assert.deepEqual(echo, JOB);
    const { state, job } = activeRun(cluster, AT_KEYS, id);
    assert.equal(state, 'pending');
    assert.deepEqual(
      job.steps.map((step) => [step.image, step.output.kind, step.refresh]),
      [
        ['example/words:latest', 'stdout', false],
        ['example/sort:1', 'stderr', true],
      ],
    );
    assert.deepEqual(job.environment, [{ name: 'WHO', value: 'me' }]);
  });

  test('leaves out what is empty, and takes no id or status from whoever asks', async (t) => {
    const { ask } = await ground(t);
    const sent = { id: 'mine', status: 'complete', stepsCompleted: 2, name: '', environment: [] };
    const { status, json } = await ask('POST', '/jobs', { ...sent, steps: [{ source: 'a' }] });
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(json), ['id', 'steps']);
    assert.match(json.id, ID);
  });

  test('what is null was not said', async (t) => {
    const { ask } = await ground(t);
    const nothing = { name: null, output: null, refresh: null, environment: null };
    const steps = [{ source: 'a', ...nothing }];
    const { status, json, headers } = await ask('POST', '/jobs', { name: null, environment: null, steps });
    assert.equal(status, 201, headers.get('gantryd-reason') ?? '');
    assert.deepEqual([Object.keys(json), json.steps], [['id', 'steps'], [{ source: 'a' }]]);
  });

  test('asks for no content type', async (t) => {
    const { ask } = await ground(t);
    const { status } = await ask('POST', '/jobs', JSON.stringify(JOB));
    assert.equal(status, 201);
  });

  test('what is no JSON: 400, and no body', async (t) => {
    const { ask } = await ground(t);
    const { status, text, headers } = await ask('POST', '/jobs', '{"steps": [');
    assert.deepEqual([status, text], [400, '']);
    assert.equal(headers.get('gantryd-reason'), 'the body is no JSON in UTF-8');
  });

  test('what is no job, as one without steps: 422, and no body', async (t) => {
    const { ask, cluster } = await ground(t);
    for (const job of [{}, { steps: [] }, { steps: [{ name: 'no source' }] }, [], 'text']) {
      const { status, text, headers } = await ask('POST', '/jobs', JSON.stringify(job));
      assert.deepEqual([status, text], [422, ''], JSON.stringify(job));
      assert.match(headers.get('gantryd-reason') ?? '', /^the job cannot be used: /);
    }
    assert.equal(cluster.list(AT_KEYS.jobs.runs()).entries.length, 0);
  });

  test('what nobody could run: 500, and no body', async (t) => {
    const { ask } = await serve(t, workflowRoutes);
    const { status, text, headers } = await ask('POST', '/jobs', JOB);
    assert.deepEqual([status, text], [500, '']);
    assert.match(headers.get('gantryd-reason') ?? '', /no live host runs jobs/);
  });
});

describe('the workflow engine: GET /jobs', () => {
  test('200, JSON, ids alone, in the order in which they were made', async (t) => {
    const served = await ground(t);
    const { ask, clock, host } = served;
    assert.deepEqual((await ask('GET', '/jobs')).json, []);
    const ids: string[] = [];
    for (let at = 0; at < 4; at++) {
      clock.at += 1_000;
      ids.push(await made(served));
    }
    await (await host.begin(ids[2] ?? '')).end();
    const { status, headers, json } = await ask('GET', '/jobs');
    assert.deepEqual([status, headers.get('content-type')], [200, 'application/json']);
    assert.deepEqual(
      json,
      ids.map((id) => ({ id })),
    );
  });

  test('500 and no body while etcd does not answer', async (t) => {
    const { ask, store } = await ground(t);
    store.disconnect();
    const { status, text } = await ask('GET', '/jobs');
    assert.deepEqual([status, text], [500, '']);
  });
});

describe('the workflow engine: GET /jobs/{id}', () => {
  test('200, JSON, id, stepsCompleted and status, each left out while there is none', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    const id = await made(served);
    const waiting = await ask('GET', `/jobs/${id}`);
    assert.deepEqual([waiting.status, waiting.headers.get('content-type')], [200, 'application/json']);
    assert.deepEqual(waiting.json, { id });
    const running = await host.begin(id);
    assert.deepEqual((await ask('GET', `/jobs/${id}`)).json, { id, status: 'running' });
    await running.end();
    assert.deepEqual((await ask('GET', `/jobs/${id}`)).json, { id, stepsCompleted: 2, status: 'complete' });
  });

  test('one that failed has the status error', async (t) => {
    const served = await ground(t);
    const id = await made(served);
    await (await served.host.begin(id)).end(7);
    assert.deepEqual((await served.ask('GET', `/jobs/${id}`)).json, { id, status: 'error' });
  });

  test('404 and no body for what is none, the beginning of an id too', async (t) => {
    const served = await ground(t);
    const id = await made(served);
    for (const other of [NOBODY, id.slice(0, 8)]) {
      const { status, text } = await served.ask('GET', `/jobs/${other}`);
      assert.deepEqual([status, text], [404, '']);
    }
  });
});

describe('the workflow engine: GET /jobs/{id}/log', () => {
  async function logged(t: TestContext) {
    const served = await ground(t);
    const id = await made(served);
    const running = await served.host.begin(id);
    await running.print('zero\none\r\nt');
    await running.print('oops\n', 'stderr');
    await running.print('wo\nunfinished');
    const lines = async (query = '') => {
      const { status, headers, json } = await served.ask('GET', `/jobs/${id}/log${query}`);
      assert.deepEqual([status, headers.get('content-type')], [200, 'application/json']);
      return json.lines;
    };
    return { ...served, id, running, lines };
  }

  test('200, JSON, the lines of both streams, each as soon as it is whole', async (t) => {
    const { lines, running } = await logged(t);
    assert.deepEqual(await lines(), ['zero', 'one', 'oops', 'two']);
    await running.end();
    assert.deepEqual(await lines(), ['zero', 'one', 'oops', 'two', 'unfinished']);
  });

  test('from line N on, so that a client pages by adding the number of lines that it got', async (t) => {
    const { lines, running } = await logged(t);
    assert.deepEqual(await lines('?index=0'), ['zero', 'one', 'oops', 'two']);
    assert.deepEqual(await lines('?index=4'), []);
    await running.print(' no more\n');
    assert.deepEqual(await lines('?index=4'), ['unfinished no more']);
    await running.end();
    assert.deepEqual(await lines('?index=99'), []);
  });

  test('a bad N counts as 0, and words that it does not know are passed over', async (t) => {
    const { lines, running } = await logged(t);
    assert.deepEqual(await lines('?since=1&index=3'), ['two']);
    for (const bad of ['?index=', '?index=abc', '?index=1.5', '?index=1e1'])
      assert.equal((await lines(bad))[0], 'zero', bad);
    await running.end();
  });

  test('a negative N counts from the end', async (t) => {
    const { lines, running } = await logged(t);
    assert.deepEqual(await lines('?index=-1'), ['two']);
    assert.deepEqual(await lines('?index=-3'), ['one', 'oops', 'two']);
    assert.deepEqual(await lines('?index=-99'), ['zero', 'one', 'oops', 'two']);
    await running.end();
  });

  test('of a job that nobody runs yet: no lines', async (t) => {
    const served = await ground(t);
    const { status, json } = await served.ask('GET', `/jobs/${await made(served)}/log`);
    assert.deepEqual([status, json], [200, { lines: [] }]);
  });

  test('a line without an end comes in pieces', async (t) => {
    const { lines, running } = await logged(t);
    await running.print('x'.repeat(100_000));
    const [, , , , piece = ''] = await lines();
    assert.ok(piece.length > 60_000, `${piece.length} characters`);
    await running.end();
  });

  test('404 and no body for what is none', async (t) => {
    const { ask } = await ground(t);
    const { status, text } = await ask('GET', `/jobs/${NOBODY}/log`);
    assert.deepEqual([status, text], [404, '']);
  });

  test('500 and no body when the host that has it is away', async (t) => {
    const { ask, id, running, cluster } = await logged(t);
    await running.end();
    cluster.commit([], [{ kind: 'delete', key: AT_KEYS.jobs.executor('h1') }]);
    const { status, text, headers } = await ask('GET', `/jobs/${id}/log`);
    assert.deepEqual([status, text], [500, '']);
    assert.match(headers.get('gantryd-reason') ?? '', /are on h1, which runs no jobs now/);
  });
});

describe('the workflow engine: DELETE /jobs/{id}', () => {
  test('204, no body, no content type; what is over is gone', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    const id = await made(served);
    await (await host.begin(id)).end();
    const { status, text, headers } = await ask('DELETE', `/jobs/${id}`);
    assert.deepEqual([status, text, headers.get('content-type')], [204, '', null]);
    assert.equal((await ask('GET', `/jobs/${id}`)).status, 404);
    assert.deepEqual((await ask('GET', '/jobs')).json, []);
  });

  test('one under way is not stopped, not known any more, and nothing of it is kept', async (t) => {
    const served = await ground(t);
    const { ask, host, cluster } = served;
    const id = await made(served);
    const running = await host.begin(id);
    assert.equal((await ask('DELETE', `/jobs/${id}`)).status, 204);
    const { state, cancel } = activeRun(cluster, AT_KEYS, id);
    assert.deepEqual([state, cancel], ['running', undefined]);
    assert.equal((await ask('GET', `/jobs/${id}`)).status, 404);
    assert.deepEqual((await ask('GET', '/jobs')).json, []);
    await running.end();
    assert.equal(cluster.get(AT_KEYS.ended(id)), undefined);
  });

  test('404 and no body for what is none, or was deleted before', async (t) => {
    const served = await ground(t);
    const { ask, host } = served;
    const id = await made(served);
    const running = await host.begin(id);
    await ask('DELETE', `/jobs/${id}`);
    for (const other of [NOBODY, id]) {
      const { status, text } = await ask('DELETE', `/jobs/${other}`);
      assert.deepEqual([status, text], [404, '']);
    }
    await running.end();
  });
});

test('the workflow engine: all of it also below /v1, /v1.2 and so on, and below nothing else', async (t) => {
  const served = await ground(t);
  const { ask, host } = served;
  const { status, json } = await ask('POST', '/v1/jobs', JOB);
  assert.equal(status, 201);
  const { id } = json;
  assert.deepEqual((await ask('GET', '/v1.2/jobs')).json, [{ id }]);
  assert.deepEqual((await ask('GET', `/v0.10.0/jobs/${id}`)).json, { id });
  assert.deepEqual((await ask('GET', `/v2/jobs/${id}/log?index=0`)).json, { lines: [] });
  await (await host.begin(id)).end();
  assert.equal((await ask('DELETE', `/v1/jobs/${id}`)).status, 204);
  assert.equal((await ask('GET', '/vx/jobs')).status, 404);
  assert.equal((await ask('GET', '/other/jobs')).status, 404);
});

test("the workflow engine: jobs are runs of the agent's own project", async (t) => {
  const served = await serve(t, workflowRoutes, { project: 'shop' });
  await aHost(t, served, 'shop');
  const { json } = await served.ask('POST', '/jobs', JOB);
  assert.equal(activeRun(served.cluster, keys().project('shop'), json.id).by, 'local');
});
