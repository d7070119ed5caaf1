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
} from '../../../src/fleet/scale/shares.ts';
import { type Dice, diceOf } from '../../campaign/dice.ts';

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
    const shares = { a: 2, b: 2, c: 2 };
    const decision = nextDecision(spreadOf(6, 'a', 'b', 'c'), undefined);
    assert.deepEqual(decision, { total: 6, shares, next: shares, arrived: [] });
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
    const shares = { a: 3, b: 3 };
    assert.deepEqual(decision, { total: 6, shares, next: shares, arrived: [] });
    const done = { total: 6, shares, next: shares, arrived: ['a', 'b'] };
    assert.deepEqual(nextDecision(spreadOf(6, 'a', 'b'), done), { total: 6, shares });
  });

  test('is given up by no host for one that is to have more itself and has not yet', () => {
    const more = nextDecision(spreadOf(12, 'a', 'b'), { total: 6, shares: { a: 3, b: 3 } });
    const grown = { ...more, arrived: ['a'] } as Decision;
    const three = nextDecision(spreadOf(12, 'a', 'b', 'c'), grown);
    assert.deepEqual([three?.shares, three?.arrived], [{ a: 6, b: 6, c: 4 }, ['a']], 'b has three');
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
    assert.deepEqual(nextDecision(spreadOf(6, 'a', 'b', 'c'), present, { atOnce: true }), {
      total: 6,
      shares,
    });
  });

  test('becomes another one', () => {
    const present = { total: 6, shares: { a: 2, b: 2, c: 2 } };
    const more = nextDecision(spreadOf(9, 'a', 'b', 'c'), present);
    const shares = { a: 3, b: 3, c: 3 };
    assert.deepEqual(more, { total: 9, shares, next: shares, arrived: [] });
    assert.deepEqual(nextDecision(spreadOf(0, 'a', 'b', 'c'), present)?.shares, { a: 0, b: 0, c: 0 });
  });

  test('stays with the hosts it had while none is there', () => {
    assert.equal(nextDecision(spreadOf(6), { total: 6, shares: { a: 6 } }), undefined);
  });
});

