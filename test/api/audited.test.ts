/** Every route that changes something leaves its entry in the audit, with who asked: one for each thing that was asked. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { apiRoutes } from '../../src/api/routes.ts';
import { type AuditValue, readAudit } from '../../src/cluster/event-values.ts';
import type { RunValue } from '../../src/cluster/job-values.ts';
import type { JobEngine } from '../../src/docker/job-engine.ts';
import { publicKeyOf } from '../../src/secrets/key-file.ts';
import { publishKey } from '../../src/secrets/secret-store.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { complete, container, host, KEYS, status } from '../fleet/intents/intents-ground.ts';
import { apiGround, type Ground } from './api-ground.ts';
import { put } from './jobs/jobs-ground.ts';

const SHOP = '/v1/projects/shop';
const WEB = `${SHOP}/components/web`;
const CONFIG = { components: [{ name: 'web', repo: 'web' }] };
const STEPS = { steps: [{ image: 'web:latest' }] };
const JOB = { steps: [{ source: 'web' }] };
const CRON = {
  Name: 'hello',
  Cron: '@daily',
  Container: { Config: { Image: 'web' }, HostConfig: {}, NetworkingConfig: {} },
};
const SERVICE = { name: 'web', image: 'web:latest', command: null, environment: null, ports: null };

/** What is asked of the API, and what the audit then has: action and on what. `:id`: of the run that was made before. */
type Row = readonly [method: string, path: string, body: unknown, ...asked: readonly string[]];

/** In an order in which each of them changes something. */
const ROWS: readonly Row[] = [
  ['PUT', `${SHOP}/config`, CONFIG, 'setconfig '],
  ['POST', `${SHOP}/update`, {}, 'update web'],
  ['POST', `${WEB}/update`, {}, 'update web'],
  ['POST', `${WEB}/rollout/pause`, {}, 'rollout pause web'],
  ['POST', `${WEB}/rollout/resume`, {}, 'rollout resume web'],
  ['POST', `${SHOP}/rollback`, {}, 'rollback web'],
  ['POST', `${WEB}/rollback`, { to: 2 }, 'rollback web'],
  ['POST', `${SHOP}/scale`, { changes: { web: 2 } }, 'scale web'],
  ['POST', `${WEB}/scale`, { instances: 3 }, 'scale web'],
  ['POST', `${WEB}/stop`, {}, 'stop web'],
  ['POST', `${WEB}/kill`, {}, 'kill web'],
  ['POST', `${SHOP}/stop`, {}, 'stop web'],
  ['POST', `${SHOP}/kill`, {}, 'kill web'],
  ['POST', `${SHOP}/runs`, STEPS, 'job run :id'],
  ['POST', `${SHOP}/runs/:id/cancel`, undefined, 'job cancel :id'],
  ['DELETE', `${SHOP}/runs/:id`, undefined, 'job rm :id'],
  ['PUT', `${SHOP}/schedules/nightly`, { cron: '@daily', image: 'web' }, 'cron push nightly'],
  ['POST', `${SHOP}/schedules/nightly/run`, undefined, 'cron run nightly'],
  ['POST', `${SHOP}/schedules/nightly/suspend`, undefined, 'cron suspend nightly'],
  ['POST', `${SHOP}/schedules/nightly/resume`, undefined, 'cron resume nightly'],
  ['DELETE', `${SHOP}/schedules/nightly`, undefined, 'cron delete nightly'],
  ['PUT', `${SHOP}/secrets/db`, 'hush', 'secret set db'],
  ['DELETE', `${SHOP}/secrets/db`, undefined, 'secret rm db'],
  ['POST', '/v1/tokens', { name: 'ci' }, 'token create ci'],
  ['DELETE', '/v1/tokens/ci', undefined, 'token revoke ci'],
  ['POST', '/jobs', JOB, 'job run :id'],
  ['DELETE', '/jobs/:id', undefined, 'job rm :id'],
  ['POST', '/cron', CRON, 'cron push hello'],
  ['DELETE', '/cron/hello', undefined, 'cron delete hello'],
  ['POST', '/service', SERVICE, 'setconfig '],
  ['PUT', '/service/web', { ...SERVICE, command: 'serve' }, 'setconfig '],
  ['POST', '/service/web/scale', { number: 2 }, 'scale web', 'update web'], // it had only been defined
];

