/**
 * The examples of jobs must do what their READMEs say, on one box without etcd: what a run gives is right to the
 * byte, its exit code is the container's, and no container is left.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { type Cleanup, engineAddress, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { type RunResult, run } from '../ground/processes.ts';
import { processesOf, type Sandbox, sandbox } from '../ground/sandbox.ts';

const WAIT_MS = 20_000;
const WORDS = ['CONTAINER', 'PIPELINE', 'HARBOUR', 'LANTERN', 'MEADOW'];
const SOLD = 'north,1,37\nnorth,2,24\nnorth,4,48\nnorth,5,35\nnorth,6,22\n';
const BACKUPS = '/tmp/gantryd-example-backup';
const BACKUP_KEY = 'correct horse battery staple';

interface ImageMaker {
  buildJobImages(options: { prefix: string; docker: string }): Promise<readonly string[]>;
  removeJobImages(options: { prefix: string; docker: string }): Promise<void>;
}

describe('the examples of jobs', { skip: skipWithoutEngine }, () => {
  let jobs: Jobs;
  const cleanups: (() => Promise<void> | void)[] = [];
  before(async () => {
    jobs = await openJobs({ after: (clean) => cleanups.push(clean) });
  });
  after(async () => {
    await jobs.close();
    for (const clean of cleanups) await clean();
  });

  test('words: each image reads what the one before it printed', async () => {
    const { id, stdout } = await jobs.submitted('words/words.json');
    const output = await jobs.output(id);
    const word = reversed(output.toString().trimEnd());
    assert.ok(WORDS.includes(word), word);
    assert.equal(stdout, `${word.toLowerCase()}\n${word}\n${reversed(word)}\n`);
    assert.equal(output.toString(), `${reversed(word)}\n`);
    assert.deepEqual(await jobs.box.containers(), []);
  });

  test('report: what is between delimiters, on stderr and in a binary file is handed on', async () => {
    const { id } = await jobs.submitted('report/report.yaml');
    const output = await jobs.output(id);
    assert.deepEqual([output[0], output[1]], [0x1f, 0x8b], 'gzip');
    assert.equal(gunzipSync(output).toString(), SOLD);
    const { stdout, stderr } = await jobs.must('job', 'log', id);
    assert.match(stdout, /^asking north for 6 days\nBEGIN ROWS\n/);
    assert.match(stdout, /day 3: only 11 sold, left out\n[\s\S]*packed for north: \d+ bytes\n$/);
    assert.equal(stderr, SOLD);
    assert.deepEqual(await jobs.box.containers(), []);
  });

  test('hrefs: what it prints is its answer, and its exit code says whether there is one', async () => {
    const port = await freePort();
    const ports = `ports=${JSON.stringify([{ external: port, container: 80, kind: 'http' }])}`;
    const site = ['--set', `repo=${jobs.prefix}/site`, '--set', ports];
    const file = join(PACKAGE_ROOT, 'examples', 'hrefs/site.json');
    await jobs.must(file, 'start', 'site', ...site);
    const counted = await jobs.counted(`url=http://127.0.0.1:${port}/`);
    assert.deepEqual([counted.code, counted.stdout], [0, '{"internal":2,"external":3}\n'], counted.stderr);
    const wrong = await jobs.counted(`url=http://127.0.0.1:${port}/none.html`);
    assert.deepEqual([wrong.code, wrong.stdout], [3, ''], wrong.stderr);
    assert.match(wrong.stderr, /404 Not Found\ncannot get http:.*none\.html\n$/);
    assert.equal((await jobs.counted()).code, 2);

    await jobs.must(file, 'stop', 'site', ...site);
    assert.deepEqual(await jobs.box.containers(), []);
  });

  test('backup: a run by hand reads the secret and the mounts, and is in the history', async () => {
    const folder = join(jobs.box.folder, 'backups');
    await mkdir(join(folder, 'data'), { recursive: true });
    await mkdir(join(folder, 'archives'));
    await writeFile(join(folder, 'data', 'ships.txt'), 'Beagle\n');
    await jobs.setSecret('backup-key', BACKUP_KEY);
    await jobs.must('cron', 'push', await jobs.file('backup/backup.yaml'));

    const { stdout } = await jobs.must('cron', 'run', 'nightly-backup', '--follow');
    const [, archive = ''] = /^packed 1 files into (data-\w+\.tar\.gz)$/m.exec(stdout) ?? [];
    assert.deepEqual(await readdir(join(folder, 'archives')), [archive, `${archive}.signature`]);
    const packed = await readFile(join(folder, 'archives', archive));
    assert.ok(gunzipSync(packed).includes('Beagle\n'));
    assert.equal(await readFile(join(folder, 'archives', `${archive}.signature`), 'utf8'), signature(packed));

    assert.deepEqual(await jobs.secretFiles(), []);
    const { stdout: history } = await jobs.must('cron', 'history', 'nightly-backup');
    assert.match(history, /^nightly-backup\.\S+ +complete .* 0 *$/m);
    assert.match(
      (await jobs.must('cron', 'get', 'nightly-backup')).stdout,
      /30 3 \* \* \* \(Europe\/Berlin\)/,
    );
    await jobs.must('cron', 'delete', 'nightly-backup');
  });

  test('docket: good entries fire, and a bad image is told at the push and by get', async () => {
    const pushed = await jobs.gantry('cron', 'push', await jobs.file('docket/docket.yml'));
    assert.equal(pushed.code, 1, pushed.stdout + pushed.stderr);
    assert.match(
      pushed.stdout,
      /Created schedule heartbeat\n[\s\S]*report[\s\S]*localhost:1\/reports\/weekly:v1/,
    );
    const bad = await jobs.must('cron', 'get', 'report');
    assert.match(bad.stdout, /The image localhost:1\/reports\/weekly:v1 cannot be had/);
    const { stdout: list } = await jobs.must('cron', 'list');
    assert.match(list, /^cleanup +@daily .* active *$/m);

    const completed = async () => {
      const { stdout } = await jobs.must('cron', 'history', 'heartbeat');
      return /^(heartbeat\.\S+) +complete /m.exec(stdout)?.[1];
    };
    const id = await until(completed, { timeoutMs: WAIT_MS, what: 'a heartbeat' });
    assert.equal((await jobs.must('job', 'log', id)).stdout, 'alive as heartbeat\n');
    for (const name of ['heartbeat', 'cleanup', 'report']) await jobs.must('cron', 'delete', name);
    await until(async () => (await jobs.box.containers()).length === 0, {
      timeoutMs: WAIT_MS,
      what: 'the last heartbeat to be over',
    });
  });
});

interface Jobs {
  readonly box: Sandbox;
  /** What the images are called in place of `gantryd-example`. */
  readonly prefix: string;
  /** Path of a copy of an example's file, with images and folders of this test. */
  file(example: string): Promise<string>;
  gantry(...line: readonly string[]): Promise<RunResult>;
  /** Fails the test when it exits not 0. */
  must(...line: readonly string[]): Promise<RunResult>;
  /** `job submit FILE --follow`, which tells the run's id. */
  submitted(example: string): Promise<RunResult & { readonly id: string }>;
  /** `job output`, byte for byte. */
  output(id: string): Promise<Buffer>;
  /** `job run` of the one that counts links. */
  counted(...variables: readonly string[]): Promise<RunResult>;
  setSecret(name: string, value: string): Promise<void>;
  /** Of containers, on this host. */
  secretFiles(): Promise<readonly string[]>;
  close(): Promise<void>;
}

