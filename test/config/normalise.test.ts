/** What a valid project becomes: defaults, units, image, frozen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completed } from '../../src/config/normalise.ts';
import { parseProject } from '../../src/config/parse.ts';
import type { Component, Project } from '../../src/config/project.ts';
import { EXAMPLE } from '../../src/config/reference.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';

function parsed(document: unknown): Project {
  const result = parseProject(JSON.stringify(document), { file: 'shop.json', folder: '/srv' });
  assert.ok('project' in result, JSON.stringify(result));
  return result.project;
}

function component(fields: object): Component {
  const [first] = parsed({ components: [{ name: 'web', repo: 'nginx', ...fields }] }).components;
  assert.ok(first);
  return first;
}

test('a component of two fields has every default', () => {
  assert.deepEqual(component({}), {
    name: 'web',
    image: 'nginx:latest',
    ports: [],
    readyChecks: [],
    healthChecks: [],
    readyTimeoutMs: 10_000,
    terminationSignals: [],
    terminationChecks: [
      { kind: 'connection', id: 'connection', intervalMs: 5_000, timeoutMs: 2_000, fall: 3, rise: 1 },
    ],
    idleTimeoutMs: 0,
    closeSpreadMs: 0,
    holdTimeoutMs: 0,
    slowStartMs: 0,
    stopTimeoutMs: 10_000,
    healthPolicy: 'replace',
    instances: 1,
    hostLossTimeoutMs: 30_000,
    update: {
      order: 'start-first',
      maxParallel: 1,
      onFailure: 'rollback',
      monitorMs: 10_000,
      keepOldMs: 600_000,
    },
    bindings: [],
    volumesFrom: [],
    definesLinks: [],
    requiresLinks: [],
    environment: [],
    secrets: [],
    privileged: false,
    extraHosts: [],
    labels: {},
    readOnly: false,
    capAdd: [],
    capDrop: [],
    ulimits: [],
  });
});

test('a total is what a host without a fleet runs', () => {
  const { instances, total, spread } = component({ instances: { total: 6 }, spread: 'label.zone' });
  assert.deepEqual([instances, total, spread], [6, 6, 'zone']);
  const plain = component({ instances: 3 });
  assert.deepEqual([plain.instances, 'total' in plain, 'spread' in plain], [3, false, false]);
});

test("the proxy's limits default to the proxy's own", () => {
  const project = parsed({ components: [{ name: 'a', repo: 'b' }] });
  assert.deepEqual(project.limits, DEFAULT_LIMITS);
  assert.equal(project.name, 'shop');
});

test('checks and signals get the fields of their kind and no others', () => {
  const web = component({
    ports: [{ external: 80, container: 8080 }],
    readyChecks: [
      { kind: 'https', id: 'up' },
      { kind: 'tcp', port: 9 },
      { kind: 'exec', command: ['true'] },
    ],
    healthChecks: [{ kind: 'http', path: '/h', interval: 100, timeout: 50, fall: 1, rise: 2 }],
    terminationSignals: [{ kind: 'http' }],
  });
  const rest = { timeoutMs: 2_000, fall: 3, rise: 1, intervalMs: 250 };
  assert.deepEqual(web.readyChecks, [
    { kind: 'https', id: 'up', port: 8080, path: '/', verify: false, ...rest },
    { kind: 'tcp', id: 'tcp', port: 9, ...rest },
    { kind: 'exec', id: 'exec', command: ['true'], ...rest },
  ]);
  assert.deepEqual(web.healthChecks, [
    { kind: 'http', id: 'http', port: 8080, path: '/h', intervalMs: 100, timeoutMs: 50, fall: 1, rise: 2 },
  ]);
  assert.deepEqual(web.terminationSignals, [
    { kind: 'http', id: 'http', port: 8080, path: '/', timeoutMs: 2_000 },
  ]);
});

test('fields take the form the rest of gantryd wants', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const web = component({
    tag: digest,
    ports: [{ external: 80, container: 8080, kind: 'http', address: '::' }],
    drainTimeout: 0,
    resources: { memory: '1G', cpus: 0.5 },
    ulimits: [{ name: 'nofile', soft: 5 }],
    logging: { driver: 'none' },
    bindings: [{ external: 'data', volume: '/d' }],
    update: { order: 'start-first', maxParallel: 10, onFailure: 'pause', monitor: 0 },
    registryAuth: 'auth.json',
  });
  assert.equal(web.image, `nginx@${digest}`);
  assert.deepEqual(web.ports, [{ address: '::', port: 80, kind: 'http', containerPort: 8080 }]);
  assert.ok(!('drainTimeoutMs' in web));
  assert.equal(web.memoryBytes, 1024 ** 3);
  assert.equal(web.cpus, 0.5);
  assert.deepEqual(web.ulimits, [{ name: 'nofile', soft: 5, hard: 5 }]);
  assert.deepEqual(web.logging, { driver: 'none', options: {} });
  assert.deepEqual(web.bindings, [{ external: 'data', volume: '/d', readOnly: false }]);
  assert.equal(web.registryAuth, '/srv/auth.json');
  assert.deepEqual(web.update, {
    order: 'start-first',
    maxParallel: 10,
    onFailure: 'pause',
    monitorMs: 0,
    keepOldMs: 600_000,
  });
  assert.equal(component({ drainTimeout: 7 }).drainTimeoutMs, 7);
});

test('a component written down before a field was made has its default', () => {
  const now = component({ update: { monitor: 1 } });
  const { update: _, ...older } = now;
  assert.deepEqual(completed(older).update, component({}).update);
  assert.deepEqual(completed(now), now);
});

test('a project is frozen all the way down', () => {
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every((child) => frozen(child)));
  const example = parseProject(EXAMPLE, { file: 'example.json' });
  assert.ok('project' in example, JSON.stringify(example));
  assert.ok(frozen(example.project));
});

test('a canary has a share of the work, and terms', () => {
  const canaryOf = (canary: object) => component({ update: { canary } }).update.canary;
  assert.deepEqual(canaryOf({}), { percent: 10, durationMs: 300_000, maxErrorRate: 0.01 });
  assert.deepEqual(canaryOf({ instances: 2, minutes: 0.5, maxErrorRate: 0, maxLatencyRatio: 1.5 }), {
    instances: 2,
    durationMs: 30_000,
    maxErrorRate: 0,
    maxLatencyRatio: 1.5,
  });
  assert.equal(component({}).update.canary, undefined);
});

test('what was written down when there were fewer fields has the defaults of the newer ones', () => {
  const { healthPolicy, holdTimeoutMs, idleTimeoutMs, closeSpreadMs, slowStartMs, update, ...older } =
    component({});
  const { order, ...olderUpdate } = update;
  assert.deepEqual(completed({ ...older, update: olderUpdate }), component({}));
  assert.deepEqual(completed(older), component({}));
  const { secrets, ...withoutSecrets } = component({});
  assert.deepEqual(completed(withoutSecrets).secrets, secrets);
});
