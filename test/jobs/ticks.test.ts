import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronTimes } from '../../src/config/cron.ts';
import type { Overlap } from '../../src/config/job.ts';
import { type Deal, MOST_WAITING, nextDeal, type TickInput, TOLERANCE_MS } from '../../src/jobs/ticks.ts';

const NOON = Date.parse('2026-11-21T12:00:00Z');
const MINUTE = 60_000;
const EACH_MINUTE = cronTimes('* * * * *', 'UTC');

test('before the next tick nothing is due, at its instant it is', () => {
  assert.equal(deal({ cursor: NOON, now: NOON + MINUTE - 1 }), 'nothing');
  assert.equal(deal({ cursor: NOON, now: NOON + MINUTE }), 'run 12:01');
});

test('ticks that came together run one by one, the oldest first', () => {
  const seconds = cronTimes('*/20 * * * * * *', 'UTC');
  const times = { times: seconds, now: NOON + 50_000 };
  assert.equal(deal({ ...times, cursor: NOON }), 'run 12:00:20');
  assert.equal(deal({ ...times, cursor: NOON + 20_000 }), 'run 12:00:40');
  assert.equal(deal({ ...times, cursor: NOON + 40_000 }), 'nothing');
});

test('a clock that goes back finds its ticks dealt with', () => {
  assert.equal(deal({ cursor: NOON + 5 * MINUTE, now: NOON }), 'nothing');
  assert.equal(deal({ cursor: NOON + 5 * MINUTE, now: NOON + 6 * MINUTE }), 'run 12:06');
});

test('a tick is missed when it is older than the tolerance', () => {
  const hourly = cronTimes('0 * * * *', 'UTC');
  const tick = NOON + 60 * MINUTE;
  const at = (now: number) => deal({ times: hourly, cursor: NOON, now, missed: 'skip' });
  assert.equal(at(tick + TOLERANCE_MS), 'run 13:00');
  assert.equal(at(tick + TOLERANCE_MS + 1), 'skip 13:00 (passed by: no host could run it, 1 tick)');
});

test('of those that were missed one runs for all, or all are passed by at once', () => {
  const late = { cursor: NOON, now: NOON + 10 * MINUTE + 30_000 };
  assert.equal(deal({ ...late, missed: 'runOnce' }), 'run 12:09 for 8 more');
  assert.equal(deal({ ...late, missed: 'skip' }), 'skip 12:09 (passed by: no host could run it, 9 ticks)');
  // What is in time comes after it, as ever.
  assert.equal(deal({ ...late, cursor: NOON + 9 * MINUTE }), 'run 12:10');
});

test('a week of seconds is one deal', () => {
  const seconds = cronTimes('* * * * * * *', 'UTC');
  const week = { times: seconds, cursor: NOON, now: NOON + 7 * 24 * 60 * MINUTE };
  assert.match(deal({ ...week, missed: 'skip' }), /^skip 11:58:59 \(.*1000 ticks or more\)$/);
});

test('what is done while an earlier run is under way', () => {
  const table: readonly [Overlap, number, string][] = [
    ['forbid', 0, 'run 12:01'],
    ['forbid', 1, 'skip 12:01 (skipped: r0 is under way, and overlap is forbid)'],
    ['allow', 3, 'run 12:01'],
    ['queue', 1, 'run 12:01 after r0'],
    ['queue', 3, 'run 12:01 after r0,r1,r2'],
    ['queue', MOST_WAITING + 1, `skip 12:01 (skipped: ${MOST_WAITING} runs wait already)`],
    ['allow', MOST_WAITING, 'run 12:01'],
    ['allow', MOST_WAITING + 1, `skip 12:01 (skipped: ${MOST_WAITING} runs wait already)`],
    ['replace', 2, 'run 12:01 in place of r0,r1'],
    ['replace', 0, 'run 12:01'],
  ];
  for (const [overlap, active, expected] of table) {
    assert.equal(
      deal({ overlap, active, cursor: NOON, now: NOON + MINUTE }),
      expected,
      `${overlap} ${active}`,
    );
  }
});

test('what is made up for heeds what is under way, too', () => {
  const late = { cursor: NOON, now: NOON + 10 * MINUTE, active: 1 };
  assert.equal(deal(late), 'skip 12:08 (skipped: r0 is under way, and overlap is forbid)');
  assert.equal(deal({ ...late, overlap: 'queue' }), 'run 12:08 for 7 more after r0');
});

test('a schedule whose times are over is never due again', () => {
  const once = cronTimes('0 0 1 1 * 2026', 'UTC');
  assert.equal(deal({ times: once, cursor: NOON, now: NOON + 1e12 }), 'nothing');
});

interface Case {
  readonly cursor: number;
  readonly now: number;
  readonly overlap?: Overlap;
  readonly missed?: 'skip' | 'runOnce';
  readonly active?: number;
  readonly times?: TickInput['times'];
}

function deal({
  overlap = 'forbid',
  missed = 'runOnce',
  active = 0,
  times = EACH_MINUTE,
  ...at
}: Case): string {
  const state = (i: number) => (i === 0 ? 'running' : 'pending');
  const runs = Array.from({ length: active }, (_, i) => ({ id: `r${i}`, state: state(i) }) as const);
  return told(nextDeal({ ...{ schedule: { overlap, missed }, times, active: runs }, ...at }));
}

function told(deal: Deal | undefined): string {
  if (deal === undefined) return 'nothing';
  const at = new Date(deal.instant).toISOString().slice(11, 19).replace(/:00$/, '');
  if (deal.kind === 'skip') return `skip ${at} (${deal.why})`;
  const missed = deal.missed === 0 ? '' : ` for ${deal.missed} more`;
  const after = deal.after.length === 0 ? '' : `${deal.replaces ? ' in place of ' : ' after '}${deal.after}`;
  return `run ${at}${missed}${after}`;
}
