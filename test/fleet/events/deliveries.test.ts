import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Posted } from '../../../src/checks/webhook.ts';
import { Deliveries, MAX_TRIES, MAX_WAITING } from '../../../src/fleet/events/deliveries.ts';

const OK: Posted = { ok: true };
const AGAIN: Posted = { ok: false, again: true, why: 'it answered 503' };

/** `answers`: what each try gets, the last one for ever. */
function ground(t: TestContext, ...answers: readonly Posted[]) {
  const [sent, lost]: [number[], string[]] = [[], []];
  const left = [...answers];
  const ended = new AbortController();
  const deliveries = new Deliveries<number>({
    send: async (delivery) => {
      sent.push(delivery);
      return (left.length > 1 ? left.shift() : left[0]) ?? OK;
    },
    onLost: (why) => lost.push(why),
    ...{ signal: ended.signal, againMs: 1 },
  });
  t.after(() => ended.abort());
  return { deliveries, sent, lost, ended };
}

describe('What an address is to be told', () => {
  test('comes one after the other, each until it has arrived', async (t) => {
    const { deliveries, sent, lost } = ground(t, AGAIN, AGAIN, OK);
    for (const one of [1, 2, 3]) deliveries.add(one);
    await deliveries.idle();
    assert.deepEqual([sent, lost], [[1, 1, 1, 2, 3], []]);
  });

  test('is given up after so many tries, which is told once until it works again', async (t) => {
    const failing = Array.from({ length: 2 * MAX_TRIES }, () => AGAIN);
    const { deliveries, sent, lost } = ground(t, ...failing, OK, { ...AGAIN, again: false }, OK);
    for (const one of [1, 2, 3, 4, 5]) deliveries.add(one);
    await deliveries.idle();
    assert.equal(sent.filter((one) => one === 1).length, MAX_TRIES);
    assert.deepEqual(lost, [`it answered 503, ${MAX_TRIES} times`, 'it answered 503']);
  });

  test('is bounded: what waited longest makes room, and that is told once', async (t) => {
    const { deliveries, sent, lost } = ground(t, OK);
    for (let one = 0; one <= MAX_WAITING + 10; one++) deliveries.add(one);
    await deliveries.idle();
    assert.equal(sent.length, MAX_WAITING + 1, 'the one under way, and those that wait');
    assert.equal(sent.at(-1), MAX_WAITING + 10);
    assert.deepEqual(lost, [`more than ${MAX_WAITING} wait for it`]);
  });

  test('ends at once when it is given up as a whole', async (t) => {
    const { deliveries, sent, lost, ended } = ground(t, AGAIN);
    deliveries.add(1);
    deliveries.add(2);
    ended.abort();
    await deliveries.idle();
    assert.deepEqual([sent, lost], [[1], []]);
  });
});
