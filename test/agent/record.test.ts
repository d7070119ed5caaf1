/** What a host remembers of a component: how it changes (pure), and that it survives on disk. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  type ComponentRecord,
  desiredOf,
  newestNumber,
  recordedComponents,
  recordFile,
  withFailedRelease,
  withMark,
  withoutMarks,
  withProven,
  withRelease,
  withStatus,
} from '../../src/agent/record.ts';
import { isGantryError } from '../../src/errors.ts';
import { proven, release } from './builders.ts';

const NEVER: ComponentRecord = {
  format: 1,
  status: 'stopped',
  release: 0,
  releases: [],
  marks: {},
  linkPorts: {},
};

/** A record in which these releases were made one after the other; `proven` ones are settled on. */
function record(numbers: readonly number[], settled: readonly number[] = []): ComponentRecord {
  return numbers.reduce((r, n) => withRelease(r, settled.includes(n) ? proven(n) : release(n)), NEVER);
}

function numbers(of: ComponentRecord): readonly number[] {
  return of.releases.map((r) => r.number);
}

function upTo(n: number): readonly number[] {
  return Array.from({ length: n }, (_, i) => i + 1);
}

describe('a new release', () => {
  test('is what is wanted from now on', () => {
    const { status, release: wanted, releases } = withRelease(NEVER, release(1));
    assert.deepEqual([status, wanted, releases], ['ready', 1, [release(1)]]);
  });

  test('forgets why the one before was given up', () => {
    const failed = withFailedRelease(record([1, 2], [1]), 2, 'it exited');
    assert.equal(failed.reason, 'it exited');
    assert.equal('reason' in withRelease(failed, release(3)), false);
  });

  test('is one of twenty that are kept', () => {
    assert.deepEqual(numbers(record(upTo(20))), upTo(20));
    assert.deepEqual(numbers(record(upTo(21))), upTo(21).slice(1));
  });

  test('never pushes out the last one that was settled on, to return to', () => {
    const many = record(upTo(40), [1, 3]);
    assert.deepEqual(numbers(many), [3, ...upTo(40).slice(20)]);
    assert.equal(desiredOf('shop', 'web', many).previous?.number, 3);
  });

  test('leaves marks and link ports alone', () => {
    const before = { ...withMark(NEVER, 'a', { startedAt: 1 }), linkPorts: { db: 4000 } };
    const after = withRelease(before, release(1));
    assert.deepEqual([after.marks, after.linkPorts], [before.marks, before.linkPorts]);
  });

  test('has a number after the newest, even when that one was given up', () => {
    assert.equal(newestNumber(NEVER), 0);
    assert.equal(newestNumber(withFailedRelease(record([1, 2], [1]), 2, 'late')), 2);
  });
});

describe('a failed release', () => {
  test('points back at the last one that was settled on', () => {
    const back = withFailedRelease(record([1, 2, 3, 4], [1, 2]), 4, 'it was late');
    assert.deepEqual([back.status, back.release, back.reason], ['ready', 2, 'it was late']);
  });

  test('stops the component when there is none', () => {
    const back = withFailedRelease(record([1]), 1, 'it was late');
    assert.deepEqual([back.status, back.release, back.reason], ['stopped', 1, 'it was late']);
  });

  test('stops the component again when it was stopped before', () => {
    const stopped = withStatus(record([1], [1]), 'stopped');
    const started = withRelease(withRelease(stopped, release(2)), release(3));
    assert.equal(desiredOf('shop', 'web', started).previous, undefined);
    const back = withFailedRelease(started, 3, 'it was late');
    assert.deepEqual([back.status, back.reason], ['stopped', 'it was late']);
    const settled = withRelease(withProven(started, 3), release(4));
    assert.equal(withFailedRelease(settled, 4, 'it was late').release, 3);
  });

  test('is nothing to a record that wants another one by now', () => {
    const later = record([1, 2, 3], [1]);
    assert.equal(withFailedRelease(later, 2, 'it was late'), later);
  });
});

describe('what is wanted', () => {
  test('of a component that was never deployed is stopped', () => {
    assert.deepEqual(desiredOf('shop', 'web', NEVER), {
      project: 'shop',
      component: 'web',
      status: 'stopped',
      release: undefined,
      previous: undefined,
      keepOldMs: 0,
    });
  });

  test('is the desired release, and the newest settled one before it', () => {
    const desired = desiredOf('shop', 'web', record([1, 2, 3, 4], [1, 2]));
    assert.deepEqual([desired.release?.number, desired.previous?.number], [4, 2]);
  });

  test('keeps the release through stop', () => {
    const desired = desiredOf('shop', 'web', withStatus(record([1], [1]), 'stopped'));
    assert.deepEqual([desired.status, desired.release?.number], ['stopped', 1]);
  });

  test('shows a release as settled on once it is', () => {
    const settled = withProven(record([1, 2], [1]), 2);
    assert.deepEqual(
      settled.releases.map((r) => r.proven),
      [true, true],
    );
  });
});

