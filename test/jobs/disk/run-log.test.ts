import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  makeRunFolder,
  type RunFolder,
  removeRunFolder,
  runFolder,
} from '../../../src/jobs/disk/run-folder.ts';
import { endRunLog, type LogEntry, type ReadEntry, readRunLog } from '../../../src/jobs/disk/run-log.ts';
import { CHUNK_BYTES, SEGMENT_BYTES, SEGMENTS_KEPT } from '../../../src/jobs/disk/run-log-lines.ts';
import { RunLogWriter } from '../../../src/jobs/disk/run-log-writer.ts';
import { until } from '../../docker/until.ts';
import { bytesOf, logOf } from '../execution/execution-ground.ts';

const stateDir = mkdtempSync(join(tmpdir(), 'gantryd-log-'));
after(() => rmSync(stateDir, { recursive: true, force: true }));
let count = 0;

async function newFolder(): Promise<RunFolder> {
  const folder = runFolder(stateDir, 'p', `run-${++count}`);
  await makeRunFolder(folder);
  return folder;
}

const open = (folder: RunFolder) =>
  RunLogWriter.open({ folder: folder.path, run: `run-${count}`, now: () => Date.UTC(2026, 0, 1) });

async function written(folder: RunFolder, parts: readonly (string | Buffer)[]): Promise<void> {
  const log = await open(folder);
  await log.begin(1, 0);
  for (const part of parts) await log.print('stdout', Buffer.from(part));
  await log.end();
  await log.close();
}

const bytes = (entries: readonly LogEntry[]) => bytesOf(entries, 'stdout');

test('an entry says run, step, stream, time and text; small pieces that come together are one', async () => {
  const folder = await newFolder();
  const log = await open(folder);
  await log.begin(1, 2);
  void log.print('stdout', Buffer.from('a'));
  void log.print('stdout', Buffer.from('b\n'));
  void log.print('stderr', Buffer.from('c'));
  await log.note(2, 'pulling');
  await log.close();
  const [run, time, step] = [`run-${count}`, '2026-01-01T00:00:00.000Z', 2];
  assert.deepEqual(await logOf(folder), [
    { run, step, stream: 'stdout', time, text: 'ab\n' },
    { run, step, stream: 'stderr', time, text: 'c' },
    { run, step, stream: 'gantryd', time, text: 'pulling\n' },
  ]);
});

test('text stays text wherever its pieces are cut, and what is none comes in base64', async () => {
  const text = 'häß€𝄞'.repeat(9000);
  const all = Buffer.from(text);
  for (const size of [1, 7, 4096, CHUNK_BYTES - 1, all.length]) {
    const folder = await newFolder();
    const parts = Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
      all.subarray(i * size, (i + 1) * size),
    );
    await written(folder, parts);
    const entries = await logOf(folder);
    assert.ok(entries.every((entry) => entry.text !== undefined));
    assert.ok(entries.every((entry) => Buffer.byteLength(entry.text ?? '') <= CHUNK_BYTES));
    assert.ok(bytes(entries).equals(all));
  }
  const folder = await newFolder();
  const binary = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 256));
  await written(folder, [binary, Buffer.from([0xe2, 0x82])]);
  assert.ok(bytes(await logOf(folder)).equals(Buffer.concat([binary, Buffer.from([0xe2, 0x82])])));
});

test('a writer that comes after a crash knows what is there, and mends a torn line', async () => {
  const folder = await newFolder();
  const log = await open(folder);
  await log.begin(3, 1);
  void log.print('stdout', Buffer.from('hello'));
  await log.limited('enough');
  void log.print('stderr', Buffer.from([0xff, 0xfe]));
  await log.close();
  const segment = join(folder.path, 'log.1.jsonl');
  const { size } = statSync(segment);
  appendFileSync(segment, '{"run":"run-1","step":1,"stream":"stdout","ti');
  const again = await open(folder);
  assert.equal(statSync(segment).size, size);
  assert.deepEqual(again.state, { attempt: 3, step: 1, stdout: 5, stderr: 2, limited: true, total: 7 });
  await again.begin(3, 2);
  assert.deepEqual(again.state, { attempt: 3, step: 2, stdout: 0, stderr: 0, limited: false, total: 7 });
  await again.close();
});

