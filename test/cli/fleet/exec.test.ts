import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { runExec } from '../../../src/cli/fleet/exec.ts';
import type { ExecArguments } from '../../../src/cli/fleet/exec-options.ts';
import { isGantryError } from '../../../src/errors.ts';
import { ExecGround } from '../../api/exec/exec-ground.ts';
import { until } from '../../ground/harness.ts';
import { cli, type Running } from '../../ground/processes.ts';

/** Nobody is asked: etcd would be at a port that none has. */
const ARGS = {
  ...{ project: 'shop', component: ['web'], command: [], env: [], interactive: false, tty: false },
  ...{ host: undefined, container: undefined, user: undefined, workdir: undefined, logLevel: 'info' },
  ...{ etcd: 'http://127.0.0.1:1', etcdPrefix: '/gantryd', json: false },
} as unknown as ExecArguments;

function refused(over: Partial<ExecArguments>, words: readonly string[], message: RegExp): Promise<void> {
  return assert.rejects(runExec({ ...ARGS, ...over }, ['gantryd', 'exec', ...words]), (error) => {
    assert.ok(isGantryError(error, 'usage'), String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe('gantryd exec refuses', () => {
  test('no command', () => refused({}, ['shop', '-c', 'web', '--'], /no command to run/));

  test('a variable that is none', () =>
    refused({ env: ['GANTRYD_NOT_SET'] }, ['--', 'ls'], /--env GANTRYD_NOT_SET is neither NAME=VALUE nor/));

  test('a terminal for what is piped', () =>
    refused({ tty: true, interactive: true }, ['--', 'sh'], /needs a terminal/));
});

test('the words of a command are taken as they are typed', async (t) => {
  const running: Running = cli(t, '/nowhere').start('gantryd', ['exec', 'shop', '--', 'x', '--help']);
  const { code, stderr } = await running.ended;
  assert.equal(code, 2);
  assert.match(stderr, /component/, 'the help is not asked for, and the component is missing');
});

test('a signal ends it at once as long as nothing runs', async (t) => {
  const asked = new EventEmitter();
  const silent = createServer((socket) =>
    asked.emit(
      'asked',
      socket.on('error', () => {}),
    ),
  );
  silent.listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const isAsked = once(asked, 'asked');
  const words = ['exec', 'shop', '-c', 'web', '--etcd', `http://127.0.0.1:${port}`, '--', 'ls'];
  const running = cli(t, '/nowhere').start('gantryd', words);
  const [socket] = await isAsked;
  running.signal('SIGINT');
  const { signal, stderr } = await running.ended;
  socket.destroy();
  assert.deepEqual([signal, stderr], ['SIGINT', '']);
});

test('a command whose output nobody reads any more ends', async (t) => {
  const ground = new ExecGround(t);
  const { engine } = await ground.agent('a');
  const told = await ground.begin({ command: ['cat'], input: true });
  await until(() => told.began !== undefined, { timeoutMs: 5_000, what: 'the command' });
  told.stdout.destroy();
  told.stdin.write('more');
  assert.deepEqual(await told.ended, { exitCode: 141 });
  await until(() => engine.sessions[0]?.isClosed === true, { timeoutMs: 5_000, what: 'its end' });
});