describe('a host that cannot have more in its time', () => {
  const hosts = spreadOf(6, 'a', 'b', 'c');
  const coming = nextDecision(hosts, { total: 6, shares: { a: 3, b: 3 } }) ?? assert.fail();

  test('has what it has, and the others keep the rest', () => {
    const without = nextDecision(hosts, coming, { late: { c: 1 } });
    assert.deepEqual(without?.late, { c: 1 });
    const { a = 0, b = 0, c } = without.shares;
    assert.deepEqual([[a, b].sort(), c], [[2, 3], 1]);
    assert.equal(nextDecision(hosts, without), undefined, 'it comes to rest');
    const again = nextDecision(hosts, without, { again: true });
    assert.deepEqual(again?.next, { a: 2, b: 2, c: 2 });
    assert.deepEqual([again.shares.c, again.late], [2, undefined]);
  });

  test('holds up nobody who is to have less', () => {
    const fewer = nextDecision(spreadOf(4, 'a', 'b', 'c'), { total: 9, shares: { a: 5, b: 4 } });
    const without = nextDecision(spreadOf(4, 'a', 'b', 'c'), fewer, { late: { c: 0 } });
    assert.deepEqual(without, { total: 4, shares: { a: 2, b: 2, c: 0 }, late: { c: 0 } });
  });

  test('leaves what it was to have to who can', () => {
    const lost = nextDecision(spreadOf(6, 'a', 'b'), { total: 6, shares: { a: 2, b: 2, c: 2 } });
    const without = nextDecision(spreadOf(6, 'a', 'b'), lost, { late: { b: 2 } });
    assert.deepEqual(without?.next, { a: 4, b: 2 });
    assert.deepEqual(without.late, { b: 2 });
    const done = nextDecision(spreadOf(6, 'a', 'b'), { ...without, arrived: ['a', 'b'] });
    assert.deepEqual(done, { total: 6, shares: { a: 4, b: 2 }, late: { b: 2 } });
    const none = nextDecision(spreadOf(6, 'a', 'b'), without, { late: { a: 3 } });
    assert.equal(none, undefined, 'nobody is left who could');
  });

  test('is a host like others once another total is wanted, or others are there', () => {
    const without = nextDecision(hosts, coming, { late: { c: 0 } }) ?? assert.fail();
    assert.equal(nextDecision(spreadOf(9, 'a', 'b', 'c'), without)?.late, undefined);
    assert.equal(nextDecision(spreadOf(6, 'a', 'c'), without)?.next?.c, 3);
  });

  test('is as good as none where somebody wrote what cannot be', () => {
    const even = { total: 6, shares: { a: 2, b: 2, c: 2 } };
    for (const late of [{ z: 1 }, { a: 9 }, { a: 2, b: 2, c: 2 }]) {
      const decision = nextDecision(hosts, { ...even, shares: { a: 4, b: 1, c: 1 }, late });
      assert.deepEqual(decision?.next, even.shares);
    }
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
  assert.ok(now.late !== undefined || isEven(spread, aim), `${seed}: ${JSON.stringify(aim)} is not even`);
  assert.ok(sum(now.shares) >= total, `${seed}: less than the total`);
  if (before !== undefined && decision !== undefined) {
    for (const { host } of hosts) {
      const kept = Math.min(before.shares[host] ?? 0, aim[host] ?? 0);
      assert.ok((now.shares[host] ?? 0) >= kept, `${seed}: ${host} gives up what it is to keep`);
    }
    if (before.next === undefined && decision.late === undefined)
      assertFewest(spread, before.shares, aim, seed);
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
    const [late = ''] = Object.keys(shares).filter((host) => !arrived.includes(host));
    if (dice.below(6) === 0) return now;
    const without = dice.below(6) === 0 ? withoutLate(spread, now, late, seed, dice) : undefined;
    if (without !== undefined) {
      now = without;
      continue;
    }
    now = { ...now, arrived: [...arrived, late] };
    const then = nextDecision(spread, now);
    if (then === undefined) continue;
    const { total, next, late: bounds } = now;
    assert.deepEqual(then, { total, shares: next, ...(bounds && { late: bounds }) }, seed);
    now = then;
  }
  if (now.late !== undefined) return triedAgain(spread, now, seed);
  assert.equal(nextDecision(spread, now), undefined, `${seed}: does not come to rest`);
  return now;
}

/** It does not get there in its time: it has what it has, and all of the total is wanted somewhere. */
function withoutLate(
  spread: Parameters<typeof nextDecision>[0],
  present: Decision,
  host: string,
  seed: string,
  dice: Dice,
): Decision | undefined {
  const aim = present.next?.[host] ?? 0;
  const has = aim === 0 ? 0 : dice.below(aim);
  const decision = nextDecision(spread, present, { late: { [host]: has } });
  if (decision === undefined) {
    const bound = Object.keys(present.late ?? {}).length;
    assert.ok(aim === 0 || bound + 1 === spread.hosts.length, `${seed}: others could have it`);
    return undefined;
  }
  const goal = decision.next ?? decision.shares;
  assert.equal(sum(goal), spread.total, seed);
  assert.ok(
    decision.late === undefined || goal[host] === has,
    `${seed}: ${host} is to have more than it can`,
  );
  return decision;
}

function triedAgain(spread: Parameters<typeof nextDecision>[0], now: Decision, seed: string): Decision {
  assert.equal(nextDecision(spread, now), undefined, `${seed}: does not come to rest without who is late`);
  const again = nextDecision(spread, now, { again: true });
  assert.ok(isEven(spread, again?.next ?? {}), `${seed}: is not tried again`);
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
