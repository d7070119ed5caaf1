import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { problemsOf } from '../../src/config/load.ts';
import { loadJob, loadSchedules, readJob } from '../../src/config/load-jobs.ts';
import { GantryError } from '../../src/errors.ts';
import { DOCKET, WORDS } from './job-fixtures.ts';

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gantryd-jobs-'));
});

after(() => rm(folder, { recursive: true, force: true }));

async function refusal(work: Promise<unknown>): Promise<GantryError> {
  const error = await work.then(
    () => assert.fail('it loaded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GantryError, String(error));
  return error;
}

async function written(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

test('a job file loads, and paths in it count from its folder', async () => {
  assert.equal((await loadJob(await written('words.json', WORDS))).steps.length, 3);
  const job = await loadJob(await written('own.yaml', 'steps: [{image: a, registryAuth: auth.json}]'));
  assert.deepEqual(job.steps[0]?.registryAuth, { file: join(folder, 'auth.json') });
});

test('schedules load, in the zone that is given unless they name one', async () => {
  const path = await written('docket.yml', DOCKET);
  const schedules = await loadSchedules(path, { timeZone: 'Asia/Tokyo' });
  assert.deepEqual(
    schedules.map(({ name, timeZone }) => [name, timeZone]),
    [
      ['every-minute', 'Asia/Tokyo'],
      ['nightly', 'Asia/Tokyo'],
      ['weekday_report', 'Asia/Tokyo'],
    ],
  );
});

test('a file that is not there names what is', async () => {
  await written('job.yaml', 'steps: []');
  const error = await refusal(loadJob(join(folder, 'jbo.yaml')));
  assert.equal(error.code, 'config-unreadable');
  assert.match(error.message, /^the job file .*jbo\.yaml does not exist/);
  assert.equal(error.hint, 'Did you mean job.yaml?');
  const other = await refusal(loadSchedules(folder, { timeZone: 'UTC' }));
  assert.match(other.message, /^the schedule file .* is a folder/);
  assert.equal(other.hint, 'Name the schedule file in it.');
});

test('all problems are in one error, a line each', async () => {
  const path = await written('bad.json', '{"steps": [{"image": ""},\n{"image": "a", "output": "foo"}]}');
  const error = await refusal(loadJob(path));
  assert.equal(error.code, 'config-invalid');
  assert.deepEqual(error.message.split('\n'), [
    `${path} has 2 problems:`,
    `  ${path}:1:22  /steps/0/image: must not be empty (is: "")`,
    `  ${path}:2:26  /steps/1/output: must be "stdout", "stderr" or the absolute path of a file in the container (is: "foo")`,
  ]);
  assert.match(error.hint ?? '', /docs\/jobs\.md/);
  assert.equal(problemsOf(error).length, 2);
  const cron = await refusal(
    loadSchedules(await written('bad.yml', '- {name: a, cron: x, image: b}'), { timeZone: 'UTC' }),
  );
  assert.match(cron.message, /bad\.yml:1:19 {2}\/0\/cron: has 1 field; /);
});

test('a job from a pipe goes by the name it is given', () => {
  assert.equal(readJob(WORDS, 'standard input').steps.length, 3);
  assert.equal(readJob('steps:\n- image: a\n', 'standard input').steps.length, 1);
  assert.throws(
    () => readJob('{"steps": [', 'standard input'),
    /standard input has 1 problem:\n {2}standard input:1:12 {2}is not valid JSON/,
  );
});
