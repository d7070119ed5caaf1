import assert from 'node:assert/strict';
import { test } from 'node:test';
import { send } from '../../src/checks/signals.ts';
import type { Signal } from '../../src/config/project.ts';
import { freePort, httpServer, httpsServer, NEVER, surroundings, target } from './servers.ts';

test('an http signal is a POST with an empty body', async (t) => {
  const seen: string[] = [];
  const port = await httpServer(t, (request, response) => {
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${request.headers['content-length']} ${body.length}`);
      response.end('leaving');
    });
  });
  const told = await send(signal({ id: 'quit', port, path: '/quit' }), target(), surroundings(), NEVER);
  assert.deepEqual(seen, ['POST /quit 0 0']);
  assert.deepEqual([told.ok, told.check, told.status], [true, 'quit', 200]);
  assert.match(told.saw, /\/quit answered 200 in \d+ ms: "leaving"$/);
});

test('an https signal reaches a server with any certificate', async (t) => {
  const port = await httpsServer(t, (request, response) => response.end(request.method));
  const told = await send(signal({ kind: 'https', port }), target(), surroundings(), NEVER);
  assert.equal(told.ok, true, told.saw);
  assert.match(told.saw, /: "POST"$/);
});

test('an exec signal runs its command', async () => {
  const calls: unknown[] = [];
  const exec = async (...call: unknown[]) => {
    calls.push(call);
    return { exitCode: 3, output: 'not now' };
  };
  const told = await send(
    signal({ kind: 'exec', command: ['quit'] }),
    target(),
    surroundings({ exec }),
    NEVER,
  );
  assert.deepEqual(calls, [['c0ffee', ['quit'], 10_000]]);
  assert.deepEqual([told.ok, told.saw], [false, 'exit code 3: "not now"']);
});

test('failures are told, never thrown', async (t) => {
  const port = await freePort();
  const refused = await send(signal({ port }), target(), surroundings(), NEVER);
  assert.equal(refused.saw, `nothing listens on 127.0.0.1:${port} (connection refused)`);
  const silent = await httpServer(t, () => undefined);
  const slow = await send(signal({ port: silent, timeoutMs: 30 }), target(), surroundings(), NEVER);
  assert.equal(slow.saw, `no answer from http://127.0.0.1:${silent}/ within 30 ms`);
  const exec = async () => Promise.reject(new Error('no such program'));
  const failed = await send(signal({ kind: 'exec' }), target(), surroundings({ exec }), NEVER);
  assert.equal(failed.saw, 'the command could not be run: no such program');
  const given = await send(signal({ port: silent }), target(), surroundings(), AbortSignal.abort());
  assert.deepEqual([given.ok, given.inconclusive], [false, true]);
});

function signal(fields: Partial<Signal>): Signal {
  return { kind: 'http', id: 'bye', timeoutMs: 10_000, ...fields };
}