/** Then the rollout is as its hosts end it. */
const ENDS_WELL = [`${SHOP}/update`, `${WEB}/rollout/resume`, `${WEB}/rollback`, `${SHOP}/rollback`];

/** They change nothing that is not in the table, or are another way to write a path that is. */
const NOT_ASKED = ['PUT /v1/projects/:project/runs/:run/input'];
const ALIASES = ['POST /:version/jobs', 'DELETE /:version/jobs/:id', 'POST /cron/'];

/** A fleet with a host that runs what it is told, on paper. */
async function ground(t: TestContext): Promise<Ground> {
  const engine = new FakeEngine();
  engine.addImage('web:latest');
  const made = await apiGround(t, { around: { engine: engine as unknown as JobEngine } });
  const { store, now } = made.around;
  for (const project of ['shop', 'jobs', 'services']) {
    put(store.cluster, KEYS.host(project, 'h1'), host('h1', { project }));
    const reached = { host: 'h1', hostId: 'id-1', address: '127.0.0.1', port: 0, token: '' };
    const executor = { format: 1, ...reached, labels: {}, slots: 4, since: new Date(0).toISOString() };
    put(store.cluster, KEYS.project(project).jobs.executor('h1'), executor);
  }
  const two = ['a', 'b'].map((id) => container(1, { id }));
  put(store.cluster, KEYS.project('services').status('web', 'h1'), status('h1', { containers: two }));
  const { privateKey } = generateKeyPairSync('x25519');
  const place = { store, keys: KEYS.project('shop'), project: 'shop' };
  await publishKey(place, publicKeyOf(privateKey), 'h1', now());
  return made;
}

function auditOf({ around }: Ground): ReadonlyMap<string, AuditValue> {
  const { entries } = around.store.cluster.list({ from: '/', to: '0' });
  const audit = entries.filter(({ key }) => /\/(audit|token-audit)\//.test(key));
  return new Map(
    audit.flatMap((entry) => {
      const value = readAudit(entry);
      return value === undefined ? [] : [[entry.key, value] as const];
    }),
  );
}

test('whatever changes something is in the audit, once, with the name of the token', async (t) => {
  const made = await ground(t);
  const token = await made.token('admin');
  let id = '';
  for (const [method, path, body, ...expected] of ROWS) {
    const before = auditOf(made);
    const at = path.replace(':id', id);
    const { status: code, body: answer } = await made.ask(method, at, { token, body });
    assert.ok(code >= 200 && code < 300, `${method} ${at}: ${code} ${JSON.stringify(answer)}`);
    if ((answer as Partial<RunValue> | undefined)?.id !== undefined) id = answer.id;
    const now = [...auditOf(made)].filter(([key]) => !before.has(key)).map(([, value]) => value);
    assert.deepEqual(
      now.map(({ by, action, on }) => `${by} ${action} ${on.join()}`).sort(),
      expected.map((asked) => `token:t1 ${asked.replace(':id', id)}`),
      `${method} ${path}`,
    );
    if (ENDS_WELL.includes(path)) complete(made.around.store.cluster, 'web');
  }
});

test('the table has every route that changes something', async (t) => {
  const { around } = await ground(t);
  const changing = apiRoutes(around).filter(({ method }) => method !== 'GET');
  const left = changing
    .map(({ method, path }) => ({ method, path }))
    .filter(({ method, path }) => {
      const like = new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}$`);
      return !ROWS.some(([rowMethod, rowPath]) => rowMethod === method && like.test(rowPath));
    });
  const known = [...NOT_ASKED, ...ALIASES].sort();
  assert.deepEqual(left.map(({ method, path }) => `${method} ${path}`).sort(), known);
});
