import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isGantryError } from '../src/errors.ts';
import { withLock } from '../src/lock.ts';

const HOLDER = fileURLToPath(new URL('./lock-holder.js', import.meta.url));
const LONG = { timeoutMs: 30_000 };
const AT_ONCE = { timeoutMs: 0 };

test('answers what the body answers and is free again', async (t) => {
  const path = await lockPath(t);
  assert.equal(await withLock(path, LONG, async () => 'done'), 'done');
  assert.equal(await withLock(path, AT_ONCE, async () => 'again'), 'again');
});

test('the body’s error comes through after the release', async (t) => {
  const path = await lockPath(t);
  const failing = withLock(path, LONG, async () => Promise.reject(new Error('from the body')));
  await assert.rejects(failing, /from the body/);
  await withLock(path, AT_ONCE, async () => undefined);
});

test('bodies of one process never overlap', async (t) => {
  const path = await lockPath(t);
  let inside = 0;
  let most = 0;
  const body = async () => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setImmediate(resolve));
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(path, LONG, body)));
  assert.equal(most, 1);
});

test('another process waits until the holder lets go', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  const second = holder(t, path);
  await second.says(`waiting ${first.pid} lock-holder.js`);
  assert.ok(!second.said.includes('locked'));
  first.process.stdin?.end();
  await second.says('locked');
  assert.ok(first.said.includes('locked'));
});

test('kill -9 of the holder frees the lock', async (t) => {
  const path = await lockPath(t);
  const killed = holder(t, path);
  await killed.says('locked');
  killed.process.kill('SIGKILL');
  await withLock(path, LONG, async () => undefined);
});

test('after the timeout the error names the holder', async (t) => {
  const path = await lockPath(t);
  const other = holder(t, path);
  await other.says('locked');
  const waits: (string | undefined)[] = [];
  const onWait = (who: string | undefined) => waits.push(who);
  const late = withLock(path, { timeoutMs: 50, onWait }, async () => assert.fail('it is locked'));
  await assert.rejects(late, (error) => {
    assert.ok(isGantryError(error, 'locked'));
    const command = `process ${other.pid} (lock-holder.js`;
    assert.ok(error.message.startsWith(command), error.message);
    assert.match(error.message, /has held .*\/a\.lock for longer than 50 ms$/);
    assert.equal(error.retryable, true);
    return true;
  });
  assert.equal(waits.length, 1);
  await assert.rejects(
    withLock(path, AT_ONCE, async () => undefined),
    (error) => isGantryError(error, 'locked'),
  );
});

test('Ctrl-C to the whole process group does not free the lock while the body runs', async (t) => {
  const path = await lockPath(t);
  const other = holder(t, path, { detached: true });
  await other.says('locked');
  process.kill(-other.pid, 'SIGINT');
  await other.says('interrupted');
  await assert.rejects(
    withLock(path, { timeoutMs: 30 }, async () => undefined),
    (error) => isGantryError(error, 'locked'),
  );
});

test('a Ctrl-C to the group of one who waits does not end the waiting', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  const waiter = holder(t, path, { detached: true });
  await waiter.says('waiting');
  process.kill(-waiter.pid, 'SIGINT');
  await waiter.says('interrupted');
  first.process.stdin?.end();
  await waiter.says('locked');
});

test('while the lock is held no helper process runs; when one who waits is killed, its helper goes', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  assert.deepEqual(childrenOf(first.pid), []);
  const waiter = holder(t, path);
  await waiter.says('waiting');
  await until(() => childrenOf(waiter.pid).some((pid) => nameOf(pid) === 'flock'), 'flock waits');
  const helpers = childrenOf(waiter.pid);
  waiter.process.kill('SIGKILL');
  await until(() => helpers.every((pid) => nameOf(pid) === undefined), 'the helper is gone');
});

test('an abort ends the waiting', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  const abort = new AbortController();
  const waiting = withLock(path, { ...LONG, signal: abort.signal, onWait: () => abort.abort() }, async () =>
    assert.fail('it is locked'),
  );
  await assert.rejects(waiting, (error) => isGantryError(error, 'interrupted'));
  assert.deepEqual(
    childrenOf(process.pid).filter((pid) => nameOf(pid) === 'flock'),
    [],
  );
});

