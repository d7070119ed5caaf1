import assert from 'node:assert/strict';
import type { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { nearOf } from '../../../src/proxy/kernel/near.ts';
import type { KernelEntry, KernelTarget } from '../../../src/proxy/kernel/plane.ts';
import { afterChange, changeText, rulesetOf, wholeText } from '../../../src/proxy/kernel/ruleset.ts';

const STAMP = '0x00000001';
const STAMPED = `flush set inet t stamp; add element inet t stamp { ${STAMP} }`;

function target(last: number, weight = 1): KernelTarget {
  return { id: `c${last}`, host: `172.30.0.${last}`, port: 80, weight };
}

function entry(port: number, targets: readonly KernelTarget[], more: Partial<KernelEntry> = {}): KernelEntry {
  return { protocol: 'tcp', address: '0.0.0.0', port, targets, ...more };
}

function rules(...entries: KernelEntry[]) {
  return rulesetOf({ entries, near: [], loopback: true });
}

function change(before: KernelEntry[], after: KernelEntry[]): string | undefined {
  return changeText('t', rules(...before), rules(...after), STAMP);
}

test('a switch changes one element of one map', () => {
  const text = change(
    [entry(7000, [target(2)]), entry(7001, [target(9)])],
    [entry(7000, [target(3)]), entry(7001, [target(9)])],
  );
  assert.deepEqual(text?.split('; '), [
    'delete element inet t own4 { 172.30.0.2 . tcp . 7000 }',
    'add element inet t own4 { 172.30.0.3 . tcp . 7000 }',
    'delete element inet t any4_one { tcp . 7000 }',
    'add element inet t any4_one { tcp . 7000 : 172.30.0.3 . 80 }',
    ...STAMPED.split('; '),
  ]);
});

test('what is led as before is no change', () => {
  assert.equal(change([entry(7000, [target(2)])], [entry(7000, [{ ...target(2), pid: 7 }])]), '');
});

test('for a few targets there are chains from the start', () => {
  const many = Array.from({ length: 8 }, (_, n) => target(2 + n));
  const text = change([entry(7000, [target(2)])], [entry(7000, many)]);
  assert.doesNotMatch(text ?? '', /add (chain|rule)/);
  assert.match(wholeText('t', rules(), STAMP), /chain at6_by8 \{ .* numgen random mod 8 /);
});

test('the ninth target makes a chain for nine, and the place is drawn from then on', () => {
  const nine = Array.from({ length: 9 }, (_, n) => target(2 + n));
  const text = change([entry(7000, [target(2)])], [entry(7000, nine)]);
  assert.match(
    text ?? '',
    /^add chain inet t any4_by9; add rule inet t any4_by9 .*@own4 return; add rule .* numgen random mod 9 /,
  );
});

test('the place of two targets is drawn by chance', () => {
  const text = change([entry(7000, [target(2)])], [entry(7000, [target(2), target(3)])]);
  assert.match(text ?? '', /delete element inet t any4_one \{ tcp \. 7000 \}/);
  assert.match(text ?? '', /add element inet t any4 \{ tcp \. 7000 : goto any4_by2 \}/);
  assert.match(
    text ?? '',
    /any4_many \{ 0 \. tcp \. 7000 : 172\.30\.0\.2 \. 80, 1 \. tcp \. 7000 : 172\.30\.0\.3 \. 80 \}/,
  );
});

test('a chain that was made is not made again', () => {
  const nine = Array.from({ length: 9 }, (_, n) => target(2 + n));
  const [one, more] = [rules(entry(7000, [target(2)])), rules(entry(7000, nine))];
  const now = afterChange(afterChange(one, more), one);
  assert.doesNotMatch(changeText('t', now, more, STAMP) ?? '', /add chain/);
});

test('weights are drawn in the smallest whole numbers', () => {
  const text = wholeText('t', rules(entry(7000, [target(2, 100), target(3, 50)])), STAMP);
  assert.match(
    text,
    /0 \. tcp \. 7000 : 172\.30\.0\.2 \. 80, 1 \. tcp \. 7000 : 172\.30\.0\.2 \. 80, 2 \. tcp \. 7000 : 172\.30\.0\.3/,
  );
  assert.match(text, /any4 \{ tcp \. 7000 : goto any4_by3 \}/);
});

test('the rules are as many for a thousand places as for one', () => {
  const rulesIn = (count: number) => {
    const entries = Array.from({ length: count }, (_, i) => entry(7000 + i, [target(2), target(3)]));
    return wholeText('t', rules(...entries), STAMP).match(/dnat|vmap|masquerade|drop/g)?.length;
  };
  assert.equal(rulesIn(1000), rulesIn(1));
});

test('where 127.0.0.1 cannot be led, it is left to the socket, and only the whole table says so', () => {
  const without = rulesetOf({ entries: [entry(7000, [target(2)])], near: [], loopback: false });
  assert.match(wholeText('t', without, STAMP), /ip daddr 127\.0\.0\.0\/8 return/);
  assert.equal(changeText('t', rules(entry(7000, [target(2)])), without, STAMP), undefined);
});

test('an interface is near when a container is in its network', () => {
  const info = (address: string, family: 'IPv4' | 'IPv6', cidr: string) =>
    ({ address, family, cidr }) as NonNullable<ReturnType<typeof networkInterfaces>[string]>[number];
  const here = {
    lo: [info('127.0.0.1', 'IPv4', '127.0.0.1/8')],
    eth0: [info('198.51.100.1', 'IPv4', '198.51.100.1/24')],
    'br-a': [info('172.30.9.1', 'IPv4', '172.30.9.1/20'), info('fd00:30::1', 'IPv6', 'fd00:30::1/64')],
  };
  assert.deepEqual(nearOf(['172.30.14.7', '127.0.0.9'], here), [{ name: 'br-a', network: '172.30.0.0/20' }]);
  assert.deepEqual(nearOf(['fd00:30::7'], here), [{ name: 'br-a', network: 'fd00:30:0:0:0:0:0:0/64' }]);
  assert.deepEqual(nearOf(['203.0.113.1'], here), []);
});