async function openJobs(t: Cleanup): Promise<Jobs> {
  const box = await sandbox(t);
  const memory = await mkdtemp('/dev/shm/g-');
  t.after(() => rm(memory, { recursive: true }));
  const images = await imageMaker();
  const made = { prefix: `gantryd-example-${box.project}`, docker: engineAddress() };
  t.after(() => images.removeJobImages(made));
  await images.buildJobImages(made);

  const env = { ...box.env, GANTRYD_SECRETS_DIR: join(memory, 's') };
  const gantry = (...line: readonly string[]) => box.gantry(line, { env });
  const must = async (...line: readonly string[]) => wentWell(line, await gantry(...line));
  const file = async (example: string) => {
    const text = await readFile(join(PACKAGE_ROOT, 'examples', example), 'utf8');
    const own = text.replaceAll('gantryd-example/', `${made.prefix}/`);
    return box.config(own.replaceAll(BACKUPS, join(box.folder, 'backups')), basename(example));
  };
  return {
    ...{ box, prefix: made.prefix, gantry, must, file },
    async submitted(example) {
      const result = await must('job', 'submit', await file(example), '--follow');
      return { ...result, id: /^Run (\S+)$/m.exec(result.stderr)?.[1] ?? '' };
    },
    async output(id) {
      const path = join(box.folder, 'output');
      const line = [process.execPath, join(PACKAGE_ROOT, 'bin', 'gantry.js'), 'job', 'output', id];
      wentWell(line, await run(t, '/bin/sh', ['-c', 'exec "$@" > "$0"', path, ...line], { env }));
      return readFile(path);
    },
    counted(...variables) {
      const set = variables.flatMap((variable) => ['--env', variable]);
      return gantry('job', 'run', '--image', `${made.prefix}/hrefs`, '--network', 'host', ...set);
    },
    async setSecret(name, value) {
      const line = ['secret', 'set', name];
      wentWell(line, await box.gantry(line, { env, input: value }));
    },
    async secretFiles() {
      const all = await readdir(memory, { recursive: true, withFileTypes: true });
      return all.filter((entry) => entry.isFile()).map(({ name }) => name);
    },
    close: () => endRunner(box.stateDir),
  };
}

function wentWell(line: readonly string[], result: RunResult): RunResult {
  assert.equal(result.code, 0, `${line.join(' ')}:\n${result.stdout}\n${result.stderr}`);
  return result;
}

/** It would end by itself some time after there is nothing left for it. */
async function endRunner(stateDir: string): Promise<void> {
  const runners = () => processesOf(stateDir).filter(({ command }) => command.includes(' job runner '));
  for (const { pid } of runners()) process.kill(pid, 'SIGTERM');
  await until(() => runners().length === 0, { timeoutMs: WAIT_MS, what: 'the runner to end' });
}

/** Plain JavaScript outside the build. */
async function imageMaker(): Promise<ImageMaker> {
  return import(pathToFileURL(join(PACKAGE_ROOT, 'examples', 'jobs', 'image.mjs')).href);
}

/** As the script says: of the key, the archive and the key again. */
function signature(archive: Buffer): string {
  const hash = createHash('sha256').update(BACKUP_KEY).update(archive).update(BACKUP_KEY);
  return `${hash.digest('hex')}\n`;
}

function reversed(text: string): string {
  return [...text].reverse().join('');
}
