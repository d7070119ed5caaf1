import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, FrameReader, frame, MAX_FRAME_BYTES } from '../../../src/cli/runner/frames.ts';

const words = ({ kind, bytes }: Frame) => `${kind} ${bytes.toString()}`;

test('frames are read as they were written, however they are cut', () => {
  const sent = Buffer.concat([
    frame('asked', '{"a":1}'),
    frame('agreed'),
    frame('stdout', Buffer.from('x\n')),
  ]);
  for (let size = 1; size <= sent.length; size++) {
    const reader = new FrameReader();
    const got: string[] = [];
    for (let at = 0; at < sent.length; at += size)
      got.push(...reader.read(sent.subarray(at, at + size)).map(words));
    assert.deepEqual(got, ['asked {"a":1}', 'agreed ', 'stdout x\n'], `${size} bytes at a time`);
  }
});

test('what is no frame, or too large for one, is refused at its head', () => {
  assert.throws(() => new FrameReader().read(Buffer.from('GET / HTTP/1.1\r\n')), /not a frame/);
  const head = frame('stdout');
  head.writeUInt32BE(MAX_FRAME_BYTES, 1);
  assert.throws(() => new FrameReader().read(head), /not a frame/);
});
