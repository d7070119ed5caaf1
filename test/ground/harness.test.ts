/** The ground must be able to fail a test: waits that end, leaks that are told, leftovers that are removed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { freePort, tempFolder, until } from './harness.ts';
import { type Running, run, start } from './processes.ts';
import { processesOf, sandbox } from './sandbox.ts';

const WAIT_MS = 10_000;
const LEFTOVERS = pathToFileURL(join(PACKAGE_ROOT, 'test/ground/leftovers.mjs')).href;
const HARNESS = new URL('./harness.js', import.meta.url).href;

test('until answers the first truthy value and tells what it waited for in vain', async () => {
  let asked = 0;
  assert.equal(await until(() => ++asked === 3 && asked, { timeoutMs: WAIT_MS, what: 'three' }), 3);
  const vain = until(() => 0, { timeoutMs: 30, what: 'a thing' });
  await assert.rejects(vain, /30 ms in vain for a thing; last seen: 0/);
  const throwing = until(() => Promise.reject(new Error('broken')), { timeoutMs: 30, what: 'a thing' });
  await assert.rejects(throwing, /for a thing; last error: Error: broken/);
});

test('run answers code and output, and ends a command that takes too long', async (t) => {
  const result = await run(t, 'sh', ['-c', 'cat; echo oops >&2; exit 3'], { input: 'given' });
  assert.deepEqual(result, { code: 3, signal: undefined, stdout: 'given', stderr: 'oops\n' });
  await assert.rejects(run(t, 'sleep', ['1000'], { timeoutMs: 50 }), /sleep 1000 took over 50 ms/);
});

test('a command that ends without saying what was awaited fails the wait with its output', async (t) => {
  const running = start(t, 'sh', ['-c', 'echo other']);
  await assert.rejects(running.says('wanted', WAIT_MS), /ended without saying wanted:\s+other/);
});

test('a sandbox fails the test that leaves a process or a temporary file, and removes both', async () => {
  const cleanups: (() => Promise<void> | void)[] = [];
  const owner = { after: (clean: () => Promise<void> | void) => void cleanups.push(clean) };
  const ground = await sandbox(owner, { proxyEndMs: 1_000 });
  await writeFile(join(ground.stateDir, 'proxy-tables.json.tmp-1'), '');
  const left = start({ after() {} }, 'sleep', ['1000'], { env: { ...ground.env, PATH: process.env.PATH } });
  await until(() => processesOf(ground.stateDir).length, { timeoutMs: WAIT_MS, what: 'the process' });
  const ending = (async () => {
    for (const clean of cleanups) await clean();
  })();
  await assert.rejects(ending, /left behind: process \d+: sleep 1000 .*; file proxy-tables.json.tmp-1/s);
  assert.equal((await left.ended).signal, 'SIGKILL');
  assert.equal(existsSync(ground.folder), false);
});

test('what a killed run left behind is removed by the next, and a living run is spared', async (t) => {
  const folder = await tempFolder(t);
  const env = { ...process.env, TMPDIR: folder };
  const startRun = (mark: Mark) =>
    start(t, process.execPath, ['--input-type=module', '-e', runThatMarks(mark)], { env });
  const dead = [startRun('environment'), startRun('state-dir')];
  const alive = startRun('environment');
  const runs = [...dead, alive];
  t.after(() => void runs.map(killMarked));
  await Promise.all(runs.map((each) => each.says('marked', WAIT_MS)));
  for (const each of dead) each.signal('SIGKILL');
  await Promise.all(dead.map((each) => each.ended));
  const script = `console.log(await (await import('${LEFTOVERS}')).removeLeftovers())`;
  const result = await run(t, process.execPath, ['--input-type=module', '-e', script], { env });
  assert.equal(result.stdout.trim(), '2', result.stderr);
  assert.deepEqual(
    runs.map((each) => isRunning(pidIn(each.stdout))),
    [false, false, true],
  );
  assert.equal((await readdir(folder)).length, 1);
});

test('temporary folders are short enough for a unix socket', async (t) => {
  const folder = await tempFolder(t);
  await mkdir(join(folder, 's'));
  assert.ok(join(folder, 's', 'proxy.sock').length < 108, folder);
});

test('a free port is one that no connection is given, and given once', async (t) => {
  const [ephemeral = 0] = (await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'))
    .split('\t')
    .map(Number);
  const taken = await freePort();
  const server = createServer().listen(taken, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const ports = [taken, ...(await Promise.all(Array.from({ length: 60 }, freePort)))];
  assert.ok(
    ports.every((port) => port > 1024 && port < ephemeral),
    String(ports),
  );
  assert.equal(ports.filter((port) => port === taken).length, 1);
});

test('two processes whose ids are alike are not given the same port', async (t) => {
  const mine = await freePort();
  // As if its number were that of this process: it looks first where this one did.
  const script = `
    Object.defineProperty(process, 'pid', { value: ${process.pid} });
    console.log(await (await import('${HARNESS}')).freePort());`;
  const { stdout, stderr } = await run(t, process.execPath, ['--input-type=module', '-e', script]);
  const theirs = Number(stdout);
  assert.ok(theirs > 1024, stderr);
  const sliceOf = (port: number) => Math.floor((port - 12_000) / 80);
  assert.notEqual(sliceOf(theirs), sliceOf(mine), `${mine} and ${theirs}`);
});

/** How a process shows whose it is; the proxy, which takes no environment along, by its state directory. */
type Mark = 'environment' | 'state-dir';

/** A run with a ground of its own and one process in it that outlives it. */
function runThatMarks(mark: Mark): string {
  return `
    import { spawn } from 'node:child_process';
    import { GROUND_VARIABLE, openFolder } from '${LEFTOVERS}';
    const folder = openFolder();
    const byEnvironment = ${mark === 'environment'};
    const env = byEnvironment ? { [GROUND_VARIABLE]: folder } : {};
    const words = byEnvironment ? [] : ['--state-dir', folder + '/t/s'];
    const args = ['-e', 'setTimeout(() => {}, 1_000_000)', '--', ...words];
    const child = spawn(process.execPath, args, { detached: true, stdio: 'ignore', env });
    child.once('spawn', () => console.log('marked', child.pid));
  `;
}

function pidIn(output: string): number {
  return Number(/marked (\d+)/.exec(output)?.[1]);
}

function killMarked({ stdout }: Running): void {
  const pid = pidIn(stdout);
  if (isRunning(pid)) process.kill(pid, 'SIGKILL');
}

/** A zombie, which only awaits its parent's look, has no command line any more. */
function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8') !== '';
}
