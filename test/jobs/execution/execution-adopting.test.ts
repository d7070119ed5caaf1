import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunValue } from '../../../src/cluster/job-values.ts';
import type { Step } from '../../../src/config/job.ts';
import { jobContainerSpec } from '../../../src/docker/job-spec.ts';
import { receiveInput, runFolder } from '../../../src/jobs/disk/run-folder.ts';
import { type ExecutionInput, execute } from '../../../src/jobs/execution/execution.ts';
import { NO_ENGINE } from '../../docker/real-ground.ts';
import { until } from '../../docker/until.ts';
import { bytesOf, ExecutionGround, executed, HOST, logOf, outputBytes } from './execution-ground.ts';

const COUNT = 600;
/** It waits for a gate after so many. */
const PART = 200;
const NUMBERS = Array.from({ length: COUNT }, (_, i) => `${i} ä\n`).join('');
/** To both streams; one of them is torn in the middle of a character, again and again. */
const COUNTING = `i=0; while [ $i -lt ${COUNT} ]; do
  printf '%d \\303' $i; printf '%d \\303\\244\\n' $i >&2; printf '\\244\\n'; i=$((i+1))
  if [ $((i % ${PART})) = 0 ]; then while [ ! -e /gates/$i ]; do sleep 0.02; done; fi
done`;

