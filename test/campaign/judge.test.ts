/** The judge of a campaign excuses what a fault explains, and nothing that is only near it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Excuse, judged, LATE_MS, type Loss } from './judge.ts';

const KILLED = 'c0ffee000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
const PROXY: Excuse = { what: 'SIGKILL of the proxy', host: 'a', from: 10_000, until: 11_000 };
const CONTAINER: Excuse = {
  ...{ what: 'SIGKILL of a container', host: 'a', container: KILLED },
  ...{ from: 20_000, until: 20_200 },
};

function loss(since: number, at: number, more: Partial<Loss> = {}): Loss {
  return { host: 'a', client: 'post', since, at, why: 'ECONNRESET', ...more };
}

function isExcused(one: Loss): boolean {
  const { excused, unexplained } = judged([one], [PROXY, CONTAINER]);
  assert.equal(excused.length + unexplained.length, 1);
  return excused.length === 1;
}

test('what a proxy carried when it was killed, and what came before it was back', () => {
  assert.ok(isExcused(loss(2_000, 10_010)), 'a stream that was open');
  assert.ok(isExcused(loss(10_500, 10_501)), 'a connection that was refused');
  assert.ok(isExcused(loss(10_999, 11_000 + LATE_MS)), 'and that was learned late');
});

test('a killed proxy explains nothing of what the kernel leads', () => {
  const spares = { ...PROXY, sparesLed: true };
  assert.equal(judged([loss(2_000, 10_010)], [spares]).unexplained.length, 0);
  assert.equal(judged([loss(2_000, 10_010, { led: true })], [spares]).unexplained.length, 1);
});

test('nothing before the kill, after the return, long after, or on another host', () => {
  assert.ok(!isExcused(loss(2_000, 9_999)));
  assert.ok(!isExcused(loss(11_001, 11_002)));
  assert.ok(!isExcused(loss(10_500, 11_001 + LATE_MS)));
  assert.ok(!isExcused(loss(10_500, 10_501, { host: 'b' })));
});

test('a killed container explains what it had in hand, and no stream of another', () => {
  assert.ok(isExcused(loss(5_000, 20_100, { container: KILLED.slice(0, 12) })));
  assert.ok(isExcused(loss(19_900, 20_100)), 'nothing had answered yet');
  assert.ok(isExcused(loss(5_000, 60_000, { container: KILLED.slice(0, 12) })), 'noticed late');
  assert.ok(!isExcused(loss(19_900, 60_000)), 'that had no answer for long after');
  assert.ok(!isExcused(loss(5_000, 20_100, { container: '0ddba1100000' })));
  assert.ok(!isExcused(loss(20_201, 20_202)), 'who asked once it was dead');
});

test('a connection that is cut on purpose, without a word of it, is found', () => {
  const cut = loss(30_000, 34_800, { client: 'websocket', container: KILLED.slice(0, 12) });
  const { unexplained } = judged([cut, loss(2_000, 10_010)], [PROXY, CONTAINER]);
  assert.deepEqual(unexplained, [cut]);
});

test('what excused how much is told', () => {
  const all = [loss(2_000, 10_010), loss(10_500, 10_501), loss(19_900, 20_100)];
  const { excused } = judged(all, [PROXY, CONTAINER]);
  const told = excused.map(({ excuse, losses }) => `${losses.length} by ${excuse.what}`);
  assert.deepEqual(told, ['2 by SIGKILL of the proxy', '1 by SIGKILL of a container']);
});

test('a fault that is not over yet explains until now', () => {
  const open = { ...PROXY, until: Number.POSITIVE_INFINITY };
  assert.equal(judged([loss(50_000, 50_001)], [open]).unexplained.length, 0);
});
