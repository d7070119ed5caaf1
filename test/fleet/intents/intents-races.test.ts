/** Commands that come at the same time, and commands whose answer is lost: each happens once, or says that it does not know. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isGantryError } from '../../../src/errors.ts';
import { rollback, setStatus, update } from '../../../src/fleet/intents/intents.ts';
import { pauseRollout, resumeRollout } from '../../../src/fleet/intents/steer.ts';
import {
  ask,
  configure,
  desiredIn,
  fleetOn,
  type Ground,
  type Meddling,
  meddled,
  PROJECT,
  releaseIn,
  releasesIn,
  rolloutIn,
  shipped,
  shop,
  updateOf,
} from './intents-ground.ts';

const stop = { ...ask([], 'bob@desk'), status: 'stopped' } as const;
const web = { project: PROJECT, component: 'web', by: 'ann@desk' };

function withLine({ store }: Ground, ...list: readonly Meddling[]) {
  return fleetOn(meddled(store, list));
}

describe('at the same time', () => {
  test('two updates make two releases, and the later write is the one wanted', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const [a, b] = await Promise.all([
      update(all.fleet, updateOf([], 'ann@desk')),
      update(all.fleet, updateOf([], 'bob@desk')),
    ]);
    const made = [...a.changes, ...b.changes].map((c) => [c.release, c.generation]).sort();
    assert.deepEqual(made, [
      [2, 2],
      [3, 3],
    ]);
    const { release, generation, from } = rolloutIn(all.cluster, 'web');
    assert.deepEqual([release, generation, from], [3, 3, 1], 'the second returns to where the first did');
    assert.equal(desiredIn(all.cluster, 'web').by, releaseIn(all.cluster, 'web', 3).by);
  });

  test('twenty updates are twenty releases', async () => {
    const all = await shop('web', 'api');
    await Promise.all(Array.from({ length: 10 }, () => update(all.fleet, updateOf())));
    for (const name of ['web', 'api']) {
      assert.deepEqual(releasesIn(all.cluster, name), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      assert.equal(desiredIn(all.cluster, name).generation, 10);
    }
  });

  test('a stop during an update is never overwritten by it', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const line = withLine(all, { before: () => setStatus(all.fleet, stop) });
    await update(line, updateOf());
    assert.deepEqual(
      [desiredIn(all.cluster, 'web').generation, rolloutIn(all.cluster, 'web').from],
      [3, 0],
      'the update came after the stop, and knows of it',
    );
  });

  test('an update before a stop is what is stopped', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await setStatus(withLine(all, { before: () => update(all.fleet, updateOf()) }), stop);
    const { status, release, generation } = desiredIn(all.cluster, 'web');
    assert.deepEqual([status, release, generation], ['stopped', 2, 3]);
    assert.equal(rolloutIn(all.cluster, 'web').state, 'superseded');
  });

  test('a config that changes during an update is the one the release is made from', async () => {
    const all = await shop('web');
    const newer = () => configure(all.fleet, [{ name: 'web', repo: 'other' }]);
    const { changes } = await update(withLine(all, { before: newer }), updateOf());
    assert.equal(changes[0]?.image.name, 'other:latest');
    assert.equal(releaseIn(all.cluster, 'web', 1).spec.image, 'other:latest');
  });

  test('an update of all loses no component to one of another', async () => {
    const all = await shop('web', 'api');
    const line = withLine(all, { before: () => update(all.fleet, updateOf(['api'])) });
    const { changes } = await update(line, updateOf());
    assert.deepEqual(
      changes.map((c) => [c.component, c.release]),
      [
        ['web', 1],
        ['api', 2],
      ],
    );
  });

  test('who loses again and again gives up and says so', async () => {
    const all = await shop('web');
    const always: Meddling = { before: () => update(all.fleet, updateOf()) };
    const line = withLine(all, ...Array.from({ length: 30 }, () => always));
    await assert.rejects(update(line, updateOf()), (e) => isGantryError(e, 'superseded') && e.retryable);
  });
});

describe('whatever comes between', () => {
  /** The same dice for the same seed (mulberry32). */
  function dice(seed: number) {
    let state = seed;
    return (sides: number) => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) % sides;
    };
  }

  for (let seed = 1; seed <= 20; seed++)
    test(`no number is given out twice and the newest intent is the one wanted (seed ${seed})`, async () => {
      const roll = dice(seed);
      const all = await shop('web', 'api');
      await shipped(all, 'web');
      const answers = [undefined, undefined, undefined, 'lost', 'dropped'] as const;
      const line = () => {
        const meddling = Array.from({ length: 3 }, (): Meddling => {
          const answer = answers[roll(answers.length)];
          return answer === undefined ? {} : { answer };
        });
        return withLine(all, ...meddling);
      };
      const commands = [
        () => update(line(), updateOf(roll(2) === 0 ? ['web'] : [])).then((u) => u.changes),
        () => rollback(line(), ask(['web'])),
        () => setStatus(line(), stop),
        () => setStatus(line(), { ...ask(['web']), status: 'killed' as const }),
      ];
      const given = await Promise.allSettled(
        Array.from({ length: 8 }, () => commands[roll(commands.length)]?.()),
      );
      for (const one of given)
        if (one.status === 'rejected')
          assert.ok(['superseded', 'release-unknown'].includes(one.reason.code), String(one.reason));
      const changes = given.flatMap((one) => (one.status === 'fulfilled' ? (one.value ?? []) : []));
      for (const name of ['web', 'api']) {
        const own = changes.filter((c) => c.component === name && c.changed);
        const generations = own.map((c) => c.generation);
        assert.equal(new Set(generations).size, generations.length, `${name}: ${generations}`);
        if (own.length === 0) continue;
        const { generation, status } = desiredIn(all.cluster, name);
        assert.ok(generation >= Math.max(...generations));
        const { generation: rolled, state } = rolloutIn(all.cluster, name);
        if (status === 'ready') assert.equal(rolled, generation);
        else assert.ok(state === 'superseded' || state === 'done', state);
      }
    });
});

