/** What a host remembers that follows a fleet: releases that others decided on, taken up, given up and gone back to. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Release } from '../../src/agent/plan/state.ts';
import {
  type ComponentRecord,
  desiredOf,
  type FleetMemory,
  recordFile,
  withAdopted,
  withFailedRelease,
  withMark,
  withProven,
  withRelease,
  withServing,
  withStatus,
  withTakenBack,
} from '../../src/agent/record.ts';
import { isGantryError } from '../../src/errors.ts';
import { component, PORT_81, proven, release } from './builders.ts';

const NEVER: ComponentRecord = {
  format: 1,
  status: 'stopped',
  release: 0,
  releases: [],
  marks: {},
  linkPorts: {},
};

function followed(generation: number, over: Partial<FleetMemory> = {}): FleetMemory {
  return { generation, attempt: 1, settled: generation - 1, ...over };
}

/** A record that followed the fleet from one of these releases to the next; all of them served here. */
function served(...numbers: readonly number[]): ComponentRecord {
  return numbers.reduce((record, number, at) => {
    const made = record.releases.find((r) => r.number === number) ?? release(number);
    return withProven(withAdopted(record, made, followed(at + 1)), number, 1000 * (at + 1));
  }, NEVER);
}

function previous(record: ComponentRecord): number | undefined {
  return desiredOf('shop', 'web', record).previous?.number;
}

function numbers(record: ComponentRecord): readonly number[] {
  return record.releases.map((r) => r.number);
}

describe('an adopted release', () => {
  test('is what is wanted, with what is followed', () => {
    const record = withAdopted(NEVER, release(7), followed(3));
    assert.deepEqual([record.status, record.release, record.fleet], ['ready', 7, followed(3)]);
    assert.deepEqual(record.releases, [release(7)]);
  });

  test('returns to the proven one that was wanted before it', () => {
    assert.equal(previous(withAdopted(served(1, 2), release(5), followed(3))), 2);
  });

  test('returns, when it has a lower number, to the higher one that served', () => {
    const back = withAdopted(served(1, 2, 3), release(2, { imageId: 'sha256:other' }), followed(4));
    assert.deepEqual([back.release, numbers(back), previous(back)], [2, [1, 2, 3], 3]);
    const failed = withFailedRelease(back, 2, 'it exited');
    assert.deepEqual([failed.status, failed.release], ['ready', 3]);
  });

  test('is put in its place among the others', () => {
    assert.deepEqual(numbers(withAdopted(served(1, 4), release(3), followed(3))), [1, 3, 4]);
  });

  test('that comes after one that never served returns to where that one would have', () => {
    const waiting = withAdopted(served(1), release(2), followed(2));
    assert.equal(previous(withAdopted(waiting, release(3), followed(3))), 1);
  });

  test('returns to none when the component was stopped', () => {
    const stopped = withStatus(served(1), 'stopped', followed(2));
    const started = withAdopted(stopped, release(2), followed(3));
    assert.equal(previous(started), undefined);
    assert.equal(withFailedRelease(started, 2, 'it exited').status, 'stopped');
    assert.equal(withAdopted(stopped, release(1), followed(3)).status, 'ready');
  });

  test('that is wanted already changes only what is followed', () => {
    const record = withAdopted(served(1), release(2), followed(2));
    assert.deepEqual(withAdopted(record, release(2), followed(9)), { ...record, fleet: followed(9) });
  });

  test('that was rolled back to is remembered with the one that served before the rollback', () => {
    const back = served(1, 2, 3, 1);
    assert.deepEqual([back.release, previous(back)], [1, 3]);
    assert.equal(previous(withAdopted(back, release(4), followed(5))), 1);
  });

  test('forgets why the one before was given up', () => {
    const failed = withFailedRelease(withAdopted(served(1), release(2), followed(2)), 2, 'it exited');
    assert.equal('reason' in withAdopted(failed, release(3), followed(3)), false);
  });

  test('that is known stays as it was run here, and proven', () => {
    const given = release(1, {
      listeners: [PORT_81],
      linkEnvironment: { DB: 'x' },
      component: component({ image: 'other' }),
    });
    const [known] = served(1).releases;
    const [taken] = withAdopted(served(1), given, followed(2)).releases;
    assert.deepEqual(taken, { ...known, listeners: [PORT_81], linkEnvironment: { DB: 'x' } });
  });

  test('that is known as another image replaces that one', () => {
    const given = release(1, { imageId: 'sha256:other' });
    assert.deepEqual(withAdopted(served(1), given, followed(2)).releases, [given]);
  });

  test('that is given as proven is', () => {
    const record = withAdopted(withAdopted(NEVER, release(1), followed(1)), proven(1), followed(2));
    assert.equal(record.releases[0]?.proven, true);
  });

  test('pushes out no release that is needed, nor itself', () => {
    const many = Array.from({ length: 30 }, (_, i) => i + 10).reduce<ComponentRecord>(
      (r, n) => withAdopted(r, release(n), followed(n)),
      withMark(served(1, 2), 'a', { release: 1 }),
    );
    assert.deepEqual(numbers(many).slice(0, 3), [1, 2, 20]);
    assert.equal(previous(many), 2);
    const low = withAdopted(many, release(5), followed(50));
    assert.deepEqual([numbers(low).slice(0, 3), low.release], [[1, 2, 5], 5]);
  });

  test('leaves marks and link ports alone', () => {
    const before = { ...withMark(NEVER, 'a', { startedAt: 1 }), linkPorts: { db: 4000 } };
    const after = withAdopted(before, release(1), followed(1));
    assert.deepEqual([after.marks, after.linkPorts], [before.marks, before.linkPorts]);
  });
});

