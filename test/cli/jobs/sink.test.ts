import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { written } from '../../../src/cli/jobs/sink.ts';

const BYTES = Buffer.from('line\n');

/** As the streams of a process do: each write fails anew, and the stream stays. */
class Unread extends Writable {
  writes = 0;

  constructor() {
    super({ autoDestroy: false, highWaterMark: 1 });
    this.on('error', () => undefined);
  }

  override _write(_: Buffer, __: string, done: (error: Error) => void): void {
    this.writes += 1;
    setImmediate(done, Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  }
}

describe('what a run prints', () => {
  test('is not written on when nobody reads it, and fails nothing', async () => {
    const stream = new Unread();
    assert.equal(await written(stream, BYTES), false);
    assert.equal(await written(stream, BYTES), false);
    assert.equal(stream.writes, 1);
  });

  test('waits for its reader', async () => {
    const read: Buffer[] = [];
    const slow = new Writable({
      highWaterMark: 1,
      write: (bytes: Buffer, _, done) => {
        setImmediate(() => {
          read.push(bytes);
          done();
        });
      },
    });
    assert.equal(await written(slow, BYTES), true);
    assert.deepEqual(read, [BYTES]);
  });
});