describe('an execution that is called anew', { skip: NO_ENGINE ?? false, concurrency: 4 }, () => {
  const ground = new ExecutionGround();
  before(() => ground.setUp());
  after(() => ground.tearDown());

  const folderOf = (run: RunValue) => runFolder(ground.stateDir, ground.project, run.id);
  const logSize = (run: RunValue) => {
    const path = `${folderOf(run).path}/log.1.jsonl`;
    return existsSync(path) ? statSync(path).size : 0;
  };
  const killed = async (child: ChildProcess) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const inProcess = (t: TestContext, run: RunValue): ChildProcess => {
    const given = JSON.stringify({ run, project: ground.project, ...HOST, stateDir: ground.stateDir });
    const program = fileURLToPath(new URL('./execution-process.js', import.meta.url));
    const child = spawn(process.execPath, [program, given], { stdio: ['ignore', 'inherit', 'inherit'] });
    t.after(() => killed(child));
    return child;
  };
  const progressOf = (run: RunValue) => {
    const { state } = folderOf(run);
    return existsSync(state) ? JSON.parse(readFileSync(state, 'utf8')) : {};
  };
  const startedIn = (run: RunValue) =>
    until('the container is started', () => progressOf(run).started === true);
  /** Its last step. */
  const fedIn = (run: RunValue) =>
    until('the container is fed', () => progressOf(run).fed && progressOf(run).step === run.steps.length - 1);
  const upload = (run: RunValue, bytes: Buffer) =>
    receiveInput(folderOf(run), Readable.from([bytes]), new AbortController().signal);

  /** A step that counts, from gate to gate. */
  const counting = (script: string, over: Partial<Step> = {}) => {
    const gates = mkdtempSync(join(ground.stateDir, 'gates-'));
    const mounts = [{ source: gates, target: '/gates', readOnly: true }];
    const open = (part: number) => writeFileSync(join(gates, String(part * PART)), '');
    return { step: ground.step(script, { mounts, ...over }), open };
  };
  const printsMore = (run: RunValue, before: number) =>
    until('it printed more', () => logSize(run) > before + 500);

  test('goes on with a container that was left, as often as it is: no byte is missed or doubled', async () => {
    const { step, open } = counting(COUNTING);
    const run = ground.run({ steps: [step] });
    const printed: Buffer[] = [];
    const onPrinted: ExecutionInput['onPrinted'] = ({ bytes, stream }) => {
      if (stream === 'stderr') printed.push(bytes);
    };
    for (let round = 0; round < 3; round++) {
      const before = logSize(run);
      open(round);
      const going = ground.going(run, { onPrinted });
      const ending = execute(going.input);
      await printsMore(run, before);
      going.leave();
      assert.equal(await ending, undefined);
      assert.equal((await ground.containers(run)).length, 1);
    }
    open(3);
    const going = ground.going(run, { onPrinted });
    assert.equal((await executed(going))?.exitCode, 0);
    assert.equal((await outputBytes(going.folder)).toString(), NUMBERS);
    const log = await logOf(going.folder);
    for (const stream of ['stdout', 'stderr'] as const)
      assert.equal(bytesOf(log, stream).toString(), NUMBERS);
    assert.equal(Buffer.concat(printed).toString(), NUMBERS);
  });

  test('goes on after its process was killed; steps that were done are not run again', async (t) => {
    const delimiters = { begin: 'BEGIN', end: 'END' };
    const once = ground.step('echo BEGIN; cat /proc/sys/kernel/random/uuid; echo END', { delimiters });
    const { step, open } = counting(`echo BEGIN; cat; ${COUNTING}; echo END`, { delimiters });
    const run = ground.run({ steps: [once, step] });
    for (let round = 0; round < 3; round++) {
      const before = logSize(run);
      open(round);
      const child = inProcess(t, run);
      await fedIn(run);
      await printsMore(run, before);
      await killed(child);
    }
    open(3);
    const going = ground.going(run);
    assert.equal((await executed(going))?.exitCode, 0);
    const log = await logOf(going.folder);
    const uuid = bytesOf(log, 'stdout', 0).toString().split('\n')[1];
    assert.equal((await outputBytes(going.folder)).toString(), `${uuid}\n${NUMBERS}`);
    assert.equal(bytesOf(log, 'stdout', 1).toString(), `BEGIN\n${uuid}\n${NUMBERS}END\n`);
    assert.equal(bytesOf(log, 'stderr', 1).toString(), NUMBERS);
  });

  test('tells how a container ended that ended while nobody looked', async (t) => {
    const run = ground.run({ steps: [ground.step('sleep 1; echo bye; exit 3')] });
    const child = inProcess(t, run);
    await startedIn(run);
    await killed(child);
    await until('it ended', async () => (await ground.containers(run))[0]?.running === false);
    const going = ground.going(run);
    const end = await executed(going);
    assert.equal(end?.why, 'Step 1 ended with exit code 3');
    assert.deepEqual(end?.lines, ['bye']);
    assert.deepEqual(await executed(ground.going(run)), end, 'what has ended stays so');
  });

  test('ends a step with input that was still being fed', async (t) => {
    const run = ground.run({ steps: [ground.step('sleep 60')] }, { input: { kind: 'upload' } });
    await upload(run, Buffer.alloc(2_000_000));
    const child = inProcess(t, run);
    await startedIn(run);
    await killed(child);
    const end = await executed(ground.going(run));
    assert.equal(end?.kind, 'input');
    assert.equal(end?.exitCode, 125);
    assert.match(end?.why ?? '', /^Step 1 was not fed all of its input/);
  });

  test('begins a step anew that was created and never started, and removes what another attempt left', async () => {
    const run = ground.run({ steps: [ground.step('echo fresh')] }, { attempt: 2 });
    const imageId = (await ground.engine.image(ground.image))?.id ?? '';
    const common = {
      project: ground.project,
      run: run.id,
      index: 0,
      host: HOST.hostId,
      imageId,
      environment: [],
      binds: [],
    };
    const made = (attempt: number, script: string) =>
      ground.engine.create(
        jobContainerSpec({ ...common, attempt, step: ground.step(script), suffix: `000${attempt}` }),
      );
    await made(2, 'echo stale');
    await ground.engine.start(await made(1, 'sleep 60'));
    const going = ground.going(run);
    assert.equal((await executed(going))?.exitCode, 0);
    assert.equal((await outputBytes(going.folder)).toString(), 'fresh\n');
  });

  test('begins another attempt of the run from its first step, with its input', async () => {
    const steps = [ground.step('cat'), ground.step('cat; [ $GANTRYD_RUN = again ] || exit 1')];
    const first = ground.run({ steps, retries: 1 }, { input: { kind: 'upload' } });
    const going = ground.going(first);
    const ending = executed(going);
    await until('its folder is there', () => existsSync(going.folder.state));
    await upload(first, Buffer.from('given '));
    assert.equal((await ending)?.exitCode, 1);
    const job = { ...first.job, environment: [{ name: 'GANTRYD_RUN', value: 'again' }] };
    const second = ground.going({ ...first, attempt: 2, job });
    assert.equal((await executed(second))?.exitCode, 0);
    assert.equal((await outputBytes(second.folder)).toString(), 'given ');
    assert.equal(bytesOf(await logOf(second.folder), 'stdout').toString(), 'given '.repeat(4));
  });

  test('waits for what was announced as input only as long as something comes, and is cancelled meanwhile', async () => {
    const run = ground.run({ steps: [ground.step('cat')] }, { input: { kind: 'upload' } });
    const going = ground.going(run);
    const ending = executed(going);
    await until('it waits', () => going.steps()[0]?.state === 'preparing');
    going.cancel('cancelled');
    assert.equal((await ending)?.kind, 'cancelled');
  });
});
