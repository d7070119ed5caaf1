import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { Piece } from '../../src/docker/demux.ts';
import { Head, LINE_BYTES, linesOf, TAIL_BYTES, Tail } from '../../src/docker/lines.ts';
import { pieces } from '../../src/docker/streams.ts';

function frame(kind: number, payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(8);
  header.writeUInt8(kind, 0);
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

async function read(chunks: readonly Buffer[], tty = false): Promise<Piece[]> {
  const all: Piece[] = [];
  for await (const piece of pieces(Readable.from(chunks, { objectMode: false }), tty)) all.push(piece);
  return all;
}

function textOf(all: readonly Piece[], source?: Piece['source']): string {
  const wanted = all.filter((p) => source === undefined || p.source === source);
  return Buffer.concat(wanted.map((p) => p.bytes)).toString();
}

test('frames go to their streams in order', async () => {
  const all = await read([
    Buffer.concat([frame(1, 'a'), frame(2, 'b'), frame(1, ''), frame(1, 'c'), frame(3, 'd')]),
  ]);
  assert.equal(textOf(all), 'abcd');
  assert.equal(textOf(all, 'stdout'), 'ac');
  assert.equal(textOf(all, 'stderr'), 'bd');
});

test('headers and payloads may be cut anywhere', async () => {
  const whole = Buffer.concat([frame(1, 'hello '), frame(2, 'error'), frame(1, 'world')]);
  for (const size of [1, 2, 3, 7, 8, 9, 13]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
      whole.subarray(i * size, (i + 1) * size),
    );
    const all = await read(chunks);
    assert.equal(textOf(all, 'stdout'), 'hello world', String(size));
    assert.equal(textOf(all, 'stderr'), 'error', String(size));
  }
});

test('5000 tiny frames in one chunk', async () => {
  const all = await read([Buffer.concat(Array.from({ length: 5000 }, () => frame(1, 'y\n')))]);
  assert.equal(textOf(all), 'y\n'.repeat(5000));
});

test('a frame of 16 MiB in small chunks is passed on as it comes, not collected', async () => {
  const payload = Buffer.alloc(16 * 2 ** 20, 'x');
  const whole = frame(1, payload);
  const size = 64 * 1024;
  const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
    whole.subarray(i * size, (i + 1) * size),
  );
  const all = await read(chunks);
  assert.ok(all.every((p) => p.bytes.length <= size));
  assert.ok(Buffer.concat(all.map((p) => p.bytes)).equals(payload));
});

test('a reader that waits holds the source back', async () => {
  let made = 0;
  const source = Readable.from(
    (function* () {
      for (; made < 10_000; made++) yield frame(1, 'x'.repeat(1000));
    })(),
    { objectMode: false },
  );
  for await (const _ of pieces(source, false)) break;
  assert.ok(made < 1000, String(made));
});

test('a terminal has no frames', async () => {
  assert.equal(textOf(await read([Buffer.from('{"a":1}\r\n')], true), 'stdout'), '{"a":1}\r\n');
});

test('what is not multiplexed, or ends within a frame, or breaks, fails the reader', async () => {
  await assert.rejects(read([Buffer.from('plain text of a terminal')]), /not multiplexed/);
  await assert.rejects(read([frame(1, 'abc').subarray(0, 9)]), /within a frame/);
  await assert.rejects(read([frame(1, 'abc').subarray(0, 5)]), /within a frame/);
  const broken = new Readable({ read() {} });
  broken.push(frame(1, 'abc'));
  const reading = (async () => {
    for await (const _ of pieces(broken, false)) broken.destroy(new Error('cut'));
  })();
  await assert.rejects(reading, /cut/);
});

test('tail: lines of two streams that mix stay whole and in the order in which they ended', () => {
  const tail = new Tail(10);
  const add = (source: Piece['source'], text: string) => tail.add({ source, bytes: Buffer.from(text) });
  add('stdout', 'out be');
  add('stderr', 'err 1\r\nerr 2');
  add('stdout', 'gins\n\n');
  add('stderr', ' ends\nopen');
  assert.deepEqual(tail.lines(), ['err 1', 'out begins', '', 'err 2 ends', 'open']);
});

test('tail: bounded in lines, in the length of a line and in total', () => {
  const tail = new Tail(100);
  for (let i = 0; i < 100; i++)
    tail.add({ source: 'stdout', bytes: Buffer.from(`${'ü'.repeat(LINE_BYTES)}\n`) });
  const lines = tail.lines();
  assert.ok(lines.every((line) => Buffer.byteLength(line) <= LINE_BYTES + 3));
  assert.ok(lines.reduce((sum, line) => sum + line.length, 0) <= TAIL_BYTES);
  assert.deepEqual(
    (() => {
      const few = new Tail(2);
      few.add({ source: 'stdout', bytes: Buffer.from('1\n2\n3\n') });
      return few.lines();
    })(),
    ['2', '3'],
  );
});

test('head: the first bytes and no more', () => {
  const head = new Head(4);
  for (const text of ['ab', 'cdef', 'gh']) head.add(Buffer.from(text));
  assert.equal(head.text(), 'abcd');
});

test('linesOf: characters and lines cut anywhere; a line without end fails', async () => {
  const bytes = Buffer.from('grün\n\nlast');
  const chunks = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  const lines: string[] = [];
  for await (const line of linesOf(Readable.from(chunks))) lines.push(line);
  assert.deepEqual(lines, ['grün', '', 'last']);
  const endless = Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(64 * 2 ** 10, 'x')));
  await assert.rejects(async () => {
    for await (const _ of linesOf(endless)) assert.fail('a line came');
  }, /without end/);
});
