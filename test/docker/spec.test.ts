import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Component } from '../../src/config/project.ts';
import { LABELS, withBinds } from '../../src/docker/spec.ts';
import { specOf } from './components.ts';

const listener = { address: '0.0.0.0', port: 80, kind: 'http', containerPort: 8080 } as const;

test('the name tells project, component and release', () => {
  assert.equal(specOf().name, 'shop-web-r7-k3f9');
});

test('labels: the identity wins over the labels of the component', () => {
  const spec = specOf({ labels: { team: 'a', [LABELS.project]: 'other' } });
  assert.deepEqual(spec.labels, {
    team: 'a',
    [LABELS.project]: 'shop',
    [LABELS.component]: 'web',
    [LABELS.release]: '7',
    [LABELS.spec]: spec.hash,
    [LABELS.host]: 'host-1',
  });
  assert.deepEqual(spec.body.Labels, spec.labels);
});

test('a component that says little leaves the rest to image and engine', () => {
  const { body } = specOf();
  assert.equal(body.Image, 'sha256:aa');
  for (const key of ['Cmd', 'User', 'Hostname']) assert.ok(!(key in body), key);
  const host = body.HostConfig as Record<string, unknown>;
  for (const key of ['Memory', 'NanoCpus', 'NetworkMode', 'LogConfig']) assert.ok(!(key in host), key);
  assert.deepEqual(host.RestartPolicy, { Name: 'no' });
});

test('every field of the component arrives in the create body', () => {
  const { body } = specOf({
    user: '1:2',
    command: ['run', '-v'],
    hostname: 'box',
    ports: [listener, { ...listener, port: 81 }],
    definesLinks: [
      { name: 'db', port: 5432, kind: 'tcp' },
      { name: 'http', port: 8080, kind: 'http' },
    ],
    bindings: [
      { external: '/srv/{container_id}/log', volume: '/log', readOnly: false },
      { external: 'data', volume: '/data', readOnly: true },
    ],
    volumesFrom: ['store'],
    privileged: true,
    memoryBytes: 64 * 1024 * 1024,
    cpus: 0.25,
    network: 'inner',
    readOnly: true,
    capAdd: ['NET_ADMIN'],
    capDrop: ['ALL'],
    ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
    extraHosts: ['db:10.0.0.1'],
    logging: { driver: 'json-file', options: { 'max-size': '1m' } },
  });
  const { Labels, ...rest } = body;
  assert.deepEqual(rest, {
    Image: 'sha256:aa',
    Env: [],
    ExposedPorts: { '5432/tcp': {}, '8080/tcp': {} },
    Cmd: ['run', '-v'],
    User: '1:2',
    Hostname: 'box',
    HostConfig: {
      Binds: ['/srv/shop-web-r7-k3f9/log:/log', 'data:/data:ro'],
      VolumesFrom: ['store'],
      Privileged: true,
      ReadonlyRootfs: true,
      CapAdd: ['NET_ADMIN'],
      CapDrop: ['ALL'],
      Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 20 }],
      ExtraHosts: ['db:10.0.0.1'],
      RestartPolicy: { Name: 'no' },
      Memory: 67108864,
      NanoCpus: 250000000,
      NetworkMode: 'inner',
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
    },
  });
});

test('environment: link variables win, the last of two of a name wins, the order is by name', () => {
  const environment = [
    { name: 'Z', value: '1' },
    { name: 'DB_CLINK', value: 'mine' },
    { name: 'A', value: 'first' },
    { name: 'A', value: 'a=b' },
  ];
  const spec = specOf({ environment }, { linkEnvironment: { DB_CLINK: 'tcp://172.17.0.1:5', C: '' } });
  assert.deepEqual(spec.body.Env, ['A=a=b', 'C=', 'DB_CLINK=tcp://172.17.0.1:5', 'Z=1']);
});

