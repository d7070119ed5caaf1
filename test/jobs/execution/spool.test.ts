import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GatheredWrites } from '../../../src/jobs/disk/gathered-writes.ts';
import { Spool } from '../../../src/jobs/execution/spool.ts';

const folder = mkdtempSync(join(tmpdir(), 'gantryd-spool-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const newPath = () => join(folder, String(++count));

async function spooled(path: string, goesOn: boolean, parts: readonly string[], delimiters?: typeof MARKERS) {
  const spool = await Spool.open(path, goesOn, delimiters);
  for (const part of parts) await spool.take(Buffer.from(part));
  await spool.finish();
  await spool.close();
  return readFileSync(path, 'utf8');
}

const MARKERS = { begin: 'B', end: 'E' };

test('what is given is in the file, and its size known', async () => {
  const path = newPath();
  const spool = await Spool.open(path, false);
  for (let i = 0; i < 5000; i++) await spool.take(Buffer.from(`${i} `));
  await spool.finish();
  assert.equal(readFileSync(path, 'utf8'), Array.from({ length: 5000 }, (_, i) => `${i} `).join(''));
  assert.equal(spool.size, readFileSync(path).length);
  await spool.close();
});

test('one that begins anew forgets what was there', async () => {
  const path = newPath();
  writeFileSync(path, 'old and long');
  assert.equal(await spooled(path, false, ['new']), 'new');
});

test('one that goes on drops what it has, wherever it was torn', async () => {
  const text = 'no\nB\none\ntwo\nE\nno\nB\nthree\n';
  for (const delimiters of [undefined, MARKERS]) {
    const path = newPath();
    const whole = await spooled(path, false, [text], delimiters);
    for (let kept = 0; kept <= whole.length; kept++) {
      writeFileSync(path, whole.slice(0, kept));
      assert.equal(await spooled(path, true, [text.slice(0, 7), text.slice(7)], delimiters), whole);
    }
  }
});

test('what comes again from the beginning after a break is not taken twice', async () => {
  const path = newPath();
  const spool = await Spool.open(path, false, MARKERS);
  await spool.take(Buffer.from('B\nabc\nde'));
  spool.rewind();
  await spool.take(Buffer.from('B\nabc\ndefg\nE\n'));
  await spool.finish();
  await spool.close();
  assert.equal(readFileSync(path, 'utf8'), 'abc\ndefg\n');
});

test('a disk that is full fails it with state-write, at the latest when it is finished', async () => {
  const spool = await Spool.open('/dev/full', false);
  const give = async () => {
    await spool.take(Buffer.from('x'));
    await spool.finish();
  };
  await assert.rejects(give, { code: 'state-write', message: 'cannot write /dev/full: the disk is full' });
  await assert.rejects(give, { code: 'state-write' });
  await spool.close();
});

test('while a write is under way the next pieces gather, up to a bound, and are written together', async () => {
  const writes: number[] = [];
  let release = () => {};
  const gathered = new GatheredWrites<{ bytes: Buffer }>((pieces) => {
    writes.push(pieces.length);
    return new Promise((resolve) => {
      release = resolve;
    });
  });
  const piece = { bytes: Buffer.alloc(64 * 1024) };
  assert.equal(gathered.add(piece), undefined);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(writes, [1]);
  for (let i = 0; i < 3; i++) assert.equal(gathered.add(piece), undefined);
  const room = gathered.add(piece);
  assert.ok(room !== undefined, 'the buffer is full');
  release();
  await room;
  assert.deepEqual(writes, [1, 4]);
  const flushed = gathered.flush();
  release();
  await flushed;
});
