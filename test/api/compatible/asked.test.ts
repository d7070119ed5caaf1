import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiGround } from '../api-ground.ts';

const JOB = { steps: [{ source: 'busybox' }] };

test('without a token nobody is told anything, whichever system he knows', async (t) => {
  const { ask } = await apiGround(t);
  for (const path of ['/jobs', '/v1/jobs', '/cron', '/service']) {
    const { status, headers, body } = await ask('GET', path);
    assert.deepEqual([status, headers.get('www-authenticate'), body.code], [401, 'Bearer', 'no-token'], path);
  }
});

test('a token that reads makes nothing', async (t) => {
  const { ask, token } = await apiGround(t);
  const reader = await token('read');
  for (const path of ['/jobs', '/cron', '/service']) {
    assert.equal((await ask('GET', path, { token: reader })).status, 200, path);
    assert.equal((await ask('POST', path, { token: reader, body: JOB })).status, 403, path);
  }
});

test('a token for some projects sees what is of them alone', async (t) => {
  const { ask, token } = await apiGround(t);
  const jobs = await token('read', ['jobs']);
  const statuses = (path: string) => ask('GET', path, { token: jobs }).then(({ status }) => status);
  const [ofJobs, ofCron, ofService] = await Promise.all(['/jobs', '/cron', '/service'].map(statuses));
  assert.deepEqual([ofJobs, ofCron, ofService], [200, 200, 403]);
});

test('the OpenAPI document says of their routes what those systems answered, and nothing of ours', async (t) => {
  const { ask, token } = await apiGround(t);
  const { body } = await ask('GET', '/openapi.json', { token: await token('read') });
  const theirs = Object.keys(body.paths).filter((path) => !/^\/(v1\/|healthz|openapi|metrics)/.test(path));
  assert.ok(
    ['/jobs', '/{version}/jobs/{id}/log', '/cron', '/service/{name}/scale'].every((p) => theirs.includes(p)),
  );
  for (const path of theirs) assert.doesNotMatch(JSON.stringify(body.paths[path]), /problem\+json|Problem/);
});
