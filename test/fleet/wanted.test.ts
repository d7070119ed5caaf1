/** From what etcd holds to what is wanted, as a specification; the index that holds it is kept to a fresh one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keys as keysOf } from '../../src/cluster/keys.ts';
import type { Entry } from '../../src/cluster/store.ts';
import type { RolloutValue } from '../../src/cluster/values.ts';
import { FollowedIndex } from '../../src/fleet/looks/followed-index.ts';
import { wantedOf } from '../../src/fleet/wanted.ts';
import { diceOf } from '../campaign/dice.ts';
import { desiredOf, queueOf, releaseOf, rolloutOf } from './rollout-builders.ts';

const ALL = keysOf();
const KEYS = ALL.project('shop');

function entriesOf(...held: readonly (readonly [string, unknown])[]): Map<string, Entry> {
  const entry = (key: string, value: unknown, i: number): Entry => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return { key, value: text, createRevision: 10 + i, modRevision: 20 + i };
  };
  return new Map(held.map(([key, value], i) => [key, entry(key, value, i)]));
}

const wanted = (entries: ReadonlyMap<string, Entry>) =>
  wantedOf({ entries, current: true, trouble: undefined }, KEYS, 'web', [], (n) => releaseOf(n));

describe('what is wanted', () => {
  test('is the desired value, its rollout and its release, with their revisions', () => {
    const entries = entriesOf([KEYS.desired('web'), desiredOf()], [KEYS.rollout('web'), rolloutOf()]);
    const { desired, rollout, release, behind, broken } = wanted(entries);
    assert.deepEqual(desired, { value: desiredOf(), modRevision: 20 });
    assert.deepEqual(rollout, { value: rolloutOf(), modRevision: 21 });
    assert.deepEqual([release?.number, behind, broken], [2, [], []]);
  });

  test('is not what another component wants', () => {
    const { desired, rollout } = wanted(entriesOf([KEYS.desired('db'), desiredOf()]));
    assert.deepEqual([desired, rollout], [undefined, undefined]);
  });

  test('is nothing where nobody can read it', () => {
    const broken = [
      '{',
      '"ready"',
      { ...desiredOf(), format: 2 },
      { ...desiredOf(), status: 'gone' },
      { ...desiredOf(), generation: -1 },
    ];
    for (const value of broken) {
      const { desired, release } = wanted(entriesOf([KEYS.desired('web'), value]));
      assert.deepEqual([desired, release], [undefined, undefined], JSON.stringify(value));
    }
    assert.equal(
      wanted(entriesOf([KEYS.rollout('web'), { ...rolloutOf(), state: 'odd' }])).rollout,
      undefined,
    );
  });
});

describe('a rollout that waits for another', () => {
  const after = [{ component: 'db', generation: 5 }];
  const waits = (db: Partial<RolloutValue> | undefined) => {
    const own = [KEYS.rollout('web'), rolloutOf({ after })] as const;
    const other = db === undefined ? [] : [[KEYS.rollout('db'), rolloutOf(db)] as const];
    const { behind, broken } = wanted(entriesOf(own, ...other));
    return [behind.join(), broken.join()];
  };

  test('waits while that is on its way', () => {
    for (const state of ['preparing', 'running', 'paused'] as const)
      assert.deepEqual(waits({ state }), ['db', '']);
  });

  test('waits no longer when it is done, or given up for something else', () => {
    for (const state of ['done', 'superseded'] as const) assert.deepEqual(waits({ state }), ['', '']);
    assert.deepEqual(waits({ generation: 6, state: 'preparing' }), ['', '']);
  });

  test('fails with it', () => {
    assert.deepEqual(waits({ state: 'failed' }), ['', 'db']);
    assert.deepEqual(waits({ generation: 6, kind: 'rollback' }), ['', 'db']);
  });

  test('is held up by none that is gone, or older: etcd was wiped or restored', () => {
    assert.deepEqual(waits(undefined), ['', '']);
    assert.deepEqual(waits({ generation: 4 }), ['', '']);
  });
});

describe('the index of what is followed', () => {
  test('has turns in the order of their creation, and says what a change concerns', () => {
    const index = new FollowedIndex(ALL, 'shop');
    const [a, b] = queueOf('a', 'b');
    const entries = entriesOf(
      [KEYS.turn('web', 'b'), b],
      [KEYS.turn('web', 'a'), a],
      [KEYS.desired('web'), desiredOf()],
      [KEYS.link('sql', 'a'), { format: 1, host: 'a', address: '10.0.0.1', port: 5432 }],
    );
    const first = index.apply(entries, undefined);
    assert.deepEqual([[...first.components], first.config, first.links], [['web'], false, true]);
    const order = () => index.turns('web').map((t) => t.host);
    assert.deepEqual(order(), ['b', 'a']);
    assert.deepEqual([...index.components()], ['web']);
    entries.delete(KEYS.turn('web', 'b'));
    const then = index.apply(entries, [KEYS.turn('web', 'b')]);
    assert.deepEqual([[...then.components], then.links, order()], [['web'], false, ['a']]);
    const last = index.apply(entriesOf([KEYS.config, {}]), [KEYS.config]);
    assert.deepEqual([[...last.components], last.config, last.links], [[], true, false]);
    assert.equal(index.apply(new Map(), undefined).links, true, 'all offers may be gone');
  });

  test('knows of no turn that nobody can read', () => {
    const index = new FollowedIndex(ALL, 'shop');
    index.apply(entriesOf([KEYS.turn('web', 'a'), '{}']), undefined);
    assert.deepEqual(index.turns('web'), []);
  });

  test('is after any changes as one that was made anew', () => {
    const dice = diceOf(1);
    const index = new FollowedIndex(ALL, 'shop');
    const entries = new Map<string, Entry>();
    for (let round = 0; round < 500; round++) {
      const changed = Array.from({ length: 1 + dice.below(3) }, () => {
        const [component, host] = [dice.of(['web', 'db']), dice.of(['a', 'b', 'c'])];
        const [turn] = queueOf({ host });
        const [key, value] = dice.of([
          [KEYS.turn(component, host), dice.below(9) === 0 ? '{' : JSON.stringify(turn)],
          [KEYS.desired(component), JSON.stringify(desiredOf())],
          [KEYS.link('sql', host), '{}'],
        ] as const);
        const createRevision = entries.get(key)?.createRevision ?? round * 10 + dice.below(10);
        if (dice.below(2) === 0) entries.delete(key);
        else entries.set(key, { key, value, createRevision, modRevision: round });
        return key;
      });
      index.apply(entries, dice.below(20) === 0 ? undefined : changed);
      const anew = new FollowedIndex(ALL, 'shop');
      anew.apply(entries, undefined);
      for (const name of ['web', 'db']) assert.deepEqual(index.turns(name), anew.turns(name));
      assert.deepEqual(new Set(index.components()), new Set(anew.components()));
      const offers = (of: FollowedIndex) => [...(of.offers().get('sql') ?? [])].map((e) => e.key).sort();
      assert.deepEqual(offers(index), offers(anew));
    }
  });
});