describe('marks', () => {
  test('add up on a container, and leave others alone', () => {
    const one = withMark(withMark(NEVER, 'a', { startedAt: 1 }), 'b', { servedAt: 2 });
    assert.deepEqual(withMark(one, 'a', { drainSince: 3 }).marks, {
      a: { startedAt: 1, drainSince: 3 },
      b: { servedAt: 2 },
    });
  });

  test('go with the container', () => {
    const two = withMark(withMark(NEVER, 'a', { startedAt: 1 }), 'b', { startedAt: 2 });
    assert.deepEqual(withoutMarks(two, ['a', 'never seen']).marks, { b: { startedAt: 2 } });
  });
});

describe('the file', () => {
  async function stateDir(t: TestContext): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'gantryd-record-'));
    t.after(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  test('that is not there reads as never deployed', async (t) => {
    const file = recordFile(await stateDir(t), 'shop', 'web');
    assert.deepEqual(await file.read(), NEVER);
  });

  test('answers what was written, for its owner only', async (t) => {
    const file = recordFile(await stateDir(t), 'shop', 'web');
    const written = withMark(record([1, 2], [1]), 'a', { servedAt: 5 });
    await file.prepare();
    await file.write(record([1]));
    await file.write(written);
    assert.deepEqual(await file.read(), written);
    assert.equal((await stat(file.path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(dirname(file.path)), ['web.json']);
  });

  test('of each component is its own, and they are listed by project', async (t) => {
    const dir = await stateDir(t);
    for (const [project, component] of [
      ['shop', 'web'],
      ['shop', 'db'],
      ['blog', 'web'],
    ] as const) {
      const file = recordFile(dir, project, component);
      await file.prepare();
      await file.write(NEVER);
    }
    assert.deepEqual([...(await recordedComponents(dir, 'shop'))].sort(), ['db', 'web']);
    assert.deepEqual(await recordedComponents(dir, 'unknown'), []);
  });

  test('that was written when releases had fewer fields has the defaults of the newer ones', async (t) => {
    const file = recordFile(await stateDir(t), 'shop', 'web');
    await file.prepare();
    const { update, ...older } = release(1).component;
    const written = { ...record([1]), releases: [{ ...release(1), component: older }] };
    await writeFile(file.path, JSON.stringify(written));
    assert.deepEqual((await file.read()).releases[0]?.component.update, update);
  });

  test('that is left half-written by somebody else is no component', async (t) => {
    const dir = await stateDir(t);
    const file = recordFile(dir, 'shop', 'web');
    await file.prepare();
    await file.write(NEVER);
    await writeFile(join(dirname(file.path), '.web.json.1.0123456789ab.tmp'), '{');
    assert.deepEqual(await recordedComponents(dir, 'shop'), ['web']);
  });

  for (const [what, text] of [
    ['cut short', '{"format": 1, "status": "rea'],
    ['of another version', '{"format": 2}'],
    ['of another kind', '"hello"'],
    ['empty', ''],
    ['lacking fields', '{"format": 1}'],
    [
      'holding something else',
      '{"format":1,"status":"ready","release":1,"releases":{},"marks":{},"linkPorts":{}}',
    ],
  ] as const) {
    test(`${what} is refused by name, with what to do, and is left as it is`, async (t) => {
      const file = recordFile(await stateDir(t), 'shop', 'web');
      await file.prepare();
      await writeFile(file.path, text);
      await assert.rejects(file.read(), (error) => {
        assert.ok(isGantryError(error, 'state-dir'));
        assert.equal(error.message, `${file.path} is not a record of this version of gantryd`);
        assert.match(error.hint ?? '', /Move it away/);
        return true;
      });
    });
  }

  test('that cannot be read says why', async (t) => {
    const file = recordFile(await stateDir(t), 'shop', 'web');
    await mkdir(file.path, { recursive: true });
    await assert.rejects(file.read(), (error) => {
      assert.ok(isGantryError(error, 'state-dir'));
      assert.match(error.message, /^Cannot read .*web\.json: EISDIR/);
      return true;
    });
  });
});
