import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineEvent } from '../../src/docker/engine.ts';
import { type EventSource, watchEvents } from '../../src/docker/events.ts';
import { until } from './until.ts';

const TIMES = { firstRetryMs: 5, maxRetryMs: 20, silenceMs: 20 };

/** A stream that stays open, silent, until aborted; counts how often it was opened. */
function silentSource(ping: () => Promise<unknown>) {
  const source = {
    opened: 0,
    ended: 0,
    ping,
    settled: async () => {},
    async open(signal: AbortSignal) {
      source.opened++;
      return (async function* (): AsyncGenerator<Buffer> {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        source.ended++;
      })();
    },
  };
  return source satisfies EventSource;
}

async function watching(
  source: EventSource,
  body: (events: readonly EngineEvent[]) => Promise<void>,
): Promise<void> {
  const events: EngineEvent[] = [];
  const stop = new AbortController();
  const done = watchEvents(source, (event) => events.push(event), stop.signal, TIMES);
  try {
    await body(events);
  } finally {
    stop.abort();
    await done;
  }
}

test('a silent stream is opened anew when the engine does not answer a ping', async () => {
  const source = silentSource(() => Promise.reject(new Error('no answer')));
  await watching(source, async (events) => {
    await until('it was opened three times', () => source.opened >= 3);
    assert.ok(events.length >= 2 && events.every((e) => e.kind === 'reconnected'));
  });
  assert.equal(source.ended, source.opened);
});

test('a silent stream stays while the engine answers', async () => {
  let pings = 0;
  const source = silentSource(async () => ++pings);
  await watching(source, async () => {
    await until('it was asked three times', () => pings >= 3);
    assert.equal(source.opened, 1);
  });
});

test('a source that cannot be opened is tried again until the end, without a failure', async () => {
  let tries = 0;
  const open = () => Promise.reject(new Error(`try ${++tries}`));
  await watching({ open, ping: async () => {}, settled: async () => {} }, async (events) => {
    await until('it was tried five times', () => tries >= 5);
    assert.deepEqual(events, []);
  });
});

test('aborted before it starts, it opens nothing', async () => {
  const source = silentSource(async () => {});
  await watchEvents(source, () => {}, AbortSignal.abort(), TIMES);
  assert.equal(source.opened, 0);
});

test('a death is told when the engine has noted it, or fails to say so', async () => {
  const asked: { container: string; answer: () => void; fail: (error: Error) => void }[] = [];
  const settled = (container: string) =>
    new Promise<void>((answer, fail) => asked.push({ container, answer, fail }));
  const line = (container: string) => Buffer.from(`{"Action":"die","Actor":{"ID":"${container}"}}\n`);
  const open = async (signal: AbortSignal) =>
    (async function* (): AsyncGenerator<Buffer> {
      yield Buffer.concat([line('a'), line('b')]);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    })();
  await watching({ open, ping: async () => {}, settled }, async (events) => {
    const died = () => events.filter(({ kind }) => kind === 'die').map(({ container }) => container);
    await until('it is asked about the first', () => asked.length === 1);
    assert.deepEqual(died(), []);
    asked[0]?.answer();
    await until('it is asked about the second', () => asked.length === 2);
    assert.deepEqual(died(), ['a']);
    asked[1]?.fail(new Error('no answer'));
    await until('both are told', () => died().length === 2);
    assert.deepEqual(
      asked.map(({ container }) => container),
      ['a', 'b'],
    );
  });
});