describe('an answer that is lost', () => {
  test('of an update that was written makes no second release', async () => {
    const all = await shop('web', 'api');
    const { changes } = await update(withLine(all, { answer: 'lost' }), updateOf());
    assert.deepEqual(
      changes.map((c) => [c.component, c.release, c.generation, c.changed]),
      [
        ['web', 1, 1, true],
        ['api', 1, 1, true],
      ],
    );
    assert.deepEqual(releasesIn(all.cluster, 'web'), [1]);
  });

  test('of an update that was not written is written then', async () => {
    const all = await shop('web');
    const line = withLine(all, { answer: 'dropped' }, { answer: 'dropped' }, { answer: 'lost' });
    const { changes } = await update(line, updateOf());
    assert.deepEqual([changes[0]?.release, releasesIn(all.cluster, 'web')], [1, [1]]);
  });

  test('of an update that was stopped since does not start it again', async () => {
    const all = await shop('web');
    const line = withLine(all, { answer: 'lost', after: () => setStatus(all.fleet, stop) });
    const { changes } = await update(line, updateOf());
    assert.deepEqual([changes[0]?.release, changes[0]?.generation], [1, 1]);
    assert.equal(desiredIn(all.cluster, 'web').status, 'stopped');
  });

  test('of an update that another followed is known by its release', async () => {
    const all = await shop('web');
    const line = withLine(all, { answer: 'lost', after: () => update(all.fleet, updateOf()) });
    const { changes } = await update(line, updateOf());
    assert.deepEqual([changes[0]?.release, changes[0]?.generation], [1, 1]);
    assert.deepEqual(releasesIn(all.cluster, 'web'), [1, 2]);
  });

  test('of an update that lost to another is made after it', async () => {
    const all = await shop('web');
    const line = withLine(all, { answer: 'dropped', after: () => update(all.fleet, updateOf()) });
    const { changes } = await update(line, updateOf());
    assert.deepEqual([changes[0]?.release, changes[0]?.generation], [2, 2]);
  });

  for (const answer of ['lost', 'dropped'] as const) {
    test(`of a stop or rollback (${answer}) is given once`, async () => {
      const all = await shop('web');
      await shipped(all, 'web');
      await shipped(all, 'web');
      const back = await rollback(withLine(all, { answer }), ask());
      assert.deepEqual(back, [{ component: 'web', release: 1, generation: 3, changed: true }]);
      const stopped = await setStatus(withLine(all, { answer }), stop);
      assert.deepEqual(stopped, [{ component: 'web', release: 1, generation: 4, changed: true }]);
      assert.equal(desiredIn(all.cluster, 'web').generation, 4);
    });
  }

  test('of a stop that lost to an update stops what came first', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const line = withLine(all, { answer: 'dropped', after: () => update(all.fleet, updateOf()) });
    assert.deepEqual(await setStatus(line, stop), [
      { component: 'web', release: 2, generation: 3, changed: true },
    ]);
  });

  test('of a stop behind which others have moved on is not given again', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const line = withLine(all, { answer: 'lost', after: () => update(all.fleet, updateOf()) });
    await assert.rejects(setStatus(line, stop), (error) => {
      assert.ok(isGantryError(error, 'superseded'));
      assert.match(`${error.message} ${error.hint}`, /ann@desk changed web.*not known/);
      return true;
    });
    assert.equal(desiredIn(all.cluster, 'web').status, 'ready');
  });

  test('of a resume is no second attempt, of a pause no second pause', async () => {
    const all = await shop('web');
    await update(all.fleet, updateOf());
    const resumed = () => resumeRollout(all.fleet, web);
    const paused = await pauseRollout(withLine(all, { answer: 'lost' }), web);
    assert.deepEqual([paused.state, paused.changed], ['paused', true]);
    await resumeRollout(withLine(all, { answer: 'lost' }), web);
    assert.deepEqual(
      [rolloutIn(all.cluster, 'web').state, rolloutIn(all.cluster, 'web').attempt],
      ['preparing', 2],
    );
    await pauseRollout(withLine(all, { answer: 'lost', after: resumed }), web);
    assert.equal(rolloutIn(all.cluster, 'web').state, 'preparing', 'whoever resumed it came later');
  });

  test('with etcd gone for good says that it is not known', async () => {
    const all = await shop('web');
    const gone = () => all.store.disconnect();
    await assert.rejects(update(withLine(all, { answer: 'lost', after: gone }), updateOf()), (error) => {
      assert.ok(isGantryError(error, 'cluster-unreachable'));
      assert.match(error.hint ?? '', /may have been written or not/);
      return true;
    });
  });

  test('with etcd gone from the start changes nothing and asks once', async () => {
    const all = await shop('web');
    all.store.disconnect();
    await assert.rejects(update(all.fleet, updateOf()), (error) => {
      assert.ok(isGantryError(error, 'cluster-unreachable'));
      assert.doesNotMatch(error.hint ?? '', /may have been/);
      return true;
    });
    assert.deepEqual(releasesIn(all.cluster, 'web'), []);
  });

  test('after a part was written names that part', async () => {
    const many = Array.from({ length: 60 }, (_, i) => `c${i}`);
    const all = await shop(...many);
    const gone = () => all.store.disconnect();
    await assert.rejects(
      update(withLine(all, {}, { answer: 'dropped', after: gone }), updateOf()),
      (error) => {
        assert.ok(isGantryError(error, 'cluster-unreachable'));
        assert.match(error.hint ?? '', /Done before it: c0, c1, /);
        return true;
      },
    );
  });
});
