import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_PROXY } from '../../../src/agent/proxy-port.ts';
import { OpenCounts } from '../../../src/fleet/looks/open-counts.ts';
import type { BackendReport, ProxyStatus } from '../../../src/proxy/control/protocol.ts';

const statusOf = (open: Record<string, number>): ProxyStatus => ({
  ...NO_PROXY,
  backends: Object.entries(open).map(([id, count]) => ({ id, open: count }) as BackendReport),
});

test('a count that changed, came or went is told, once', () => {
  const counts = new OpenCounts();
  assert.equal(counts.note(NO_PROXY), false);
  const steps: readonly [Record<string, number>, boolean][] = [
    [{ a: 1 }, true],
    [{ a: 1 }, false],
    [{ a: 2 }, true],
    [{ a: 2, b: 0 }, true],
    [{ b: 0 }, true],
  ];
  for (const [open, changed] of steps) {
    const status = statusOf(open);
    assert.equal(counts.note(status), changed, JSON.stringify(open));
    assert.equal(counts.note(status), false);
    assert.deepEqual([...counts.byContainer], Object.entries(open));
  }
});
