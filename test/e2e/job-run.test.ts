/** A job on one box must be to its caller what its container is: streams, exit code, Ctrl-C; and leave nothing behind. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { busyboxImage, removeImage, uniqueTag } from '../docker/images.ts';
import { engineAddress, skipWithoutEngine, until } from '../ground/harness.ts';
import type { RunResult } from '../ground/processes.ts';
import { processesOf, type Sandbox, sandbox } from '../ground/sandbox.ts';

const RUNNER_ENDS_MS = 30_000;
const WAIT_MS = 20_000;

describe('a job on one box', { skip: skipWithoutEngine }, () => {
  const cleanups: (() => Promise<void> | void)[] = [];
  const tag = uniqueTag();
  let box: Sandbox;

  before(async () => {
    box = await sandbox({ after: (clean) => void cleanups.push(clean) });
    await busyboxImage(engineAddress(), tag);
  });

  after(async () => {
    for (const { pid } of runners()) process.kill(pid, 'SIGTERM');
    await until(() => runners().length === 0, { timeoutMs: RUNNER_ENDS_MS, what: 'the runner to end' });
    await removeImage(engineAddress(), tag);
    for (const clean of cleanups) await clean();
  });

  const job = (...args: readonly string[]) => box.gantry(['job', ...args]);
  const run = (command: string, ...args: readonly string[]) =>
    job('run', '--image', tag, '--command', command, ...args);
  const runners = () => processesOf(box.stateDir).filter(({ command }) => command.includes('job runner'));

  async function must(answer: Promise<RunResult>): Promise<string> {
    const { code, stdout, stderr } = await answer;
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    return stdout;
  }

  describe('that is waited for', { concurrency: 2 }, () => {
    test('prints to the streams its container prints to, and ends with its exit code', async () => {
      const { code, stdout, stderr } = await run(
        `sh -c 'echo out; echo "err  $WHO" >&2; exit 7'`,
        '-e',
        'WHO=me',
      );
      assert.deepEqual([code, stdout, stderr], [7, 'out\n', 'err  me\n']);
    });

    test('gives its output byte for byte, also what is no text', async () => {
      const bytes = randomBytes(700_001);
      const file = join(box.folder, 'bytes');
      await writeFile(file, bytes);
      const printed = await rawStdout(box, ['job', 'run', '-i', tag, '-d', 'cat', '--input', file]);
      assert.equal(sum(printed), sum(bytes));
    });

    test('takes its input from stdin', async () => {
      const args = ['job', 'run', '-i', tag, '-d', 'tr a-z A-Z', '--input', '-'];
      assert.equal(await must(box.gantry(args, { input: 'hello' })), 'HELLO');
    });

    test('is stopped when its time is over: 124', async () => {
      const { code, stderr } = await run(`sh -c 'trap "exit 0" TERM; sleep 60 & wait'`, '--timeout', '300ms');
      assert.equal(code, 124, stderr);
      assert.match(stderr, /^Error: job\.\S+: .*(0\.3 s|300 ms)/);
    });

    test('that cannot be started says why, in the words of the engine: 125', async () => {
      const { code, stdout, stderr } = await run('no-such-program');
      assert.deepEqual([code, stdout], [125, '']);
      assert.match(stderr, /^Error: .*no-such-program.*executable file not found/);
      const network = await run('true', '--network', 'no-such-network');
      assert.deepEqual([network.code, /no-such-network/.test(network.stderr)], [125, true], network.stderr);
    });

    test('is cancelled by Ctrl-C, which waits until it has ended: 130', async () => {
      const args = [
        'job',
        'run',
        '-i',
        tag,
        '--name',
        'longer',
        '-d',
        `sh -c 'trap "exit 0" TERM; echo up; sleep 60 & wait'`,
      ];
      const running = box.start('gantry', args);
      await running.says('up');
      running.signal('SIGINT');
      const { code, stderr } = await running.ended;
      assert.equal(code, 130);
      assert.match(stderr, /^Cancelling it.*\nError: longer\.\S+: Cancelled by /);
      const left = (await box.containers()).filter(({ name }) => name.includes('longer'));
      assert.deepEqual(left, []);
    });

    test('leaves nothing on disk with --remove', async () => {
      assert.equal(await must(run('echo once', '--name', 'gone', '--remove')), 'once\n');
      const kept = await readdir(join(box.stateDir, 'runs', 'local'));
      assert.deepEqual(
        kept.filter((name) => name.startsWith('gone')),
        [],
      );
      assert.doesNotMatch(await must(job('list', '--all')), /gone/);
    });

    test('of several steps gives each the output of the one before', async () => {
      const steps = ['echo hello', 'tr a-z A-Z', 'rev'].map((command) => ({ image: tag, command }));
      const file = await box.config({ name: 'words', steps }, 'words.json');
      const followed = await must(job('submit', file, '--follow', '--json'));
      const lines = followed
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      const last = lines
        .filter(({ step }) => step === 2)
        .map(({ text }) => text)
        .join('');
      const { kind, state, id } = lines.at(-1);
      assert.deepEqual([last, kind, state], ['OLLEH\n', 'run', 'complete']);
      assert.equal(await must(job('output', id)), 'OLLEH\n');
    });
  });

  test('that nobody waits for is run by a process of its own; its log and output are there after it', async () => {
    const id = (await must(run(`sh -c 'echo one; echo two >&2'`, '--detach', '--name', 'alone'))).trim();
    assert.match(id, /^alone\./);
    const { code, stdout, stderr } = await job('log', id, '-f');
    assert.deepEqual([code, stdout, stderr], [0, 'one\n', 'two\n']);
    await until(async () => (await job('show', id)).stdout.includes('complete'), {
      timeoutMs: 10_000,
      what: 'its end',
    });
    assert.equal(await must(job('output', 'alone')), 'one\n');
    assert.equal(runners().length, 1);
  });

  test('is given a large input from a pipe also while that process is there', async () => {
    await must(run('true', '--detach'));
    const args = ['job', 'run', '-i', tag, '-d', 'wc -c', '--input', '-'];
    assert.equal(await must(box.gantry(args, { input: 'x'.repeat(700_000) })), '700000\n');
  });

  test('is taken up again when the process that ran it is killed, and no line is missed', async () => {
    const counting = `sh -c 'i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); sleep 0.1; done'`;
    const id = (await must(run(counting, '--detach', '--name', 'orphan'))).trim();
    const follower = box.start('gantry', ['job', 'log', id, '-f']);
    await follower.says('5\n');
    for (const { pid } of runners()) process.kill(pid, 'SIGKILL');
    await until(async () => (await must(job('list'))) && runners().length > 0, {
      timeoutMs: 10_000,
      what: 'another runner',
    });
    const { code, stdout } = await follower.ended;
    assert.deepEqual([code, stdout], [0, Array.from({ length: 30 }, (_, i) => `${i}\n`).join('')]);
    assert.match(await readFile(join(box.stateDir, 'jobs', 'runner.log'), 'utf8'), /"why":"found again"/);
  });
});

/** Asked by a command that is over soon, so that the next one finds it. */
describe('a job where the one before left a runner', { skip: skipWithoutEngine }, () => {
  const cleanups: (() => Promise<void> | void)[] = [];
  const tag = uniqueTag();
  let box: Sandbox;

  before(async () => {
    box = await sandbox({ after: (clean) => void cleanups.push(clean) });
    await busyboxImage(engineAddress(), tag);
    assert.equal((await run('true')).code, 0);
    await until(() => existsSync(join(box.stateDir, 'jobs.sock')), {
      timeoutMs: WAIT_MS,
      what: 'the runner to listen',
    });
  });

  after(async () => {
    for (const pid of runners()) process.kill(pid, 'SIGTERM');
    await until(() => runners().length === 0, { timeoutMs: RUNNER_ENDS_MS, what: 'the runner to end' });
    await removeImage(engineAddress(), tag);
    for (const clean of cleanups) await clean();
  });

  const words = (command: string) => ['job', 'run', '--image', tag, '--command', command];
  const run = (command: string, ...args: readonly string[]) => box.gantry([...words(command), ...args]);
  const runners = () =>
    processesOf(box.stateDir).flatMap(({ command, pid }) => (command.includes('job runner') ? pid : []));
  const runnerLog = () => readFile(join(box.stateDir, 'jobs', 'runner.log'), 'utf8');
  /** Whether the runner claimed the newest run of that name. */
  const ranThere = async (name: string) => new RegExp(`"run":"${name}\\..*claimed`).test(await runnerLog());

  test('is run by it, to its caller as if it had run it itself', async () => {
    const script = `sh -c 'echo "out $WHO"; echo err >&2; exit 7'`;
    const named = await box.gantry([...words(script), '-e', 'WHO', '--name', 'there'], {
      env: { WHO: 'me' },
    });
    assert.deepEqual([named.code, named.stdout, named.stderr], [7, 'out me\n', 'err\n']);
    assert.ok(await ranThere('there'));
    const bad = await run('no-such-program', '--name', 'bad');
    assert.deepEqual([bad.code, bad.stdout], [125, '']);
    assert.match(bad.stderr, /^Error: bad\..*executable file not found/);
    const json = await run('echo hi', '--json', '--remove', '--name', 'gone');
    const lines = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([lines[0].text, lines.at(-1).state], ['hi\n', 'complete']);
    assert.doesNotMatch((await box.gantry(['job', 'list', '--all'])).stdout, /gone/);
  });

  test('gives its output byte for byte, also to a reader that is slow', async () => {
    const args = [...words('head -c 5000000 /dev/urandom'), '--name', 'bytes'];
    const printed = await rawStdout(box, args);
    assert.equal(printed.length, 5_000_000);
    assert.ok(await ranThere('bytes'));
    const output = await rawStdout(box, ['job', 'output', 'bytes']);
    assert.equal(sum(printed), sum(output));
  });

  test('holds its container back for a reader that comes late: nothing is lost', async () => {
    const bytes = 75_000_000; // more than a log keeps
    const args = [...words(`sh -c 'yes 0123456789abcdef | head -c ${bytes}'`), '--name', 'late'];
    const child = spawn(process.execPath, [join(PACKAGE_ROOT, 'bin', 'gantry.js'), ...args], {
      env: box.env,
    });
    const state = async () => (await box.gantry(['job', 'show', 'late'])).stdout;
    // What a pipe and the sockets on the way hold is little beside that.
    await until(async () => /running/.test(await state()), {
      timeoutMs: WAIT_MS,
      what: 'its container to run',
    });
    const ended = once(child, 'close');
    let read = 0;
    for await (const chunk of child.stdout) read += (chunk as Buffer).length;
    const [code] = await ended;
    assert.deepEqual([code, read], [0, bytes]);
  });

  test('is cancelled by Ctrl-C: 130', async () => {
    const running = box.start('gantry', words(`sh -c 'trap "exit 0" TERM; echo up; sleep 60 & wait'`));
    await running.says('up');
    running.signal('SIGINT');
    const { code, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.match(stderr, /^Cancelling it.*\nError: job\..*: Cancelled by /);
  });

  test('goes on when its caller is killed', async () => {
    const running = box.start('gantry', [...words(`sh -c 'echo up; sleep 1; echo over'`), '--name', 'left']);
    await running.says('up');
    running.signal('SIGKILL');
    await running.ended;
    await until(async () => (await box.gantry(['job', 'log', 'left'])).stdout === 'up\nover\n', {
      timeoutMs: WAIT_MS,
      what: 'its last line',
    });
  });

  test('is declined where it would be another one there: the command runs it itself', async () => {
    const folder = join(box.folder, 'docker-config');
    const other = await box.gantry([...words('echo here'), '--name', 'other'], {
      env: { DOCKER_CONFIG: folder },
    });
    assert.deepEqual([other.code, other.stdout], [0, 'here\n']);
    const usage = await run('true', '--retries', '-1');
    assert.equal(usage.code, 2);
    assert.match(usage.stderr, /--retries/);
    const help = await box.gantry(['job', 'run', '--help']);
    assert.match(help.stdout, /--linger/);
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    test(`is told to its end when the runner gets ${signal} meanwhile, each line once`, async () => {
      const counting = `sh -c 'i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 3'`;
      const name = `orphan-${signal}`;
      const running = box.start('gantry', [...words(counting), '--name', name]);
      await running.says('5\n');
      assert.ok(await ranThere(name));
      for (const pid of runners()) process.kill(pid, signal);
      const { code, stdout, stderr } = await running.ended;
      assert.deepEqual([code, stdout], [3, Array.from({ length: 30 }, (_, i) => `${i}\n`).join('')], stderr);
    });
  }

  test('leaves none with --linger 0s', async () => {
    for (const pid of runners()) process.kill(pid, 'SIGTERM');
    await until(() => runners().length === 0, { timeoutMs: RUNNER_ENDS_MS, what: 'the runner to end' });
    assert.equal((await run('true', '--linger', '0s')).code, 0);
    assert.deepEqual(runners(), []);
  });
});

function rawStdout({ env }: Sandbox, args: readonly string[]): Promise<Buffer> {
  const command = [join(PACKAGE_ROOT, 'bin', 'gantry.js'), ...args];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, command, { env, encoding: 'buffer', maxBuffer: 2 ** 24 }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}

function sum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
