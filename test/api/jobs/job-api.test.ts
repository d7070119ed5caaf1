import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { peerDoor } from '../../../src/api/auth.ts';
import { type Peer, readLog, readOutput, sendInput } from '../../../src/api/jobs/job-client.ts';
import { jobRoutes, type RunFiles } from '../../../src/api/jobs/job-server.ts';
import { type Api, openApi } from '../../../src/api/server.ts';
import { GantryError, isGantryError } from '../../../src/errors.ts';
import type { ReadEntry } from '../../../src/jobs/disk/run-log.ts';
import { freePort } from '../../ground/harness.ts';

const TOKEN = 'correct-horse';
const NEVER = new AbortController().signal;

interface Served {
  readonly api: Api;
  readonly peer: Peer;
}

async function serve(t: TestContext, files: Partial<RunFiles>, port = 0): Promise<Served> {
  const nothing = () => {
    throw new GantryError('output-gone', 'nothing of that run is here');
  };
  const all = { log: nothing, output: nothing, input: nothing, ...files } as RunFiles;
  const api = await openApi({ address: '127.0.0.1', port, door: peerDoor(TOKEN), routes: jobRoutes(all) });
  t.after(() => api.close());
  return { api, peer: { host: 'h1', address: '127.0.0.1', port: api.port, token: TOKEN } };
}

function entry(index: number, text = `line ${index}\n`): ReadEntry {
  const time = '2026-11-20T10:00:00.000Z';
  return { entry: { run: 'r1', step: 0, stream: 'stdout', time, text }, next: `1:${index + 1}` };
}

/** A log of `count` entries that goes on at its position. */
async function* entries(count: number, from = '1:0'): AsyncGenerator<ReadEntry> {
  for (let at = Number(from.split(':')[1]); at < count; at++) yield entry(at);
}

async function collected(log: AsyncIterable<ReadEntry>): Promise<ReadEntry[]> {
  const all: ReadEntry[] = [];
  for await (const read of log) all.push(read);
  return all;
}

async function failure(promise: Promise<unknown>): Promise<GantryError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  assert.ok(isGantryError(error), String(error));
  return error;
}

