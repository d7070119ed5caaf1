import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunValue } from '../../src/cluster/job-values.ts';
import type { Write } from '../../src/cluster/store.ts';
import type { Schedule } from '../../src/config/job.ts';
import { RANK_STEP_MS } from '../../src/jobs/placement.ts';
import { PROJECT, troubles, World } from './hosts-ground.ts';
import { aJob } from './job-values.ts';

const SECOND = 1_000;
const EACH_TEN = '*/10 * * * * * *';

async function fleet(t: { after(run: () => Promise<void>): void }, count = 3) {
  const world = new World();
  t.after(() => world.close());
  await world.fleet(count);
  return world;
}

test('each tick makes one run, close to its instant, whoever makes it', async (t) => {
  const world = await fleet(t);
  world.push({ name: 'often', cron: EACH_TEN });
  await world.clock.advance(300 * SECOND);
  const ticks = ticked(world);
  assert.equal(ticks.length, 30);
  assert.equal(new Set(ticks.map(({ instant }) => instant)).size, 30);
  const runs = ofSchedule(world, 'often');
  for (const run of runs) assert.ok(skewMs(run) < 600, `${run.id} began ${skewMs(run)} ms late`);
  assert.equal(new Set(world.boxes.map(({ run }) => run)).size, world.boxes.length);
  assert.ok(new Set(ticks.map(({ host }) => host)).size === 3, 'all hosts make some');
  assert.deepEqual(troubles(world), []);
});

test('who would claim the run first makes it and claims it with that, at the instant', async (t) => {
  const world = await fleet(t);
  const first = firstRecords(world);
  world.push({ name: 'often', cron: EACH_TEN, overlap: 'allow' });
  await world.clock.advance(200 * SECOND);
  assert.equal(first.length, 20);
  for (const run of first) {
    assert.deepEqual([run.state, skewMs(run)], ['running', 0]);
    assert.equal(ticked(world).find((tick) => tick.run === run.id)?.host, run.host);
  }
});

test('when the first one is dead the next one fires, and claims it, long before the death shows', async (t) => {
  const world = await fleet(t);
  const first = firstRecords(world);
  world.push({ name: 'often', cron: '* * * * * * *', overlap: 'allow' });
  world.hosts[0]?.kill();
  await world.clock.advance(10 * SECOND);
  const late = first.filter((run) => skewMs(run) > 0);
  assert.ok(late.length > 0, 'h1 was to be the first of some');
  for (const run of late) assert.deepEqual([run.state, skewMs(run)], ['running', RANK_STEP_MS]);
  assert.ok(first.every((run) => run.host !== 'h1'));
});

test('a host that may not run the job leaves its ticks to those that may, and makes the run if they are dead', async (t) => {
  const world = await fleet(t, 2);
  const first = firstRecords(world);
  const constraints = [{ on: 'host', key: '', equals: true, value: 'h2' }] as const;
  world.push({ name: 'there', cron: EACH_TEN, overlap: 'allow', job: aJob({ constraints }) });
  await world.clock.advance(100 * SECOND);
  assert.deepEqual([...new Set(ticked(world).map(({ host }) => host))], ['h2']);
  world.hosts[1]?.kill();
  await world.clock.advance(10 * SECOND);
  assert.equal(first.at(-1)?.state, 'pending');
  assert.ok(world.clock.now() - Date.parse(first.at(-1)?.at ?? '') < 10 * SECOND);
});

test('more ticks at once than slots: those that are left wait for one', async (t) => {
  const world = new World();
  t.after(() => world.close());
  await world.fleet(1, { slots: 2 });
  for (let i = 0; i < 5; i++) world.push({ name: `s${i}`, cron: '0 * * * *' });
  await world.until('all to be done', () => world.ended().length === 5, 3_700 * SECOND, SECOND / 2);
  for (const box of world.boxes) {
    const beside = world.boxes.filter((b) => b.startedAt <= box.startedAt && b.endsAt > box.startedAt);
    assert.ok(beside.length <= 2);
  }
});

