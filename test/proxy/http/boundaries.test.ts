import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { EventBoundaries, isEventStream } from '../../../src/proxy/http/event-stream.ts';
import { type Boundaries, StoppableGate, StoppablePipe } from '../../../src/proxy/http/stoppable.ts';
import { WebSocketFrames } from '../../../src/proxy/http/websocket.ts';

/** Of a seed, so that a failure comes again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A frame with this payload length, its header in any of the forms that can say it. */
function frame(length: number, form: 7 | 16 | 64, masked: boolean, opcode = 2): Buffer {
  const mask = masked ? 0x80 : 0;
  const header = Buffer.alloc(form === 7 ? 2 : form === 16 ? 4 : 10);
  header[0] = 0x80 | opcode;
  header[1] = mask | (form === 7 ? length : form === 16 ? 126 : 127);
  if (form === 16) header.writeUInt16BE(length, 2);
  if (form === 64) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, Buffer.alloc(length + (masked ? 4 : 0), 0x88)]);
}

function pieces(bytes: Buffer, random: (below: number) => number): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random(random(4) === 0 ? 400 : 4);
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}

/** Every place in the stream at which a boundary was seen. */
function boundariesIn(follower: Boundaries, chunks: readonly Buffer[]): number[] {
  const found: number[] = [];
  let before = 0;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      at = follower.advance(chunk, at);
      if (follower.atBoundary) found.push(before + at);
    }
    before += chunk.length;
  }
  return found;
}

test('the ends of frames are found however they are cut into chunks', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const frames = Array.from({ length: 20 }, () => {
      const form = ([7, 16, 64] as const)[random(3)] ?? 7;
      const length = form === 7 ? random(126) : random(700);
      return frame(length, form, random(4) === 0, random(3));
    });
    const ends = frames.map((_, at) => Buffer.concat(frames.slice(0, at + 1)).length);
    const follower = new WebSocketFrames();
    assert.equal(follower.atBoundary, true);
    assert.deepEqual(
      boundariesIn(follower, pieces(Buffer.concat(frames), random)),
      ends,
      `with the seed ${seed}`,
    );
    assert.equal(follower.closing, false);
  }
});

test('a frame of many gigabytes is followed by its header alone', () => {
  const follower = new WebSocketFrames();
  const header = frame(0, 64, false);
  header.writeBigUInt64BE(2n ** 40n, 2);
  follower.advance(header, 0);
  assert.equal(follower.atBoundary, false);
  assert.equal(follower.advance(Buffer.alloc(1024), 0), 1024);
  assert.equal(follower.atBoundary, false);
});

test('a close frame is known from its first byte on', () => {
  const follower = new WebSocketFrames();
  follower.advance(frame(2, 7, false, 8).subarray(0, 1), 0);
  assert.deepEqual([follower.closing, follower.atBoundary], [true, false]);
});

test('events end at a blank line, whatever ends their lines', () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const events = ['data: a', `event: x${end}data: b`, ': a comment', 'id: 1'].map(
      (text) => `${text}${end}${end}`,
    );
    const text = Buffer.from(events.join(''));
    const ends = events.map((_, at) => events.slice(0, at + 1).join('').length);
    for (let seed = 1; seed <= 50; seed++)
      assert.deepEqual(
        boundariesIn(new EventBoundaries(), pieces(text, randomOf(seed))),
        ends,
        `${JSON.stringify(end)} with the seed ${seed}`,
      );
  }
});

test('a line alone is no event', () => {
  const follower = new EventBoundaries();
  for (const part of ['data: a\n', 'data: b', '\n', ': ']) {
    follower.advance(Buffer.from(part), 0);
    assert.equal(follower.atBoundary, false, JSON.stringify(part));
  }
});

test('only a plain, open stream of events may end early', () => {
  const open = (headers: Record<string, string>) => isEventStream({ headers } as never);
  assert.equal(open({ 'content-type': 'text/event-stream' }), true);
  assert.equal(open({ 'content-type': 'Text/Event-Stream; charset=utf-8' }), true);
  assert.equal(open({ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }), false);
  assert.equal(open({ 'content-type': 'text/event-stream', 'content-length': '9' }), false);
  assert.equal(open({ 'content-type': 'text/html' }), false);
  assert.equal(open({}), false);
});

test('a pipe that is stopped lets whole frames through and nothing after, at the speed of its reader', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomOf(seed);
    const frames = Array.from({ length: 30 }, () => frame(random(700), 16, false));
    const whole = Buffer.concat(frames);
    const ends = new Set(frames.map((_, at) => Buffer.concat(frames.slice(0, at + 1)).length));
    const from = new PassThrough();
    const to = new PassThrough({ highWaterMark: 64 });
    from.pipe(to);
    const pipe = new StoppablePipe(from, to, new WebSocketFrames());
    const chunks = pieces(whole, random);
    const stopAt = random(chunks.length);
    let stopped = 0;
    const onStop = () => {
      stopped += 1;
    };
    chunks.forEach((chunk, at) => {
      from.write(chunk);
      if (at === stopAt) setImmediate(() => pipe.stop(onStop));
    });
    from.end();
    const got: Buffer[] = [];
    for await (const chunk of to) {
      got.push(chunk as Buffer);
      if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const passed = Buffer.concat(got);
    assert.ok(passed.equals(whole.subarray(0, passed.length)), `with the seed ${seed}`);
    assert.ok(passed.length === 0 || ends.has(passed.length), `torn with the seed ${seed}`);
    assert.ok(stopped <= 1);
  }
});

test('a gate that is stopped lets whole frames through and nothing after, and says so in between', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomOf(seed);
    const frames = Array.from({ length: 30 }, () => frame(random(700), 16, false));
    const whole = Buffer.concat(frames);
    const ends = new Set(frames.map((_, at) => Buffer.concat(frames.slice(0, at + 1)).length));
    const gate = new StoppableGate(new WebSocketFrames());
    const chunks = pieces(whole, random);
    const stopAt = random(chunks.length);
    let passed = 0;
    const stops: number[] = [];
    chunks.forEach((chunk, at) => {
      if (at === stopAt) gate.stop(() => stops.push(passed));
      const part = gate.pass(chunk);
      assert.ok(part.equals(whole.subarray(passed, passed + part.length)), `with the seed ${seed}`);
      passed += part.length;
      gate.passed();
    });
    assert.deepEqual(stops, [passed], `with the seed ${seed}`);
    assert.ok(passed === 0 || ends.has(passed), `torn with the seed ${seed}`);
    gate.stop(() => stops.push(-1));
    assert.equal(stops.length, 1);
  }
});
