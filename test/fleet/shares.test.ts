/** How a total is spread: by example, and through thousands of seeded histories of hosts that come and go. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Decision,
  evenShares,
  isEven,
  nextDecision,
  type Shares,
  type SpreadHost,
} from '../../src/fleet/shares.ts';
import { type Dice, diceOf } from '../campaign/dice.ts';

/** `a`, or `a@east` in a group. */
function hostsOf(...names: readonly string[]): readonly SpreadHost[] {
  return names.map((name) => {
    const [host = '', group = ''] = name.split('@');
    return { host, group };
  });
}

const spreadOf = (total: number, ...names: readonly string[]) => ({
  ...{ component: 'web', total },
  hosts: hostsOf(...names),
});

function sum(shares: Shares): number {
  return Object.values(shares).reduce((a, b) => a + b, 0);
}

describe('a total', () => {
  test('is spread evenly over hosts', () => {
    assert.deepEqual(nextDecision(spreadOf(6, 'a', 'b', 'c'), undefined), {
      total: 6,
      shares: { a: 2, b: 2, c: 2 },
    });
  });

  test('is spread over the values of a label first', () => {
    const { shares = {} } = nextDecision(spreadOf(6, 'a@east', 'b@west', 'c@west'), undefined) ?? {};
    assert.equal(shares.a, 3);
    assert.deepEqual([shares.b, shares.c].sort(), [1, 2]);
  });

  test('less than there are hosts leaves some with none', () => {
    const { shares = {} } = nextDecision(spreadOf(2, 'a', 'b', 'c', 'd'), undefined) ?? {};
    assert.deepEqual(Object.values(shares).sort(), [0, 0, 1, 1]);
  });

  test('that is spread well stays, whoever else could have it', () => {
    const present = { total: 7, shares: { a: 2, b: 1, c: 2, d: 2 } };
    assert.equal(nextDecision(spreadOf(7, 'a', 'b', 'c', 'd'), present), undefined);
  });

  test('is taken over from a lost host without taking anything away', () => {
    const present = { total: 6, shares: { a: 2, b: 2, c: 2 } };
    const decision = nextDecision(spreadOf(6, 'a', 'b'), present);
    assert.deepEqual(decision, { total: 6, shares: { a: 3, b: 3 } });
  });

  test('moves to a host that comes, but leaves a host only when its successor serves', () => {
    const hosts = spreadOf(6, 'a', 'b', 'c');
    const first = nextDecision(hosts, { total: 6, shares: { a: 3, b: 3 } });
    const next = { a: 2, b: 2, c: 2 };
    assert.deepEqual(first, { total: 6, shares: { a: 3, b: 3, c: 2 }, next, arrived: ['a', 'b'] });
    assert.equal(nextDecision(hosts, first), undefined, 'c has not arrived');
    const arrived = { ...first, arrived: ['a', 'b', 'c'] } as Decision;
    assert.deepEqual(nextDecision(hosts, arrived), { total: 6, shares: next });
  });

  test('is decided about anew when the host that was to grow is lost', () => {
    const present = {
      total: 6,
      shares: { a: 3, b: 3, c: 2 },
      next: { a: 2, b: 2, c: 2 },
      arrived: ['a', 'b'],
    };
    assert.deepEqual(nextDecision(spreadOf(6, 'a', 'b'), present), { total: 6, shares: { a: 3, b: 3 } });
  });

  test('leaves no host for one that has not arrived yet, however often it is decided about anew', () => {
    const present = {
      ...{ total: 6, shares: { a: 3, b: 3, c: 2 }, next: { a: 2, b: 2, c: 2 } },
      arrived: ['a', 'b'],
    };
    const four = nextDecision(spreadOf(6, 'a', 'b', 'c', 'd'), present);
    assert.deepEqual(four?.arrived, ['a', 'b'], 'neither c nor d has arrived');
    const fewer = nextDecision(spreadOf(5, 'a', 'b', 'c'), present) ?? assert.fail();
    assert.deepEqual(fewer.shares, { a: 3, b: 3, c: 2 });
    assert.deepEqual([sum(fewer.next ?? {}), fewer.arrived], [5, ['a', 'b']]);
    const none = nextDecision(spreadOf(0, 'a', 'b', 'c'), present);
    assert.deepEqual(none, { total: 0, shares: { a: 0, b: 0, c: 0 } }, 'nobody is waited for in vain');
  });

  test('moves at once where nothing runs', () => {
    const present = { total: 6, shares: { a: 3, b: 3 } };
    const shares = { a: 2, b: 2, c: 2 };
    assert.deepEqual(nextDecision(spreadOf(6, 'a', 'b', 'c'), present, true), { total: 6, shares });
  });

  test('becomes another one', () => {
    const present = { total: 6, shares: { a: 2, b: 2, c: 2 } };
    const more = nextDecision(spreadOf(9, 'a', 'b', 'c'), present);
    assert.deepEqual(more, { total: 9, shares: { a: 3, b: 3, c: 3 } });
    assert.deepEqual(nextDecision(spreadOf(0, 'a', 'b', 'c'), present)?.shares, { a: 0, b: 0, c: 0 });
  });

  test('stays with the hosts it had while none is there', () => {
    assert.equal(nextDecision(spreadOf(6), { total: 6, shares: { a: 6 } }), undefined);
  });
});