for (const alone of [true, false])
  test(`a tick whose answer was lost is found by the host that claimed it with that${alone ? '' : ', beside others of its name'}`, async (t) => {
    const world = new World();
    t.after(() => world.close());
    const hosts = await world.fleet(2, { alone });
    world.push({ name: 'often', cron: EACH_TEN });
    for (const host of hosts) host.loseAnswer(isClaim, { afterMs: 200 });
    await world.clock.advance(25 * SECOND);
    const runs = ofSchedule(world, 'often');
    assert.deepEqual(
      runs.map(({ state, attempt }) => [state, attempt]),
      runs.map(() => ['complete', 1]),
    );
    assert.deepEqual([runs.length, world.boxes.length], [2, 2]);
    for (const box of world.boxes) assert.ok(box.startedAt % (10 * SECOND) < SECOND);
  });

test('overlap forbid: a tick that comes while one runs is passed by, and says which', async (t) => {
  const world = await overlapping(t, 'forbid');
  assert.deepEqual(history(world), ['30 running', '40 skipped', '50 skipped']);
  const skipped = world.run('slow.20261121T143040Z');
  assert.equal(skipped?.end?.why, 'skipped: slow.20261121T143030Z is under way, and overlap is forbid');
});

test('overlap allow: they run beside each other', async (t) => {
  assert.deepEqual(history(await overlapping(t, 'allow')), ['30 running', '40 running', '50 running']);
});

test('overlap queue: they wait for each other, and run in their order', async (t) => {
  const world = await overlapping(t, 'queue');
  assert.deepEqual(history(world), ['30 running', '40 pending', '50 pending']);
  world.suspend('slow');
  await world.until('all to end', () => ofSchedule(world, 'slow').every(({ state }) => state === 'complete'));
  const [first, second, third] = world.boxes;
  assert.ok(
    (second?.startedAt ?? 0) >= (first?.endsAt ?? 0) && (third?.startedAt ?? 0) >= (second?.endsAt ?? 0),
  );
});

test('overlap replace: the newer one takes the place of the older one, never beside it', async (t) => {
  const world = await overlapping(t, 'replace');
  assert.deepEqual(history(world), ['30 cancelled', '40 cancelled', '50 running']);
  assert.match(world.run('slow.20261121T143030Z')?.end?.why ?? '', /^cancelled by gantryd@h\d: a newer run/);
  const [first, second] = world.boxes;
  assert.ok((second?.startedAt ?? 0) >= (first?.endsAt ?? 0));
});

test('what was missed while no host ran is made up for once, or passed by, and what is in time runs', async (t) => {
  const world = new World();
  t.after(() => world.close());
  world.push({ name: 'up', cron: '* * * * *', missed: 'runOnce', overlap: 'allow' });
  world.push({ name: 'by', cron: '* * * * *', missed: 'skip' });
  await world.clock.advance(600 * SECOND);
  await world.fleet(3);
  await world.clock.advance(SECOND);
  const made = ofSchedule(world, 'up').map((run) => [
    run.schedule?.instant?.slice(11, 16),
    run.schedule?.missed,
  ]);
  assert.deepEqual(made, [
    ['14:39', 8],
    ['14:40', undefined],
  ]);
  const passed = ofSchedule(world, 'by').map((run) => [
    run.schedule?.instant?.slice(11, 16),
    run.end?.why ?? '',
  ]);
  assert.deepEqual(passed, [
    ['14:39', 'passed by: no host could run it, 9 ticks'],
    ['14:40', ''],
  ]);
});

test('suspended, or with trouble, it does not fire', async (t) => {
  const world = await fleet(t, 1);
  world.push({ name: 'off', cron: EACH_TEN, suspended: true });
  await world.clock.advance(60 * SECOND);
  assert.equal(world.boxes.length, 0);
});

