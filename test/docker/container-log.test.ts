/** The log of a container, as an engine streams it: frames with times, in pieces of any size, and ways to break. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { LineQuery, LogLine } from '../../src/docker/container-log.ts';
import { openJobEngine } from '../../src/docker/dockerode.ts';
import type { JobEngine } from '../../src/docker/job-engine.ts';
import { LINE_BYTES } from '../../src/docker/lines.ts';
import { fails } from './contract.ts';
import { type Answer, type FakeDockerd, fakeDockerd, json } from './fake-dockerd.ts';

const ID = 'c'.repeat(64);
const INSPECT = `GET /containers/${ID}/json`;
const LOGS = `GET /containers/${ID}/logs`;
const NEVER = new AbortController().signal;
const FOLLOW = { follow: true };
const WHOLE = { follow: false };
const TIME = '2030-01-01T00:00:00.000000001Z';

const opened: { close(): void | Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function ground(isRunning: boolean, log: Answer): Promise<{ daemon: FakeDockerd; engine: JobEngine }> {
  const daemon = await fakeDockerd();
  const engine = openJobEngine({ address: daemon.address });
  opened.push(daemon, engine);
  daemon.answers.set(INSPECT, json({ Id: ID, State: { Running: isRunning } }));
  daemon.answers.set(LOGS, log);
  return { daemon, engine };
}

function frame(kind: number, text: string): Buffer {
  const bytes = Buffer.from(`${TIME} ${text}`);
  const head = Buffer.alloc(8);
  head.writeUInt8(kind);
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

/** In pieces of `size` bytes. */
function sends(bytes: Buffer, size = bytes.length): Answer {
  return async (_, response) => {
    for (let at = 0; at < bytes.length; at += size)
      await new Promise((resolve) => response.write(bytes.subarray(at, at + size), resolve));
    response.end();
  };
}

async function linesOf(engine: JobEngine, query: LineQuery, signal = NEVER): Promise<readonly LogLine[]> {
  const lines: LogLine[] = [];
  for await (const line of engine.lines(ID, query, signal)) lines.push(line);
  return lines;
}

describe('the log of a container', () => {
  test('comes line by line with its times, however it is cut', async () => {
    const log = Buffer.concat([frame(1, 'one\n'), frame(2, 'two\r\n'), frame(1, '\n'), frame(1, 'open')]);
    const { engine, daemon } = await ground(false, sends(log, 7));
    const lines = await linesOf(engine, { ...WHOLE, since: 1_500, tail: 9 });
    const said = lines.map(({ stream, text }) => [stream, text]);
    assert.deepEqual(said, [
      ['stdout', 'one'],
      ['stderr', 'two'],
      ['stdout', ''],
      ['stdout', 'open'],
    ]);
    assert.ok(lines.every(({ time }) => time === TIME));
    const query = new URLSearchParams(daemon.urls.at(-1)?.split('?')[1]);
    assert.deepEqual([query.get('since'), query.get('tail'), query.get('follow')], ['1.500', '9', '0']);
  });

  test('has a long line once, that the engine gives in several entries, and cuts it', async () => {
    const part = '€'.repeat(5_461);
    const parts = Array.from({ length: 8 }, (_, at) => frame(1, at === 7 ? `${part}\n` : part));
    const whole = await ground(false, sends(Buffer.concat([frame(1, `${part}`), frame(1, `${part}\n`)])));
    assert.deepEqual(
      (await linesOf(whole.engine, WHOLE)).map(({ text }) => text),
      [part + part],
    );
    const { engine } = await ground(false, sends(Buffer.concat(parts)));
    const [line, ...more] = await linesOf(engine, WHOLE);
    assert.equal(more.length, 0);
    assert.ok(Math.abs(Buffer.byteLength(line?.text ?? '') - LINE_BYTES) < 4);
  });

  test('that ends while its container runs was broken off', async () => {
    const { engine } = await ground(true, sends(frame(1, 'one\n')));
    await fails(linesOf(engine, FOLLOW), 'engine-unreachable');
    assert.equal((await linesOf(engine, WHOLE)).length, 1);
  });

  test('that is no log, or ends within an entry, fails', async () => {
    for (const bytes of [Buffer.from('no frames at all'), frame(1, 'one\n').subarray(0, 20)]) {
      const { engine } = await ground(false, sends(bytes));
      await fails(linesOf(engine, WHOLE), 'engine-unreachable');
    }
  });

  test('ends quietly when nobody wants more of it', async () => {
    const ended = new AbortController();
    const { engine, daemon } = await ground(true, (_, response) => void response.write(frame(1, 'one\n')));
    const lines: LogLine[] = [];
    for await (const line of engine.lines(ID, FOLLOW, ended.signal)) {
      lines.push(line);
      ended.abort();
    }
    assert.equal(lines.length, 1);
    assert.deepEqual(await linesOf(engine, FOLLOW, ended.signal), []);
    daemon.cut();
  });

  test('may not be readable, or its container gone', async () => {
    const words = 'configured logging driver does not support reading';
    const { engine, daemon } = await ground(true, json({ message: words }, 501));
    await fails(linesOf(engine, WHOLE), 'engine-failed');
    daemon.answers.set(LOGS, json({ message: 'can not get logs from container which is dead' }, 404));
    daemon.answers.set(INSPECT, json({ message: 'No such container' }, 404));
    await fails(linesOf(engine, WHOLE), 'container-gone');
  });
});
