import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Step } from '../../../src/config/job.ts';
import { NO_ENGINE } from '../../docker/real-ground.ts';
import { until } from '../../docker/until.ts';
import { bytesOf, ExecutionGround, executed, inline, logOf, outputBytes } from './execution-ground.ts';

describe('an execution', { skip: NO_ENGINE ?? false, concurrency: 4 }, () => {
  const ground = new ExecutionGround();
  before(() => ground.setUp());
  after(() => ground.tearDown());

  const step = (script: string, over: Partial<Step> = {}) => ground.step(script, over);

  test('pipes random bytes through three steps, byte for byte', async () => {
    const input = randomBytes(3_000_000);
    const steps = [
      step('cat'),
      step('cat', { name: 'middle' }),
      step('cat >&2', { output: { kind: 'stderr' } }),
    ];
    const going = ground.going(ground.run({ steps }, { input: inline(input) }));
    const end = await executed(going);
    assert.deepEqual(end, { kind: 'exit', exitCode: 0, step: 2, why: '', lines: [] });
    assert.ok((await outputBytes(going.folder)).equals(input));
    const log = await logOf(going.folder);
    assert.ok(bytesOf(log, 'stderr', 2).equals(input));
    assert.ok(bytesOf(log, 'stdout', 0).equals(input.subarray(0, 1024 * 1024)));
    assert.match(bytesOf(log, 'gantryd', 0).toString(), /the first 1 MiB is logged\n$/);
    for (const status of going.steps()) {
      assert.equal(status.state, 'complete');
      assert.equal(status.inputBytes, input.length);
      assert.equal(status.outputBytes, input.length);
    }
    assert.deepEqual(readdirSync(going.folder.path).sort(), ['log.1.jsonl', 'output', 'state.json']);
  });

  test('takes a file, or what stands between the delimiters', async () => {
    const steps = [
      step('echo no; echo hello > /tmp/out; echo world >> /tmp/out', {
        output: { kind: 'file', path: '/tmp/out' },
      }),
      step('echo before; echo BEGIN; cat; echo END; echo after', {
        delimiters: { begin: 'BEGIN', end: 'END' },
      }),
    ];
    const going = ground.going(ground.run({ steps }));
    assert.equal((await executed(going))?.exitCode, 0);
    assert.equal((await outputBytes(going.folder)).toString(), 'hello\nworld\n');
    const log = await logOf(going.folder);
    assert.equal(bytesOf(log, 'stdout', 0).toString(), 'no\n');
    assert.equal(bytesOf(log, 'stdout', 1).toString(), 'before\nBEGIN\nhello\nworld\nEND\nafter\n');
  });

  test('fails with output when the file is not there', async () => {
    const going = ground.going(
      ground.run({ steps: [step('true', { output: { kind: 'file', path: '/tmp/none' } })] }),
    );
    const end = await executed(going);
    assert.equal(end?.kind, 'output');
    assert.equal(end?.exitCode, 125);
    assert.match(end?.why ?? '', /^Step 1 failed: The container \w+ has no file \/tmp\/none/);
  });

  test('stops at a step that fails, and tells its last lines', async () => {
    const steps = [
      step('echo one'),
      step('seq 1 30; sleep 0.3; echo oops >&2; exit 3', { name: 'upper' }),
      step('echo never'),
    ];
    const going = ground.going(ground.run({ steps }));
    const end = await executed(going);
    assert.equal(end?.kind, 'exit');
    assert.equal(end?.exitCode, 3);
    assert.equal(end?.step, 1);
    assert.equal(end?.why, 'Step 2 (upper) ended with exit code 3');
    assert.equal(end?.lines.length, 20);
    assert.ok(end?.lines.includes('oops'), end?.lines.join());
    assert.deepEqual(
      going.steps().map((s) => s.state),
      ['complete', 'failed', 'waiting'],
    );
    assert.ok(!existsSync(going.folder.output));
  });

  test('stops a step whose time is over with 124', async () => {
    const going = ground.going(
      ground.run({ steps: [step('trap "exit 0" TERM; echo here; sleep 60 & wait', { timeoutMs: 700 })] }),
    );
    const end = await executed(going);
    assert.equal(end?.kind, 'timeout');
    assert.equal(end?.exitCode, 124);
    assert.equal(end?.why, 'Step 1 was stopped: it did not end within 0.7 s');
    assert.deepEqual(end?.lines, ['here']);
  });

  for (const { what, over, why } of [
    { what: 'a command that the image lacks', over: { command: ['/no/such'] }, why: /\/no\/such/ },
    {
      what: 'a network that is not there',
      over: { networks: ['nowhere'] },
      why: /no Docker network nowhere/,
    },
    {
      what: 'an image that is not to be had',
      over: { image: 'localhost:1/none:1' },
      why: /localhost:1\/none/,
    },
  ]) {
    test(`cannot start ${what}: 125 with the reason`, async () => {
      const going = ground.going(ground.run({ steps: [step('true', over)] }));
      const end = await executed(going);
      assert.equal(end?.kind, 'start', end?.why);
      assert.equal(end?.exitCode, 125);
      assert.match(end?.why ?? '', /^Step 1 could not be started: /);
      assert.match(end?.why ?? '', why);
    });
  }

  test('tells a step which one it is, unless the job says otherwise', async () => {
    const environment = [
      { name: 'A', value: 'job' },
      { name: 'B', value: 'job' },
      { name: 'DRAY_JOB_NAME', value: 'mine' },
    ];
    const steps = [step('env | sort', { name: 'tell', environment: [{ name: 'B', value: 'step' }] })];
    const run = ground.run({ name: 'words', steps, environment });
    const going = ground.going(run);
    assert.equal((await executed(going))?.exitCode, 0);
    const lines = (await outputBytes(going.folder)).toString().split('\n');
    for (const line of [
      ...['A=job', 'B=step', 'DRAY_JOB_NAME=mine', `DRAY_JOB_ID=${run.id}`, 'DRAY_CURRENT_STEP_INDEX=0'],
      ...['DRAY_CURRENT_STEP_NAME=tell', `GANTRYD_RUN=${run.id}`, 'GANTRYD_JOB_NAME=words'],
      ...['GANTRYD_STEP_INDEX=0', 'GANTRYD_STEP_NAME=tell'],
    ])
      assert.ok(lines.includes(line), `${line} in ${lines.join()}`);
  });

  test('does not mind a step that reads none of its input, or prints nothing', async () => {
    const steps = [step('true'), step('exec true')];
    const going = ground.going(ground.run({ steps }, { input: inline(Buffer.alloc(5_000_000, 'x')) }));
    assert.equal((await executed(going))?.exitCode, 0);
    assert.equal((await outputBytes(going.folder)).length, 0);
  });

  test('takes one line of 10 MB', async () => {
    const going = ground.going(ground.run({ steps: [step('head -c 10000000 /dev/zero | tr "\\0" x')] }));
    assert.equal((await executed(going))?.exitCode, 0);
    const expected = Buffer.alloc(10_000_000, 'x');
    assert.ok((await outputBytes(going.folder)).equals(expected));
    assert.ok(bytesOf(await logOf(going.folder), 'stdout').equals(expected));
  });

  test('takes 100,000 tiny frames', async () => {
    const going = ground.going(
      ground.run({ steps: [step('i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done')] }),
    );
    assert.equal((await executed(going))?.exitCode, 0);
    const expected = Array.from({ length: 100_000 }, (_, i) => `${i}\n`).join('');
    assert.equal((await outputBytes(going.folder)).toString(), expected);
    assert.equal(bytesOf(await logOf(going.folder), 'stdout').toString(), expected);
    assert.equal(Buffer.concat(going.printed.map((piece) => piece.bytes)).toString(), expected);
  });

  test('is cancelled: 130, with who did it', async () => {
    const going = ground.going(
      ground.run({ steps: [step('trap "exit 0" TERM; echo here; sleep 60 & wait')], retries: 3 }),
    );
    const ending = executed(going);
    await until('it prints', () => going.printed.length > 0);
    going.cancel('cancelled by me@here');
    const end = await ending;
    assert.deepEqual(end, {
      ...{ kind: 'cancelled', exitCode: 130, step: 0, why: 'cancelled by me@here', lines: [] },
    });
    assert.equal(going.steps()[0]?.state, 'cancelled');
  });
});