describe('a release of this host alone', () => {
  test('after a rollback returns to what was rolled back to', () => {
    assert.equal(previous(withRelease(served(1, 2, 1), release(3))), 1);
  });

  test('in a record from before there was a fleet returns to the newest proven one below it', () => {
    const old: ComponentRecord = {
      ...NEVER,
      status: 'ready',
      release: 3,
      releases: [proven(1), proven(2), release(3)],
    };
    assert.equal(previous(old), 2);
    assert.equal(previous(withRelease(old, release(4))), 2);
    assert.equal(withFailedRelease(old, 3, 'it exited').release, 2);
  });
});

describe('a release that fails', () => {
  test('is remembered as the failure of what is followed', () => {
    const record = withAdopted(served(1), release(2), followed(2, { attempt: 3 }));
    const { release: wanted, reason, fleet } = withFailedRelease(record, 2, 'it exited');
    assert.deepEqual([wanted, reason], [1, 'it exited']);
    assert.deepEqual(
      fleet,
      followed(2, { attempt: 3, failed: { generation: 2, attempt: 3, why: 'it exited' } }),
    );
  });
});

describe('a release that is taken back', () => {
  test('gives way to what served before, without a failure', () => {
    const record = withTakenBack(withAdopted(served(1), release(2), followed(2)));
    assert.deepEqual([record.status, record.release], ['ready', 1]);
    assert.equal('reason' in record, false);
    assert.equal(record.fleet?.failed, undefined);
  });

  test('leaves the component stopped when nothing served before', () => {
    const record = withTakenBack(withAdopted(NEVER, release(1), followed(1)), followed(1, { attempt: 2 }));
    assert.deepEqual([record.status, record.fleet?.attempt], ['stopped', 2]);
    assert.equal(previous(withAdopted(record, release(1), followed(1))), undefined);
  });

  test('can be adopted again', () => {
    const back = withTakenBack(withAdopted(served(1, 2), release(3), followed(3)));
    const again = withAdopted(back, release(3), followed(3));
    assert.deepEqual([again.release, previous(again)], [3, 2]);
  });

  test('stays when it is proven, or nothing is to run', () => {
    for (const record of [served(1, 2), withStatus(served(1), 'stopped'), NEVER]) {
      assert.equal(withTakenBack(record, followed(9)), record);
    }
  });
});

describe('what is followed', () => {
  test('tells when its release was proven', () => {
    assert.equal(served(1).fleet?.provenAt, 1000);
    const elsewhere = withProven(withAdopted(served(1), release(2), followed(2)), 1, 5);
    assert.equal(elsewhere.fleet?.provenAt, undefined);
    assert.equal('fleet' in withProven(withRelease(NEVER, release(1)), 1, 5), false);
  });

  test('stays through a stop, or is what the stop says', () => {
    const record = served(1);
    assert.deepEqual(withStatus(record, 'stopped').fleet, record.fleet);
    assert.deepEqual(withStatus(record, 'killed', followed(8)).fleet, followed(8));
  });

  test('survives on disk, and is refused when it is damaged', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'gantryd-record-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const file = recordFile(dir, 'shop', 'web');
    await file.prepare();
    await file.write(served(1, 2, 1));
    assert.deepEqual(await file.read(), served(1, 2, 1));
    await writeFile(file.path, JSON.stringify({ ...NEVER, fleet: { generation: '7' } }));
    await assert.rejects(file.read(), (error) => isGantryError(error, 'state-dir'));
  });
});

describe('how long the release before stays warm', () => {
  const keeping = (ms: number): Release => {
    const made = component();
    return release(2, { component: { ...made, update: { ...made.update, keepOldMs: ms } } });
  };

  test('is what the release that is wanted says, where it is asked for at all', () => {
    const record = withAdopted(served(1), keeping(5000), followed(2));
    assert.equal(desiredOf('shop', 'web', record, true).keepOldMs, 5000);
    assert.equal(desiredOf('shop', 'web', record).keepOldMs, 0);
    assert.equal(desiredOf('shop', 'web', NEVER, true).keepOldMs, 0);
  });

  test('is no time for a release from before it could be said', () => {
    const { update: _, ...old } = component();
    const record = withAdopted(
      served(1),
      release(2, { component: old as Release['component'] }),
      followed(2),
    );
    assert.equal(desiredOf('shop', 'web', record, true).keepOldMs, 0);
  });
});

describe('a switch', () => {
  test('marks who serves, and who no longer does', () => {
    const first = withServing(NEVER, ['a'], [], 1);
    const second = withServing(first, ['b'], ['a'], 2);
    assert.deepEqual(second.marks, { a: { servedAt: 1, unroutedAt: 2 }, b: { servedAt: 2 } });
    const third = withServing(second, ['a'], ['b'], 3);
    assert.deepEqual(third.marks, { a: { servedAt: 1 }, b: { servedAt: 2, unroutedAt: 3 } });
  });

  test('that changes nothing leaves the record as it is', () => {
    const record = withServing(NEVER, ['a'], [], 1);
    assert.equal(withServing(record, ['a'], [], 2), record);
  });
});
