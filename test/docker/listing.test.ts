/** The pure readers of Docker's JSON, addresses and references, in the corners a real engine seldom shows. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NetworkInspectInfo } from 'dockerode';
import { engineAddress } from '../../src/docker/address.ts';
import { eventOf } from '../../src/docker/events.ts';
import { gatewayOf, healthOf } from '../../src/docker/listing.ts';
import { HUB, parseReference } from '../../src/docker/reference.ts';
import { isGantryError } from '../../src/errors.ts';

const network = (config: object[], driver = 'bridge') =>
  ({ Driver: driver, IPAM: { Config: config } }) as unknown as NetworkInspectInfo;

test('gateway: as told, else the first address of the subnet; IPv4 before IPv6', () => {
  assert.equal(gatewayOf(network([{ Subnet: '10.1.0.0/16', Gateway: '10.1.0.9' }])), '10.1.0.9');
  assert.equal(gatewayOf(network([{ Subnet: '10.1.0.0/16', Gateway: '10.1.0.9/16' }])), '10.1.0.9');
  assert.equal(gatewayOf(network([{ Subnet: '172.17.0.0/16' }])), '172.17.0.1');
  assert.equal(gatewayOf(network([{ Subnet: '192.168.7.200/29' }])), '192.168.7.201');
  assert.equal(gatewayOf(network([{ Gateway: 'fd00::1' }, { Gateway: '10.0.0.1' }])), '10.0.0.1');
  assert.equal(gatewayOf(network([{ Gateway: 'fd00::1' }])), 'fd00::1');
});

test('gateway: none where this host has no address on the network', () => {
  assert.equal(gatewayOf(network([])), undefined);
  assert.equal(gatewayOf(network([{ Subnet: 'fd00::/64' }])), undefined);
  assert.equal(gatewayOf(network([{ Gateway: '10.0.0.1' }], 'macvlan')), undefined);
});

test('reference: repository, version and registry', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  for (const [ref, repository, version, registry] of [
    ['app', 'app', 'latest', HUB],
    ['team/app:1', 'team/app', '1', HUB],
    ['docker.io/team/app:1', 'docker.io/team/app', '1', HUB],
    ['registry.test/app', 'registry.test/app', 'latest', 'registry.test'],
    ['registry.test:5000/a/b:v', 'registry.test:5000/a/b', 'v', 'registry.test:5000'],
    ['localhost/app:1', 'localhost/app', '1', 'localhost'],
    ['localhost:5000/app', 'localhost:5000/app', 'latest', 'localhost:5000'],
    [`app@${digest}`, 'app', digest, HUB],
    [`registry.test:5000/app:1@${digest}`, 'registry.test:5000/app', digest, 'registry.test:5000'],
  ] as const) {
    assert.deepEqual(parseReference(ref), { repository, version, registry }, ref);
  }
  assert.equal(parseReference(digest), undefined);
  assert.equal(parseReference('a'.repeat(64)), undefined);
});

test('address: what is given, else DOCKER_HOST, else the local socket', () => {
  assert.equal(engineAddress(undefined, {}).text, 'unix:///var/run/docker.sock');
  assert.equal(engineAddress(undefined, { DOCKER_HOST: 'tcp://h:1' }).text, 'tcp://h:1');
  assert.deepEqual(engineAddress('unix:///a/b.sock', { DOCKER_HOST: 'tcp://h:1' }), {
    kind: 'socket',
    text: 'unix:///a/b.sock',
    path: '/a/b.sock',
  });
  const tcp = (text: string) => {
    const { text: _, ...rest } = engineAddress(text, {});
    return { ...rest };
  };
  assert.deepEqual(tcp('tcp://h'), { kind: 'tcp', host: 'h', port: 2375, secure: false, tls: undefined });
  assert.deepEqual(tcp('http://h:8080'), {
    kind: 'tcp',
    host: 'h',
    port: 8080,
    secure: false,
    tls: undefined,
  });
  assert.deepEqual(tcp('https://h'), { kind: 'tcp', host: 'h', port: 443, secure: true, tls: undefined });
  assert.deepEqual(tcp('tcp://[::1]:9'), {
    kind: 'tcp',
    host: '[::1]',
    port: 9,
    secure: false,
    tls: undefined,
  });
});

test('address: anything else is a usage error that shows the forms', () => {
  for (const text of ['/var/run/docker.sock', 'unix://', 'ssh://h', 'nonsense', 'tcp://']) {
    assert.throws(
      () => engineAddress(text, {}),
      (error) => isGantryError(error, 'usage') && /unix:/.test(error.hint ?? ''),
      text,
    );
  }
});

test('address: DOCKER_TLS_VERIFY brings the certificates, and their absence is told', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gantryd-certs-'));
  const env = { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder };
  try {
    assert.throws(
      () => engineAddress('tcp://h', env),
      (error) => isGantryError(error, 'engine-unreachable') && /ca\.pem/.test(error.message),
    );
    for (const name of ['ca', 'cert', 'key']) writeFileSync(join(folder, `${name}.pem`), name);
    const address = engineAddress('tcp://h', env);
    assert.ok(address.kind === 'tcp' && address.secure);
    assert.equal(address.port, 2376);
    assert.equal(address.tls?.key.toString(), 'key');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("health: what Docker's words say of it", () => {
  for (const [status, health] of [
    ['Up 17 seconds', 'none'],
    ['Up 17 seconds (health: starting)', 'starting'],
    ['Up 2 hours (healthy)', 'healthy'],
    ['Up About a minute (unhealthy)', 'unhealthy'],
    ['Up 3 minutes (Paused)', 'none'],
    ['Exited (137) 2 minutes ago', 'none'],
    ['', 'none'],
  ] as const) {
    assert.equal(healthOf(status), health, status);
  }
});

test('events: only those that gantryd cares for, whatever comes', () => {
  assert.deepEqual(eventOf('{"Action":"oom","Actor":{"ID":"x"}}'), { kind: 'oom', container: 'x' });
  assert.deepEqual(eventOf('{"Action":"die"}'), { kind: 'die' });
  for (const line of ['', 'null', '3', '"die"', '{', '{"Action":"exec_die"}', '{"Action":7}']) {
    assert.equal(eventOf(line), undefined, line);
  }
});
