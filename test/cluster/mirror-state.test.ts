/**
 * A mirror that hears of everything twice, in either order, and of some things never. GANTRYD_SEED repeats one of
 * the random histories, GANTRYD_WORLDS sets how many.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Change, MirrorState } from '../../src/cluster/mirror-state.ts';
import type { Entry, Listing } from '../../src/cluster/store.ts';
import { type Random, seeded } from '../agent/world.ts';

const WORLDS = Number(process.env.GANTRYD_WORLDS ?? 600);
const STEPS = 120;
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

describe('The state of a mirror', () => {
  test('events change it in their order, and are told once', () => {
    const state = new MirrorState();
    state.replace(listing(5, ['a', 3]));
    assert.equal(state.event(put('b', 6)), true);
    assert.equal(state.event(put('b', 6)), false);
    assert.equal(state.event(gone('a', 7)), true);
    assert.equal(state.event(gone('a', 7)), false);
    assert.deepEqual([held(state), state.revision], [['b@6'], 7]);
  });

  test('an event of before the listing takes nothing back', () => {
    const state = new MirrorState();
    state.replace(listing(9, ['a', 8]));
    assert.equal(state.event(put('a', 7)), false);
    assert.equal(state.event(gone('a', 6)), false);
    assert.deepEqual(held(state), ['a@8']);
  });

  test('a listing of before an event takes nothing back', () => {
    const state = new MirrorState();
    state.replace(listing(5, ['a', 3], ['b', 4]));
    state.event(put('a', 8));
    state.event(gone('b', 9));
    state.event(put('c', 10));
    assert.equal(state.merge(listing(7, ['a', 6], ['b', 4])), false);
    assert.deepEqual(held(state), ['a@8', 'c@10']);
  });

  test('what is newer and the number of keys are enough while nothing was deleted unheard', () => {
    const state = new MirrorState();
    state.replace(listing(5, ['a', 3], ['b', 4]));
    assert.equal(state.unlisted, 6);
    assert.equal(state.refresh(listing(7, ['c', 7]), 3), 'changed');
    assert.equal(state.unlisted, 8);
    assert.equal(state.refresh(listing(9), 3), 'same');
    assert.equal(state.refresh(listing(10), 2), 'unsure');
    assert.equal(state.unlisted, 10);
    assert.equal(state.merge(listing(10, ['a', 3], ['c', 7])), true);
    assert.deepEqual(held(state), ['a@3', 'c@7']);
  });

  test('one deleted and one created unheard are both found', () => {
    const state = new MirrorState();
    state.replace(listing(5, ['a', 3], ['b', 4]));
    assert.equal(state.refresh(listing(7, ['c', 7]), 2), 'unsure');
    assert.deepEqual(held(state), ['a@3', 'b@4'], 'all at once, or a commit would be seen in parts');
    state.merge(listing(7, ['b', 4], ['c', 7]));
    assert.deepEqual(held(state), ['b@4', 'c@7']);
  });

  test('the watch owes what a listing had first, until it tells', () => {
    const state = new MirrorState();
    state.replace(listing(5, ['a', 3]));
    state.refresh(listing(7, ['b', 7]), 2);
    assert.equal(state.owed, true);
    assert.equal(state.event(put('b', 7)), false);
    assert.equal(state.owed, false);
    state.merge(listing(8, ['b', 7]));
    assert.equal(state.owed, true);
    state.event(gone('a', 8));
    assert.equal(state.owed, false);
    state.refresh(listing(10, ['b', 9]), 1);
    state.forgive();
    assert.equal(state.owed, false);
  });

  test('a store that was set back is followed there', () => {
    const state = new MirrorState();
    state.replace(listing(50, ['a', 40], ['b', 50]));
    state.event(put('c', 60));
    assert.equal(state.replace(listing(4, ['a', 4])), true);
    assert.deepEqual([held(state), state.revision], [['a@4'], 4]);
    assert.equal(state.event(put('a', 5)), true);
  });

  test('whatever is lost, late or twice, a listing that counts leaves it right', () => {
    const seeds =
      process.env.GANTRYD_SEED === undefined
        ? Array.from({ length: WORLDS }, (_, i) => i + 1)
        : [Number(process.env.GANTRYD_SEED)];
    for (const seed of seeds) {
      try {
        new World(seeded(seed)).live();
      } catch (error) {
        throw new Error(`GANTRYD_SEED=${seed}: ${error}`, { cause: error });
      }
    }
  });
});

/** A store, a watch that loses some of its events, and one listing at a time under way. */
class World {
  readonly #random: Random;
  readonly #losses: number;
  readonly #state = new MirrorState();
  readonly #history: Change[] = [];
  #revision = 1;
  #undelivered: Change[] = [];
  readonly #heard = new Map<string, Change>();
  #underWay: { readonly full: boolean; readonly found: Listing; readonly count: number } | undefined;