test('the last segments are kept; who comes late, or is overtaken, is told how much went', async () => {
  const folder = await newFolder();
  const log = await open(folder);
  await log.begin(1, 0);
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  await log.print('stdout', Buffer.from('first\n'));
  await log.settle();
  const slow = readRunLog(folder, { follow: true }, new AbortController().signal)[Symbol.asyncIterator]();
  let overtaken = (await slow.next()).value.entry.text.length;
  const chunks = ((SEGMENTS_KEPT + 3) * SEGMENT_BYTES) / chunk.length;
  for (let i = 0; i < chunks; i++) await log.print('stdout', chunk);
  await log.end();
  await log.close();
  const total = 6 + chunks * chunk.length;
  const files = readdirSync(folder.path);
  assert.equal(files.length, SEGMENTS_KEPT);
  for (const file of files) assert.ok(statSync(join(folder.path, file)).size <= SEGMENT_BYTES);

  const goneOf = (entry?: LogEntry) => Number(/^(\d+) bytes/.exec(entry?.text ?? '')?.[1] ?? 0);
  const entries = await logOf(folder);
  assert.equal(entries[0]?.stream, 'gantryd');
  assert.equal(goneOf(entries[0]) + bytes(entries).length, total);

  for (let next = await slow.next(); next.done !== true; next = await slow.next()) {
    const { entry } = next.value as ReadEntry;
    overtaken += entry.stream === 'gantryd' ? goneOf(entry) : (entry.text ?? '').length;
  }
  assert.equal(overtaken, total);
});

test('who follows is told as it is written, until the run has ended', async () => {
  const folder = await newFolder();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { entry } of readRunLog(folder, { follow: true }, new AbortController().signal))
      seen.push(entry.text ?? '');
  })();
  const log = await open(folder);
  await log.begin(1, 0);
  for (let i = 0; i < 3; i++) {
    void log.print('stdout', Buffer.from(`${i}\n`));
    await until(`${i} is seen`, () => seen.includes(`${i}\n`));
  }
  await log.close();
  const other = await open(folder);
  await other.note(0, 'another writer');
  await other.close();
  await until('the other one is seen', () => seen.includes('another writer\n'));
  await endRunLog(folder);
  await endRunLog(folder);
  await following;
  assert.equal(seen.length, 4);
});

test('who follows a log that is removed, or says so, stops', async () => {
  const folder = await newFolder();
  await (await open(folder)).close();
  const abort = new AbortController();
  const read = async (signal: AbortSignal) => {
    for await (const _entry of readRunLog(folder, { follow: true }, signal));
  };
  const aborted = read(abort.signal);
  const removed = read(new AbortController().signal);
  abort.abort();
  await aborted;
  await removeRunFolder(folder);
  await removed;
  assert.ok(!existsSync(folder.path));
  await assert.rejects(read(new AbortController().signal), { code: 'output-gone' });
  await endRunLog(folder);
  assert.ok(!existsSync(folder.path));
});

test('reading goes on from where it was, or with the last entries', async () => {
  const folder = await newFolder();
  const log = await open(folder);
  await log.begin(1, 0);
  for (let i = 0; i < 10; i++) await log.note(0, String(i));
  await log.end();
  await log.close();
  const { signal } = new AbortController();
  const texts = async (options: { tail?: number; from?: string }) => {
    const all: string[] = [];
    for await (const { entry } of readRunLog(folder, { follow: true, ...options }, signal))
      all.push((entry.text ?? '').trim());
    return all.join('');
  };
  assert.equal(await texts({}), '0123456789');
  assert.equal(await texts({ tail: 3 }), '789');
  assert.equal(await texts({ tail: 0 }), '');
  assert.equal(await texts({ tail: 100 }), '0123456789');
  let at = 0;
  for await (const { next } of readRunLog(folder, { follow: false }, signal))
    assert.equal(await texts({ from: next }), '0123456789'.slice(++at));
});

test('a log of which a crash of the machine left nothing begins anew', async () => {
  const folder = await newFolder();
  await written(folder, ['x']);
  truncateSync(join(folder.path, 'log.1.jsonl'));
  const log = await open(folder);
  assert.equal(log.state.total, 0);
  await log.note(0, 'here');
  await log.close();
  assert.equal((await logOf(folder)).length, 1);
});