test('a clock that goes back fires nothing twice, one that goes forward fires at once', async (t) => {
  const world = new World();
  t.after(() => world.close());
  let set = 0;
  world.skewMs = () => set;
  await world.fleet(2);
  world.push({ name: 'often', cron: EACH_TEN, overlap: 'allow' });
  await world.clock.advance(60 * SECOND);
  const before = ticked(world).length;
  assert.equal(before, 6);
  set = -30 * SECOND;
  await world.clock.advance(30 * SECOND);
  assert.equal(ticked(world).length, before);
  await world.clock.advance(10 * SECOND);
  assert.equal(ticked(world).length, before + 1);
  set = 0;
  await world.clock.advance(2 * SECOND);
  assert.equal(ticked(world).length, before + 4);
  assert.equal(new Set(ticked(world).map(({ instant }) => instant)).size, before + 4);
});

test('a tick whose run is there although the cursor is behind is dealt with', async (t) => {
  const world = new World();
  t.after(() => world.close());
  world.push({ name: 'often', cron: EACH_TEN });
  const cursor = world.cluster.get(PROJECT.jobs.cursor('often'))?.value ?? '';
  const hosts = await world.fleet(2);
  await world.clock.advance(35 * SECOND);
  const made = ticked(world).length;
  for (const host of hosts) await world.stopped(host);
  world.put(PROJECT.jobs.cursor('often'), JSON.parse(cursor));
  for (const host of hosts) host.start();
  await world.clock.advance(20 * SECOND);
  const instants = ticked(world).map(({ instant }) => instant);
  assert.equal(new Set(instants).size, instants.length);
  assert.ok(instants.length > made);
});

test('many schedules at one instant all begin in time', async (t) => {
  const world = new World();
  t.after(() => world.close());
  await world.fleet(3, { slots: 64 });
  for (let i = 0; i < 100; i++) world.push({ name: `s${i}`, cron: '*/30 * * * * * *' });
  await world.until('all to run', () => world.boxes.length === 100, 60 * SECOND);
  const late = world.boxes.map((box) => box.startedAt % (30 * SECOND));
  assert.ok(Math.max(...late) < 1_000, `${Math.max(...late)} ms`);
});

/** A schedule each ten seconds of a job that takes 25, after its third tick. */
async function overlapping(t: { after(run: () => Promise<void>): void }, overlap: Schedule['overlap']) {
  const world = await fleet(t);
  world.script = () => ({ takesMs: 25 * SECOND });
  world.push({ name: 'slow', cron: EACH_TEN, overlap, job: aJob() });
  await world.clock.advance(30 * SECOND);
  return world;
}

function isClaim(writes: readonly Write[]): boolean {
  return writes.some(({ kind, key }) => kind === 'put' && key.includes('/jobs/claims/'));
}

/** What is first written of each run, as it comes. */
function firstRecords(world: World): RunValue[] {
  const first: RunValue[] = [];
  world.cluster.watchers.add({
    changed: (changes) => {
      for (const change of changes) {
        if (change.kind !== 'put' || !change.entry.key.includes('/jobs/runs/')) continue;
        const run: RunValue = JSON.parse(change.entry.value);
        if (first.every(({ id }) => id !== run.id)) first.push(run);
      }
    },
    reset: () => assert.fail('the store is another one'),
  });
  return first;
}

function ticked(world: World) {
  return world.events.flatMap((e) => (e.kind === 'schedule-ticked' ? [e] : []));
}

/** Its runs by their ticks, as `SECOND STATE`. */
function history(world: World): readonly string[] {
  return ofSchedule(world, 'slow').map((run) => `${run.schedule?.instant?.slice(17, 19)} ${run.state}`);
}

function ofSchedule(world: World, name: string): readonly RunValue[] {
  return world.all().filter((run) => run.schedule?.name === name);
}

function skewMs(run: RunValue): number {
  return Date.parse(run.startedAt ?? '') - Date.parse(run.schedule?.instant ?? '');
}
