import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  askedOf,
  type ExecFrame,
  ExecFrames,
  endOf,
  execFrame,
  failedFrame,
  failureOf,
  signalOf,
  sizeOf,
} from '../../../src/api/exec/exec-wire.ts';
import { GantryError } from '../../../src/errors.ts';

function asked(value: unknown): ExecFrame {
  return { kind: 'asked', bytes: Buffer.from(JSON.stringify(value)) };
}

describe('frames of an exec', () => {
  test('are read however they were cut', () => {
    const sent = Buffer.concat([
      execFrame('input', Buffer.from([0, 255, 10])),
      execFrame('inputEnd'),
      execFrame('signal', 'SIGINT'),
    ]);
    for (const size of [1, 2, 7, sent.length]) {
      const reader = new ExecFrames();
      const frames: ExecFrame[] = [];
      for (let at = 0; at < sent.length; at += size)
        frames.push(...reader.read(sent.subarray(at, at + size)));
      assert.deepEqual(
        frames.map(({ kind }) => kind),
        ['input', 'inputEnd', 'signal'],
        `${size} at a time`,
      );
      assert.deepEqual([...(frames[0]?.bytes ?? [])], [0, 255, 10]);
    }
  });

  test('are refused when they are none, or too large', () => {
    const large = Buffer.from([2, 0xff, 0, 0, 0]);
    for (const bytes of [Buffer.from('HTTP/1.1 200 OK'), large])
      assert.throws(() => new ExecFrames().read(bytes), /no frame of gantryd-exec/);
  });

  test('carry a command, or none at all', () => {
    const whole = {
      command: ['ls', ''],
      input: true,
      env: ['A=b=c', 'B='],
      user: 'app:1',
      workdir: '/',
      terminal: { columns: 80, rows: 24 },
    };
    assert.deepEqual(askedOf(asked(whole)), whole);
    assert.deepEqual(askedOf(asked({ command: ['ls'] })), { command: ['ls'], input: false });
    const { kind: _, ...rest } = asked({ command: ['ls'] });
    assert.throws(() => askedOf({ kind: 'input', ...rest }), /no command/);
    const wrong = [
      {},
      [],
      { command: [] },
      { command: 'ls' },
      { command: [1] },
      { command: ['ls'], env: ['A'] },
      { command: ['ls'], env: ['=b'] },
    ];
    const more = [
      { command: ['ls'], user: '' },
      { command: ['ls'], workdir: 1 },
      { command: ['ls'], terminal: { columns: 0, rows: 5 } },
      null,
      'x',
    ];
    for (const value of [...wrong, ...more])
      assert.throws(() => askedOf(asked(value)), /no command/, JSON.stringify(value));
  });

  test('carry sizes, signals, ends and failures', () => {
    assert.deepEqual(sizeOf(Buffer.from('{"columns":1,"rows":2,"more":3}')), { columns: 1, rows: 2 });
    assert.equal(sizeOf(Buffer.from('{"columns":1e9,"rows":2}')), undefined);
    assert.equal(signalOf(Buffer.from('SIGTERM')), 'SIGTERM');
    assert.equal(signalOf(Buffer.from('SIGSTOP')), undefined);
    assert.deepEqual(endOf(Buffer.from('{"exitCode":3,"containerEnded":true}')), {
      exitCode: 3,
      containerEnded: true,
    });
    assert.throws(() => endOf(Buffer.from('nothing')), /what no agent says/);
    const [failed] = new ExecFrames().read(
      failedFrame(new GantryError('container-gone', 'it is gone', { hint: 'Look.' })),
    );
    const { code, message, hint } = failureOf(failed?.bytes ?? Buffer.alloc(0));
    assert.deepEqual([code, message, hint], ['container-gone', 'it is gone', 'Look.']);
  });
});
