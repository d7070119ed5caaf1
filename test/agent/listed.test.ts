import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listed } from '../../src/agent/listed.ts';
import { NO_PROXY } from '../../src/agent/proxy-port.ts';
import type { ComponentRecord, Mark } from '../../src/agent/record.ts';
import type { Container, ContainerState } from '../../src/docker/engine.ts';

function statusOf(state: ContainerState, mark: Mark, routed?: boolean): string | undefined {
  const record: ComponentRecord = {
    format: 1,
    status: 'ready',
    release: 1,
    releases: [],
    marks: { c1: mark },
    linkPorts: {},
  };
  const container: Container = {
    id: 'c1',
    name: 'shop-web-r1-aaaa',
    project: 'shop',
    component: 'web',
    release: 1,
    specHash: 'a',
    host: 'h',
    imageId: 'sha256:a',
    image: 'sha256:a',
    state,
    status: '',
    health: 'none',
    createdAt: 0,
    address: undefined,
  };
  const idle = { open: 0, inFlight: 0, upgraded: 0, tcp: 0, oldestMs: 0, peers: [] };
  const report = { id: 'c1', owner: 'shop', component: 'web', ...idle };
  const backends = routed === undefined ? [] : [{ ...report, routed }];
  return listed([container], { ...NO_PROXY, backends }, record)[0]?.status;
}

test('what has served runs, also while it is paused', () => {
  assert.equal(statusOf('running', { servedAt: 1 }), 'running');
  assert.equal(statusOf('paused', { servedAt: 1 }), 'running');
});

test('what has not served yet is starting', () => {
  assert.equal(statusOf('created', {}), 'starting');
  assert.equal(statusOf('running', {}), 'starting');
});

test('what drains is draining to its very end', () => {
  assert.equal(statusOf('running', { servedAt: 1, drainSince: 2 }), 'draining');
  assert.equal(statusOf('exited', { servedAt: 1, drainSince: 2 }), 'draining');
});

test('what ended by itself has failed', () => {
  assert.equal(statusOf('exited', { servedAt: 1 }), 'failed');
  assert.equal(statusOf('dead', {}), 'failed');
});

test('what was switched from and is kept is warm, until it drains or ends', () => {
  const mark = { servedAt: 1, unroutedAt: 2 };
  assert.equal(statusOf('running', mark), 'warm');
  assert.equal(statusOf('running', mark, false), 'warm');
  assert.equal(statusOf('running', mark, true), 'running');
  assert.equal(statusOf('running', { ...mark, drainSince: 3 }), 'draining');
  assert.equal(statusOf('exited', mark), 'failed');
});