test('an abort while flock waits ends flock', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  const abort = new AbortController();
  const waiting = withLock(path, { ...LONG, signal: abort.signal }, async () => assert.fail('it is locked'));
  const waits = () => childrenOf(process.pid).filter((pid) => commandOf(pid).includes('--wait'));
  const ended = assert.rejects(waiting, (error) => isGantryError(error, 'interrupted'));
  await until(() => waits().length === 1, 'flock waits');
  abort.abort();
  await ended;
  assert.deepEqual(waits(), []);
});

test('a process that the body started does not keep the lock', async (t) => {
  const path = await lockPath(t);
  const child = await withLock(path, LONG, async () => {
    const started = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    t.after(() => started.kill('SIGKILL'));
    return started;
  });
  assert.ok(child.pid !== undefined && nameOf(child.pid) !== undefined);
  await withLock(path, AT_ONCE, async () => undefined);
});

test('a lock file that was removed and made anew still excludes', async (t) => {
  const path = await lockPath(t);
  const first = holder(t, path);
  await first.says('locked');
  const second = holder(t, path);
  await second.says('waiting');
  await unlink(path);
  first.process.stdin?.end();
  await second.says('locked');
  await assert.rejects(
    withLock(path, AT_ONCE, async () => undefined),
    (error) => isGantryError(error, 'locked'),
  );
});

test('a lock that cannot be made says why', async (t) => {
  const path = await lockPath(t);
  const inNoFolder = withLock(join(path, 'no', 'lock'), LONG, async () => undefined);
  await assert.rejects(inNoFolder, (error) => isGantryError(error, 'state-dir'));
  await mkdir(path);
  await assert.rejects(
    withLock(path, LONG, async () => undefined),
    (error) => isGantryError(error, 'state-dir'),
  );
});

test('without flock the message names the package', async (t) => {
  const path = await lockPath(t);
  const before = process.env.PATH;
  t.after(() => {
    process.env.PATH = before;
  });
  process.env.PATH = '/nonexistent';
  await assert.rejects(
    withLock(path, LONG, async () => undefined),
    (error) => {
      assert.ok(isGantryError(error, 'state-dir'));
      assert.match(error.message, /cannot run flock/);
      assert.match(error.hint ?? '', /util-linux/);
      return true;
    },
  );
});

test('the lock file names its holder and is empty when free', async (t) => {
  const path = await lockPath(t);
  const inside = await withLock(path, LONG, () => readFile(path, 'utf8'));
  assert.match(inside, new RegExp(`^${process.pid} \\S`));
  assert.equal(await readFile(path, 'utf8'), '');
});

test('of the options of a command the lock file says nothing', async (t) => {
  const path = await lockPath(t);
  const { argv } = process;
  t.after(() => {
    process.argv = argv;
  });
  process.argv = ['node', '/bin/gantry.js', 'job', 'run', '--registry-auth', 'eyJwYXNzIjoxfQ', '-e', 'A=b'];
  const inside = await withLock(path, LONG, () => readFile(path, 'utf8'));
  assert.equal(inside, `${process.pid} gantry.js job run\n`);
});

async function lockPath(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-lock-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'a.lock');
}

interface Holder {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly said: string[];
  /** Waits for a line that begins so. */
  says(words: string): Promise<void>;
}

function holder(t: TestContext, path: string, options: { detached?: boolean } = {}): Holder {
  const child = spawn(process.execPath, [HOLDER, path, '30000'], {
    ...options,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const said: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => said.push(...text.trim().split('\n')));
  const says = (words: string) => until(() => said.some((line) => line.startsWith(words)), words, said);
  return { process: child, pid: child.pid ?? 0, said, says };
}

async function until(
  condition: () => boolean,
  what: string,
  instead: readonly string[] = [],
  timeoutMs = 8000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}; instead: ${instead}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** The name of a running process; undefined when it is gone or only waits to be reaped. */
function nameOf(pid: number): string | undefined {
  const text = procFile(pid, 'stat');
  const [, name, state] = /\((.*)\) (\w)/.exec(text) ?? [];
  return state === 'Z' ? undefined : name;
}

function commandOf(pid: number): string {
  return procFile(pid, 'cmdline').replaceAll('\0', ' ');
}

function procFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