describe('through histories of hosts that come and go', () => {
  test('it is even, moves as little as can be, is never less than the total, and comes to rest', () => {
    for (let seed = 1; seed <= 400; seed++) history(diceOf(seed), `seed ${seed}`);
  });
});

const ALL = hostsOf('a@x', 'b@x', 'c@y', 'd@y', 'e@z', 'f@');

function history(dice: Dice, seed: string): void {
  let present: Decision | undefined;
  let live = new Set(ALL.filter(() => dice.below(2) === 0));
  let total = dice.below(12);
  const isGrouped = dice.below(2) === 0;
  for (let round = 0; round < 12; round++) {
    const one = dice.of(ALL);
    if (dice.below(2) === 0 && !live.delete(one)) live = new Set([...live, one]);
    if (dice.below(5) === 0) total = dice.below(12);
    const hosts = ALL.filter((h) => live.has(h)).map((h) => (isGrouped ? h : { ...h, group: '' }));
    present = step({ component: 'web', total, hosts }, present, seed, dice);
  }
}

function step(
  spread: Parameters<typeof nextDecision>[0],
  before: Decision | undefined,
  seed: string,
  dice: Dice,
): Decision | undefined {
  const { hosts, total } = spread;
  const decision = nextDecision(spread, before);
  const shuffled = { ...spread, hosts: hosts.toSorted(() => dice.below(3) - 1) };
  assert.deepEqual(nextDecision(shuffled, before), decision, `${seed}: the order of hosts matters`);
  if (hosts.length === 0) return before;
  const now = decision ?? before;
  assert.ok(now, seed);
  const aim = now.next ?? now.shares;
  assert.ok(isEven(spread, aim), `${seed}: ${JSON.stringify(aim)} is not even`);
  assert.ok(sum(now.shares) >= total, `${seed}: less than the total`);
  if (before !== undefined && decision !== undefined) {
    for (const { host } of hosts) {
      const kept = Math.min(before.shares[host] ?? 0, aim[host] ?? 0);
      assert.ok((now.shares[host] ?? 0) >= kept, `${seed}: ${host} gives up what it is to keep`);
    }
    if (before.next === undefined) assertFewest(spread, before.shares, aim, seed);
  }
  return arriving(spread, now, seed, dice);
}

/** The hosts that grow arrive one after the other, or the history goes on before they have. */
function arriving(
  spread: Parameters<typeof nextDecision>[0],
  decision: Decision,
  seed: string,
  dice: Dice,
): Decision {
  let now = decision;
  while (now.next !== undefined) {
    assert.equal(nextDecision(spread, now), undefined, `${seed}: decided anew without need`);
    const { arrived = [], shares } = now;
    const [late] = Object.keys(shares).filter((host) => !arrived.includes(host));
    if (dice.below(6) === 0) return now;
    now = { ...now, arrived: [...arrived, late ?? ''] };
    const then = nextDecision(spread, now);
    if (then === undefined) continue;
    assert.deepEqual(then, { total: now.total, shares: now.next }, seed);
    now = then;
  }
  assert.equal(nextDecision(spread, now), undefined, `${seed}: does not come to rest`);
  return now;
}

/** No even spread at all moves fewer: all of them are tried. */
function assertFewest(
  spread: Parameters<typeof nextDecision>[0],
  before: Shares,
  aim: Shares,
  seed: string,
): void {
  const names = spread.hosts.map((h) => h.host);
  const moves = (to: Shares) => names.reduce((n, h) => n + Math.max(0, (to[h] ?? 0) - (before[h] ?? 0)), 0);
  for (const other of allShares(names, spread.total)) {
    if (!isEven(spread, other)) continue;
    assert.ok(moves(aim) <= moves(other), `${seed}: ${JSON.stringify(other)} moves fewer`);
  }
  assert.deepEqual(evenShares(spread, aim), aim, `${seed}: what is even moves`);
}

function* allShares(names: readonly string[], total: number): Generator<Shares> {
  const [first, ...rest] = names;
  if (first === undefined) {
    if (total === 0) yield {};
    return;
  }
  for (let n = 0; n <= total; n++) {
    if (rest.length === 0 && n !== total) continue;
    for (const others of allShares(rest, total - n)) yield { [first]: n, ...others };
  }
}
