import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readCursor, readRun, readSchedule, type ScheduleValue } from '../../../src/cluster/job-values.ts';
import type { Schedule } from '../../../src/config/job.ts';
import {
  deleteSchedule,
  getSchedule,
  listSchedules,
  pushSchedule,
  runSchedule,
  scheduleHistory,
  submitRun,
  suspendSchedule,
} from '../../../src/jobs/intents/intents.ts';
import { handId } from '../../../src/jobs/intents/run-id.ts';
import { fails } from '../../cluster/contract.ts';
import type { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { meddled } from '../../fleet/intents/intents-ground.ts';
import { AT, aJob, aSchedule } from '../job-values.ts';
import {
  AT_KEYS,
  claim,
  end,
  fleetOn,
  type Ground,
  ground,
  keysIn,
  NO_INPUT,
  putIn,
} from './intents-ground.ts';

const MINUTE_MS = 60_000;
const { jobs } = AT_KEYS;

/** Milliseconds after the beginning. */
function cursorIn(cluster: MemoryCluster): number {
  return Date.parse(readCursor(cluster.get(jobs.cursor('nightly')))?.instant ?? '') - AT;
}

async function pushed(over: Partial<Schedule> = {}): Promise<Ground> {
  const made = ground();
  await pushSchedule(made.fleet, aSchedule(over));
  made.clock.at += MINUTE_MS;
  return made;
}

async function inTrouble({ fleet, cluster }: Ground): Promise<ScheduleValue> {
  const checked = { at: new Date(AT).toISOString(), host: 'h1' };
  const value = { ...(await getSchedule(fleet, 'nightly')), trouble: 'no such image', checked };
  putIn(cluster, jobs.schedule('nightly'), value);
  return value;
}

describe('pushSchedule', () => {
  test('a new one is there, and its ticks count from now on', async () => {
    const { fleet, cluster } = ground();
    assert.deepEqual(await pushSchedule(fleet, aSchedule()), { created: true, staysSuspended: false });
    assert.deepEqual((await getSchedule(fleet, 'nightly')).schedule, aSchedule());
    assert.equal(cursorIn(cluster), 0);
  });

  test('another job for it: ticks that were not dealt with yet still count', async () => {
    const { fleet, cluster } = await pushed();
    const job = aJob({ retries: 3 });
    assert.deepEqual(await pushSchedule(fleet, aSchedule({ job })), {
      created: false,
      staysSuspended: false,
    });
    assert.equal((await getSchedule(fleet, 'nightly')).schedule.job.retries, 3);
    assert.equal(cursorIn(cluster), 0);
  });

  test('another cron or time zone, or one that did not fire: ticks count from now on', async () => {
    for (const over of [{ cron: '5 * * * *' }, { timeZone: 'Europe/Berlin' }]) {
      const { fleet, cluster } = await pushed();
      await pushSchedule(fleet, aSchedule(over));
      assert.equal(cursorIn(cluster), MINUTE_MS);
    }
  });

  test('one that is suspended stays so until it is resumed', async () => {
    const { fleet } = await pushed({ suspended: true });
    const again = await pushSchedule(fleet, aSchedule({ cron: '5 * * * *' }));
    assert.deepEqual(again, { created: false, staysSuspended: true });
    const { schedule } = await getSchedule(fleet, 'nightly');
    assert.deepEqual([schedule.cron, schedule.suspended], ['5 * * * *', true]);
    await suspendSchedule(fleet, 'nightly', false);
    assert.equal((await getSchedule(fleet, 'nightly')).schedule.suspended, false);
  });

  test('what was wrong with the one before is forgotten', async () => {
    const made = await pushed();
    await inTrouble(made);
    await pushSchedule(made.fleet, aSchedule());
    const { trouble, checked } = await getSchedule(made.fleet, 'nightly');
    assert.deepEqual([trouble, checked, cursorIn(made.cluster)], [undefined, undefined, MINUTE_MS]);
  });

  test('a tick in between, or an answer that is lost, changes nothing about what it says', async () => {
    const { store, cluster } = ground();
    const lossy = fleetOn(meddled(store, [{ answer: 'lost' }]));
    assert.deepEqual(await pushSchedule(lossy, aSchedule()), { created: true, staysSuspended: false });
    const instant = new Date(AT + 1000).toISOString();
    const before = async () => putIn(cluster, jobs.cursor('nightly'), { format: 1, instant });
    const ticking = fleetOn(meddled(store, [{ before }]));
    assert.deepEqual(await pushSchedule(ticking, aSchedule({ job: aJob({ retries: 1 }) })), {
      created: false,
      staysSuspended: false,
    });
    assert.equal(cursorIn(cluster), 1000);
  });
});

describe('suspendSchedule', () => {
  test('suspended, and resumed from then on, each once', async () => {
    const { fleet, cluster, clock } = await pushed();
    assert.deepEqual(await suspendSchedule(fleet, 'nightly', true), { changed: true });
    assert.deepEqual(await suspendSchedule(fleet, 'nightly', true), { changed: false });
    assert.equal((await getSchedule(fleet, 'nightly')).schedule.suspended, true);
    assert.equal(cursorIn(cluster), 0);
    clock.at += MINUTE_MS;
    assert.deepEqual(await suspendSchedule(fleet, 'nightly', false), { changed: true });
    assert.deepEqual(await suspendSchedule(fleet, 'nightly', false), { changed: false });
    assert.equal((await getSchedule(fleet, 'nightly')).schedule.suspended, false);
    assert.equal(cursorIn(cluster), 2 * MINUTE_MS);
  });

  test('to resume one that is in trouble lets it try again; to suspend it keeps what is wrong', async () => {
    const made = await pushed();
    const { trouble } = await inTrouble(made);
    await suspendSchedule(made.fleet, 'nightly', true);
    assert.equal((await getSchedule(made.fleet, 'nightly')).trouble, trouble);
    await inTrouble(made);
    assert.deepEqual(await suspendSchedule(made.fleet, 'nightly', false), { changed: true });
    const value = readSchedule(made.cluster.get(jobs.schedule('nightly')));
    assert.deepEqual([value?.trouble, value?.checked], [undefined, undefined]);
  });

  test('one that is not there, guessed', async () => {
    const { fleet } = await pushed();
    await assert.rejects(
      suspendSchedule(fleet, 'nigthly', true),
      /no schedule nigthly; did you mean "nightly"\?/,
    );
    await fails(suspendSchedule(fleet, 'x', true), 'schedule-unknown');
  });

  test('an answer that is lost: it was changed', async () => {
    const { store } = await pushed();
    const lossy = fleetOn(meddled(store, [{ answer: 'lost' }]));
    assert.deepEqual(await suspendSchedule(lossy, 'nightly', true), { changed: true });
  });
});

describe('runSchedule', () => {
  test('a run by hand, and the cursor is written so that no tick comes in between', async () => {
    const { fleet, cluster } = await pushed();
    const before = cluster.get(jobs.cursor('nightly'));
    const run = await runSchedule(fleet, 'nightly');
    assert.match(run.id, /^nightly\.20261121T143122Z-/);
    assert.deepEqual([run.schedule, run.after], [{ name: 'nightly' }, undefined]);
    const after = cluster.get(jobs.cursor('nightly'));
    assert.equal(after?.value, before?.value);
    assert.ok((after?.modRevision ?? 0) > (before?.modRevision ?? 0));
  });

  test('overlap: forbid names the run that is under way', async () => {
    const { fleet, cluster } = await pushed();
    const first = await runSchedule(fleet, 'nightly');
    await assert.rejects(
      runSchedule(fleet, 'nightly'),
      new RegExp(`\\(overlap: forbid\\) before these are over: ${first.id}$`),
    );
    await fails(runSchedule(fleet, 'nightly'), 'schedule-busy');
    end(cluster, first);
    assert.equal((await runSchedule(fleet, 'nightly')).state, 'pending');
  });

  test('overlap: queue waits for all before it, allow for none', async () => {
    const queue = await pushed({ overlap: 'queue' });
    const [one, two] = [await runSchedule(queue.fleet, 'nightly'), await runSchedule(queue.fleet, 'nightly')];
    const three = await runSchedule(queue.fleet, 'nightly');
    assert.deepEqual([two.after, [...(three.after ?? [])].sort()], [[one.id], [one.id, two.id].sort()]);
    const allow = await pushed({ overlap: 'allow' });
    await runSchedule(allow.fleet, 'nightly');
    assert.equal((await runSchedule(allow.fleet, 'nightly')).after, undefined);
  });

  test('overlap: replace cancels what is under way, ends what nobody runs, and waits', async () => {
    const { fleet, cluster } = await pushed({ overlap: 'replace' });
    const one = claim(cluster, await runSchedule(fleet, 'nightly'));
    const two = await runSchedule(fleet, 'nightly');
    const three = await runSchedule(fleet, 'nightly');
    const asked = readRun(cluster.get(jobs.run(one.id)));
    assert.equal(asked?.cancel?.why, `${two.id} replaces it`);
    assert.equal(readRun(cluster.get(AT_KEYS.ended(two.id)))?.state, 'cancelled');
    assert.deepEqual([...(three.after ?? [])].sort(), [one.id, two.id].sort());
  });

  test('of a tick and a run by hand at the same time, with forbid, one is', async () => {
    const { fleet, store, cluster } = await pushed();
    const before = async () => {
      await runSchedule(fleet, 'nightly'); // as a tick's run: compares and writes the cursor
    };
    await fails(runSchedule(fleetOn(meddled(store, [{ before }])), 'nightly'), 'schedule-busy');
    assert.equal(cluster.list(jobs.runs()).entries.length, 1);
  });

  test('an answer that is lost makes no second run', async () => {
    const { store, cluster } = await pushed();
    await runSchedule(fleetOn(meddled(store, [{ answer: 'lost' }])), 'nightly');
    assert.equal(cluster.list(jobs.runs()).entries.length, 1);
  });
});

describe('deleteSchedule, scheduleHistory', () => {
  test('its history: under way and over, the newest first, and of no job that has its name', async () => {
    const { fleet, cluster, clock } = await pushed();
    const one = end(cluster, await runSchedule(fleet, 'nightly'));
    clock.at += MINUTE_MS;
    const two = await runSchedule(fleet, 'nightly');
    end(cluster, await submitRun(fleet, aJob({ name: 'nightly' }), NO_INPUT));
    assert.deepEqual(await scheduleHistory(fleet, 'nightly'), [two, one]);
    await fails(scheduleHistory(fleet, 'x'), 'schedule-unknown');
  });

  test('deleted with all that is over; what is under way goes on, and is named', async () => {
    const { fleet, cluster } = await pushed();
    end(cluster, await runSchedule(fleet, 'nightly'));
    const other = end(cluster, await submitRun(fleet, aJob({ name: 'nightly' }), NO_INPUT));
    const run = await runSchedule(fleet, 'nightly');
    assert.deepEqual((await deleteSchedule(fleet, 'nightly')).underWay, [run]);
    assert.deepEqual(keysIn(cluster), [AT_KEYS.ended(other.id), jobs.run(run.id)]);
    assert.deepEqual(await listSchedules(fleet), []);
    await fails(deleteSchedule(fleet, 'nightly'), 'schedule-unknown');
  });

  test('an answer that is lost: it was deleted', async () => {
    const { store, cluster } = await pushed();
    await deleteSchedule(fleetOn(meddled(store, [{ answer: 'lost' }])), 'nightly');
    assert.deepEqual(keysIn(cluster), []);
  });

  test('a name that no id can hold has its runs all the same', async () => {
    const { fleet, cluster } = await pushed({ name: 'My job' });
    const run = end(cluster, await runSchedule(fleet, 'My job'));
    assert.ok(run.id.startsWith(handId('My job', AT).split('.')[0] ?? ''));
    assert.deepEqual(await scheduleHistory(fleet, 'My job'), [run]);
  });
});