describe('the API for logs and outputs', () => {
  test('gives a log entry by entry, from where it is asked', async (t) => {
    const { peer } = await serve(t, { log: (_, { from }) => entries(5, from) });
    const whole = await collected(readLog(peer, 'r1', { follow: false }, NEVER));
    assert.deepEqual(
      whole,
      [0, 1, 2, 3, 4].map((index) => entry(index)),
    );
    const rest = await collected(readLog(peer, 'r1', { follow: false, from: '1:3' }, NEVER));
    assert.deepEqual(rest, [entry(3), entry(4)]);
  });

  test('gives each entry as soon as it is there, and ends when the log does', async (t) => {
    let next = () => {};
    const asked = () =>
      new Promise<void>((resolve) => {
        next = resolve;
      });
    async function* log() {
      yield entry(0);
      await asked();
      yield entry(1);
    }
    const { peer } = await serve(t, { log });
    const read = readLog(peer, 'r1', { follow: true }, NEVER);
    assert.deepEqual((await read.next()).value, entry(0));
    next();
    assert.deepEqual((await read.next()).value, entry(1));
    assert.equal((await read.next()).done, true);
  });

  test('lets a follower go on across a restart of the agent, with nothing lost or twice', async (t) => {
    const port = await freePort();
    const hanging = (signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    const first = await serve(
      t,
      {
        async *log(_run, _query, signal) {
          yield* entries(3);
          await hanging(signal);
        },
      },
      port,
    );
    const seen: ReadEntry[] = [];
    const cut = failure(
      (async () => {
        for await (const read of readLog(first.peer, 'r1', { follow: true }, NEVER)) {
          seen.push(read);
          if (seen.length === 3) void first.api.close();
        }
      })(),
    );
    const error = await cut;
    assert.deepEqual([error.code, error.retryable], ['output-gone', true]);
    assert.match(error.message, /does not answer at \S+: the connection was cut$/);
    const second = await serve(t, { log: (_, { from }) => entries(6, from) }, port);
    const from = seen.at(-1)?.next ?? '';
    seen.push(...(await collected(readLog(second.peer, 'r1', { follow: true, from }, NEVER))));
    assert.deepEqual(seen, await collected(entries(6)));
  });

  test('makes a log wait for who reads slowly', async (t) => {
    let given = 0;
    const { peer } = await serve(t, {
      async *log() {
        for (; given < 400; given++) yield entry(given, 'x'.repeat(64 * 1024));
      },
    });
    const read = readLog(peer, 'r1', { follow: false }, NEVER);
    await read.next();
    let before = -1;
    while (before !== given) {
      before = given;
      await delay(50); // until nothing moves any more
    }
    assert.ok(given < 300, `${given} of 400 entries were taken from the log, with one of them read`);
    assert.equal((await collected(read)).length, 399);
  });

  test('lets go of the log when its reader went away', async (t) => {
    let letGo = () => {};
    const aborted = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { peer } = await serve(t, {
      async *log(_run, _query, signal) {
        signal.addEventListener('abort', letGo, { once: true });
        yield entry(0);
        await aborted;
      },
    });
    const read = readLog(peer, 'r1', { follow: true }, NEVER);
    await read.next();
    await read.return();
    await aborted;
  });

  test('gives an output byte for byte', async (t) => {
    const bytes = randomBytes(3 * 1024 * 1024 + 7);
    const { peer } = await serve(t, {
      output: async () => ({ bytes: Readable.from([bytes]), size: bytes.length }),
    });
    const output = await readOutput(peer, 'r1', NEVER);
    assert.equal(output.size, bytes.length);
    assert.ok(bytes.equals(await buffer(output.bytes)));
  });

  test('takes an input byte for byte, and tells when it is taken', async (t) => {
    const bytes = randomBytes(3 * 1024 * 1024 + 7);
    let taken: Buffer | undefined;
    const { peer } = await serve(t, {
      async input(_run, body) {
        taken = await buffer(body);
      },
    });
    await sendInput(peer, 'r1', Readable.from([bytes]), NEVER);
    assert.ok(taken?.equals(bytes));
  });

  test('says why it does not take an input, before all of it is sent', async (t) => {
    const { peer } = await serve(t, {
      async input() {
        throw new GantryError('run-unknown', 'no run r1 waits for its input here');
      },
    });
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(64 * 1024);
      })(),
    );
    assert.equal((await failure(sendInput(peer, 'r1', endless, NEVER))).code, 'run-unknown');
  });

  test('fails an input that fails where it is read from', async (t) => {
    const { peer } = await serve(t, { input: async (_run, body) => void (await buffer(body)) });
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('some');
        throw new Error('the disk is on fire');
      })(),
    );
    assert.match((await failure(sendInput(peer, 'r1', broken, NEVER))).message, /the disk is on fire/);
  });

  test('tells that nothing of the run is here', async (t) => {
    const { peer } = await serve(t, {});
    for (const asked of [
      collected(readLog(peer, 'r1', { follow: true }, NEVER)),
      readOutput(peer, 'r1', NEVER),
    ]) {
      const { code, message, retryable } = await failure(asked);
      assert.deepEqual([code, message, retryable], ['output-gone', 'nothing of that run is here', false]);
    }
  });

  test('refuses who does not show its token', async (t) => {
    const { peer } = await serve(t, { log: () => entries(1) });
    for (const token of ['', 'wrong', `${TOKEN}x`, TOKEN.slice(1)]) {
      const { code, retryable } = await failure(
        collected(readLog({ ...peer, token }, 'r1', { follow: false }, NEVER)),
      );
      assert.deepEqual([code, retryable], ['output-gone', true], token);
    }
    const bare = await fetch(`http://127.0.0.1:${peer.port}/v1/runs/r1/log`);
    assert.deepEqual([bare.status, bare.headers.get('www-authenticate')], [401, 'Bearer']);
  });

  const ODD: readonly (readonly [string, string, number])[] = [
    ['GET', '/', 404],
    ['GET', '/v1/runs/r1', 404],
    ['POST', '/v1/runs/r1/log', 405],
    ['GET', '/v1/runs/..%2f..%2fetc/log', 400],
    ['GET', '/v1/runs/%zz/log', 400],
    ['GET', '/v1/runs/r1/log?from=first', 422],
    ['GET', '/v1/runs/r1/log?tail=-1', 422],
  ];
  for (const [method, path, status] of ODD) {
    test(`answers ${status} to ${method} ${path}`, async (t) => {
      const { peer } = await serve(t, { log: () => entries(1) });
      const headers = { authorization: `Bearer ${TOKEN}` };
      const answer = await fetch(`http://127.0.0.1:${peer.port}${path}`, { method, headers });
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      const { detail } = (await answer.json()) as { detail: string };
      assert.equal(typeof detail, 'string');
    });
  }

  test('of a host that is away is retryable, and says whose it is', async () => {
    const peer = { host: 'h1', address: '127.0.0.1', port: await freePort(), token: TOKEN };
    const { code, message, retryable } = await failure(readOutput(peer, 'r1', NEVER));
    assert.deepEqual([code, retryable], ['output-gone', true]);
    assert.match(message, /h1.*127\.0\.0\.1:\d+.*ECONNREFUSED/);
  });

  test('is not what something else answers', async (t) => {
    const other = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nhello\n'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    t.after(() => void other.close());
    const at = other.address();
    const port = typeof at === 'object' && at !== null ? at.port : 0;
    const peer = { host: 'h1', address: '127.0.0.1', port, token: TOKEN };
    const { message } = await failure(collected(readLog(peer, 'r1', { follow: false }, NEVER)));
    assert.match(message, /h1 sent what is no log/);
  });

  test('of a port that is taken says so', async (t) => {
    const { peer } = await serve(t, {});
    const { code, message } = await failure(
      openApi({ address: '127.0.0.1', port: peer.port, door: peerDoor(TOKEN), routes: [] }),
    );
    assert.equal(code, 'port-taken');
    assert.match(message, /EADDRINUSE/);
  });
});