test('the hash ignores name, release, host and project, also where a binding bears the name', () => {
  const bindings = [{ external: '/srv/{container_id}', volume: '/v', readOnly: false }];
  const hash = specOf({ bindings }).hash;
  const other = { project: 'p', release: 9, host: 'h', suffix: 'zzzz' };
  assert.equal(specOf({ bindings }, other).hash, hash);
  assert.match(hash, /^[0-9a-f]{16}$/);
});

test('the hash ignores the order of keys and of variables', () => {
  const one = specOf({
    labels: { a: '1', b: '2' },
    environment: [
      { name: 'A', value: '1' },
      { name: 'B', value: '2' },
    ],
  });
  const two = specOf({
    labels: { b: '2', a: '1' },
    environment: [
      { name: 'B', value: '2' },
      { name: 'A', value: '1' },
    ],
  });
  assert.equal(one.hash, two.hash);
});

test('the hash ignores what does not decide how the container runs', () => {
  const check = { kind: 'tcp', id: 'tcp', port: 1, intervalMs: 1, timeoutMs: 1, fall: 1, rise: 1 } as const;
  const hash = specOf().hash;
  const others: Partial<Component>[] = [
    { readyChecks: [check as Component['readyChecks'][number]] },
    { instances: 3, stopTimeoutMs: 1, drainTimeoutMs: 1, readyTimeoutMs: 1 },
    { image: 'app:2' },
  ];
  for (const other of others) assert.equal(specOf(other).hash, hash, JSON.stringify(other));
});

test('the hash changes with everything that decides how the container runs', () => {
  const changes: Partial<Component>[] = [
    {},
    { user: 'u' },
    { command: ['x'] },
    { command: [] },
    { ports: [listener] },
    { definesLinks: [{ name: 'l', port: 1, kind: 'tcp' }] },
    { bindings: [{ external: 'v', volume: '/v', readOnly: false }] },
    { bindings: [{ external: 'v', volume: '/v', readOnly: true }] },
    { volumesFrom: ['v'] },
    { environment: [{ name: 'A', value: '1' }] },
    { privileged: true },
    { memoryBytes: 1 },
    { cpus: 1 },
    { network: 'host' },
    { hostname: 'h' },
    { extraHosts: ['a:b'] },
    { labels: { a: 'b' } },
    { logging: { driver: 'none', options: {} } },
    { readOnly: true },
    { capAdd: ['A'] },
    { capDrop: ['A'] },
    { ulimits: [{ name: 'n', soft: 1, hard: 1 }] },
  ];
  const hashes = changes.map((change) => specOf(change).hash);
  hashes.push(specOf({}, { imageId: 'sha256:bb' }).hash, specOf({}, { linkEnvironment: { B: '1' } }).hash);
  assert.equal(new Set(hashes).size, hashes.length);
});

test('the hash of a known component stays what it was: a change would replace every running container', () => {
  assert.equal(specOf().hash, 'ec2455688cd5d72a');
});

test('a spec is frozen all the way down and shares nothing with the component', () => {
  const labels = { a: 'b' };
  const spec = specOf({ labels, command: ['x'] });
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every(frozen));
  assert.ok(frozen(spec));
  assert.ok(!Object.isFrozen(labels));
});

test('secrets decide by their names, whatever their order and wherever their files are', () => {
  const bare = specOf();
  const spec = specOf({ secrets: ['db', 'token'] });
  assert.notEqual(spec.hash, bare.hash);
  assert.equal(specOf({ secrets: ['token', 'db'] }).hash, spec.hash);
  assert.deepEqual(spec.body.HostConfig, bare.body.HostConfig);
  const bound = withBinds(specOf({ bindings: [{ external: '/a', volume: '/b', readOnly: false }] }), [
    '/x:/y:ro',
  ]);
  assert.deepEqual((bound.body.HostConfig as { Binds: string[] }).Binds, ['/a:/b', '/x:/y:ro']);
  assert.equal(withBinds(spec, ['/x:/y:ro']).hash, spec.hash);
  assert.ok(Object.isFrozen(bound.body.HostConfig));
  assert.equal(withBinds(spec, []), spec);
});