  constructor(random: Random) {
    this.#random = random;
    this.#losses = random() < 0.3 ? 0 : random() / 2;
    this.#state.replace(this.#listing());
  }

  live(): void {
    for (let step = 0; step < STEPS; step++) this.#step();
    for (const change of this.#undelivered) this.#hear(change);
    this.#undelivered = [];
    if (this.#losses === 0) this.#assertRight('all events are in');
    this.#underWay = undefined;
    this.#ask(false);
    for (let answers = 0; this.#underWay; answers++) {
      assert.ok(answers < 3, 'it goes on listing');
      this.#answer();
    }
    this.#assertRight('all was listed');
  }

  #step(): void {
    const dice = this.#random();
    if (dice < 0.4) this.#write();
    else if (dice < 0.8) this.#deliver();
    else if (this.#underWay) this.#answer();
    else this.#ask(this.#random() < 0.3);
  }

  #write(): void {
    this.#revision += 1;
    const keys = KEYS.filter(() => this.#random() < 0.25);
    for (const key of keys) {
      const change = this.#random() < 0.4 ? gone(key, this.#revision) : put(key, this.#revision);
      if (change.kind === 'delete' && !this.#at(this.#revision).has(key)) continue;
      this.#history.push(change);
      this.#undelivered.push(change);
    }
  }

  #deliver(): void {
    const change = this.#undelivered.shift();
    if (change && this.#random() >= this.#losses) this.#hear(change);
  }

  #hear(change: Change): void {
    this.#heard.set(keyOf(change), change);
    this.#state.event(change);
  }

  #ask(full: boolean): void {
    const all = this.#listing();
    const newer = all.entries.filter(({ modRevision }) => modRevision >= this.#state.unlisted);
    const found = full ? all : { ...all, entries: newer };
    this.#underWay = { full, found, count: all.entries.length };
  }

  #answer(): void {
    if (this.#underWay === undefined) return;
    const { full, found, count } = this.#underWay;
    this.#underWay = undefined;
    const sure = full || this.#state.refresh(found, count) !== 'unsure';
    if (full) this.#state.merge(found);
    if (sure) this.#assertListed(found);
    else this.#ask(true);
  }

  /** As the store was then, but for what newer events told. */
  #assertListed(found: Listing): void {
    const then = this.#at(found.revision);
    for (const key of KEYS) {
      const heard = this.#heard.get(key);
      const newer = heard && revisionOf(heard) > found.revision ? heard : undefined;
      const expected = newer ? revisionIn(newer) : then.get(key);
      assert.equal(this.#state.entries.get(key)?.modRevision, expected, `${key} after a listing`);
    }
  }

  #assertRight(when: string): void {
    const truth = this.#listing().entries.map((entry) => `${entry.key}@${entry.modRevision}`);
    assert.deepEqual(held(this.#state), truth, when);
  }

  #listing(): Listing {
    const entries = [...this.#at(this.#revision)].map(([key, revision]) => entryAt(key, revision));
    return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)), revision: this.#revision };
  }

  #at(revision: number): Map<string, number> {
    const found = new Map<string, number>();
    for (const change of this.#history.filter((c) => revisionOf(c) <= revision)) {
      if (change.kind === 'put') found.set(change.entry.key, revisionOf(change));
      else found.delete(change.key);
    }
    return found;
  }
}

function listing(revision: number, ...entries: (readonly [string, number])[]): Listing {
  return { revision, entries: entries.map(([key, at]) => entryAt(key, at)) };
}

function entryAt(key: string, modRevision: number): Entry {
  return { key, value: `${key} of ${modRevision}`, createRevision: 1, modRevision };
}

function put(key: string, revision: number): Change {
  return { kind: 'put', entry: entryAt(key, revision) };
}

function gone(key: string, modRevision: number): Change {
  return { kind: 'delete', key, modRevision };
}

function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

function revisionOf(change: Change): number {
  return change.kind === 'put' ? change.entry.modRevision : change.modRevision;
}

/** Of the key after it; undefined: it is gone. */
function revisionIn(change: Change): number | undefined {
  return change.kind === 'put' ? change.entry.modRevision : undefined;
}

function held(state: MirrorState): readonly string[] {
  return [...state.entries.values()].map(({ key, modRevision }) => `${key}@${modRevision}`).sort();
}
