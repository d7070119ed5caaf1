import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { RUNNER_SOCKET } from '../../../src/cli/runner/client.ts';
import { FrameReader, frame } from '../../../src/cli/runner/frames.ts';
import { tempFolder } from '../../ground/harness.ts';

const CLIENT = new URL('../../../src/cli/runner/client.js', import.meta.url).href;
const PIECES = 3_000;
const PIECE = Buffer.alloc(1_000, 'x');

test('a command whose reader is slow tells all, and waits for him once', async (t) => {
  const stateDir = await tempFolder(t);
  const server = createServer((socket) => {
    const frames = new FrameReader();
    const taken = JSON.stringify({ run: 'a', attach: [] });
    // Many of them in one piece.
    const said = Buffer.concat(Array.from({ length: PIECES }, () => frame('stdout', PIECE)));
    socket.on('data', (chunk) => {
      for (const { kind } of frames.read(chunk)) {
        if (kind === 'asked') socket.write(frame('run', taken));
        if (kind === 'agreed') socket.end(Buffer.concat([said, frame('ended', '7')]));
      }
    });
  });
  t.after(() => server.close());
  await once(server.listen(join(stateDir, RUNNER_SOCKET)), 'listening');
  const script = `const { askRunner } = await import('${CLIENT}');
    const { exitCode } = await askRunner(['--state-dir', process.argv[1]]);
    process.stderr.write(String(exitCode));`;
  const command = spawn(process.execPath, ['--input-type=module', '-e', script, stateDir]);
  const told = text(command.stderr);
  // Nothing is read before the pipe is full.
  await once(command.stdout, 'readable');
  assert.equal((await buffer(command.stdout)).length, PIECES * PIECE.length);
  assert.equal(await told, '7');
});
