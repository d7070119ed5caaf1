import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Health, judge, type Verdict } from '../../src/checks/check.ts';

const policy = { fall: 3, rise: 2 };

test('unknown stays unknown until enough verdicts agree', () => {
  assert.equal(judged(''), 'unknown');
  assert.equal(judged('+'), 'unknown');
  assert.equal(judged('++'), 'healthy');
  assert.equal(judged('--'), 'unknown');
  assert.equal(judged('---'), 'unhealthy');
  assert.equal(judged('-+-+--+'), 'unknown');
});

test('healthy survives fewer than fall failures in a row', () => {
  assert.equal(judged('++--', 'healthy'), 'healthy');
  assert.equal(judged('++--+--', 'healthy'), 'healthy');
  assert.equal(judged('++---', 'healthy'), 'unhealthy');
});

test('unhealthy recovers only by rise passes in a row', () => {
  assert.equal(judged('---+', 'unhealthy'), 'unhealthy');
  assert.equal(judged('---+-+', 'unhealthy'), 'unhealthy');
  assert.equal(judged('---++', 'unhealthy'), 'healthy');
});

test('inconclusive verdicts neither count nor break a row', () => {
  assert.equal(judged('????'), 'unknown');
  assert.equal(judged('?????', 'healthy'), 'healthy');
  assert.equal(judged('-?-?-', 'healthy'), 'unhealthy');
  assert.equal(judged('+?+', 'unhealthy'), 'healthy');
});

test('with fall and rise 1 the newest verdict decides', () => {
  assert.equal(judged('+-', 'healthy', { fall: 1, rise: 1 }), 'unhealthy');
  assert.equal(judged('-+', 'unhealthy', { fall: 1, rise: 1 }), 'healthy');
});

/** `+` passed, `-` failed, `?` inconclusive; the newest last. */
function judged(history: string, was: Health = 'unknown', by = policy): Health {
  return judge([...history].map(verdict), by, was);
}

function verdict(sign: string, at: number): Verdict {
  const seen = { check: 'c', at, latencyMs: 1, saw: sign, ok: sign === '+' };
  return sign === '?' ? { ...seen, inconclusive: true } : seen;
}
