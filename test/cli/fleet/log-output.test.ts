import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logOutput } from '../../../src/cli/fleet/log-output.ts';
import type { AgentEvent } from '../../../src/events.ts';
import type { Log } from '../../../src/log.ts';

test('each event is a line with its level, host, component, kind and words', () => {
  const lines: unknown[] = [];
  const at =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      lines.push([level, message, fields.host, fields.component, fields.kind]);
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const output = logOutput(log, 'h1');
  const about = { component: 'web', at: 1 };
  const events: AgentEvent[] = [
    { ...about, kind: 'image-progress', image: 'i', layers: 1, done: 0, bytes: 0, totalBytes: 1 },
    { ...about, kind: 'release-proven', release: 7 },
    { ...about, kind: 'canary-promoted', release: 7, why: 'it did well' },
    { ...about, kind: 'drain-cut', container: 'c1', connections: 2, why: 'so' },
    { ...about, kind: 'trouble', code: 'internal', message: 'no' },
    { ...about, kind: 'waiting', for: 'ready', why: 'checks', until: undefined },
    { ...about, kind: 'waiting', for: 'ready', why: 'checks', until: undefined },
  ];
  for (const event of events) output.event(event);
  assert.deepEqual(lines, [
    ['debug', 'Release 7 serves', 'h1', 'web', 'release-proven'],
    ['info', 'Release 7 is promoted: it did well', 'h1', 'web', 'canary-promoted'],
    ['warn', 'Cut 2 connections of container c1: so', 'h1', 'web', 'drain-cut'],
    ['error', 'Trouble: no', 'h1', 'web', 'trouble'],
    ['info', 'Waiting for health checks...', 'h1', 'web', 'waiting'],
  ]);
});
