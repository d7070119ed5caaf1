import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GantryError } from '../../src/errors.ts';
import { LOST_AFTER_MS } from '../../src/jobs/own-runs.ts';
import { type Box, endOf, PROJECT, type TestHost, troubles, World } from './hosts-ground.ts';
import { aJob, aStep } from './job-values.ts';

const SECOND = 1_000;

async function fleet(t: { after(run: () => Promise<void>): void }, count: number, options = {}) {
  const world = new World();
  t.after(() => world.close());
  const hosts = await world.fleet(count, options);
  const [h1, h2] = hosts as [TestHost, TestHost];
  return { world, hosts, h1, h2 };
}

test('a run is claimed, executed and kept as it ended', async (t) => {
  const { world } = await fleet(t, 1);
  world.submit('a');
  await world.clock.advance(50);
  assert.equal(world.claimant('a'), 'h1');
  assert.deepEqual([world.active('a').state, world.active('a').attempt], ['running', 1]);
  await world.until('its step to be told', () => world.active('a').steps[0]?.state === 'running', 1_000);
  await world.until('its end', () => world.ended().length === 1);
  const run = world.run('a');
  assert.deepEqual([run?.state, run?.end?.exitCode, run?.host], ['complete', 0, 'h1']);
  assert.equal(world.claimant('a'), undefined);
  const told = world.events.filter((e) => e.kind === 'run-changed').map(({ state }) => state);
  assert.deepEqual(told, ['running', 'complete']);
  assert.deepEqual(troubles(world), []);
});

test('two hundred runs at once are spread over three hosts, each exactly once', async (t) => {
  const { world } = await fleet(t, 3);
  for (let i = 0; i < 200; i++) world.submit(`run-${String(i).padStart(3, '0')}`);
  await world.until('all to end', () => world.ended().length === 200, 600_000);
  assert.equal(world.boxes.length, 200);
  assert.ok(world.ended().every((run) => run.state === 'complete' && run.attempt === 1));
  for (const host of ['h1', 'h2', 'h3']) {
    const own = world.boxes.filter((box) => box.host === host);
    assert.ok(own.length > 50, `${host} ran ${own.length}`);
    for (const box of own) {
      const beside = own.filter((b) => b.startedAt <= box.startedAt && b.endsAt > box.startedAt);
      assert.ok(beside.length <= 4, `${host} ran ${beside.length} at once`);
    }
  }
  // As fast as twelve slots are, and little more is written than has to be.
  const tookMs =
    Math.max(...world.boxes.map((b) => b.endsAt)) - Math.min(...world.boxes.map((b) => b.startedAt));
  assert.ok(tookMs < (200 / 12) * 2 * SECOND * 1.3, `took ${tookMs} ms`);
  assert.ok(world.cluster.revision < 200 * 4 + 20, `${world.cluster.revision} writes`);
});

test('a run that nobody may run waits for one who may', async (t) => {
  const { world } = await fleet(t, 2);
  world.submit('a', { constraints: [{ on: 'label', key: 'gpu', equals: true, value: 'yes' }] });
  await world.clock.advance(30 * SECOND);
  assert.equal(world.active('a').state, 'pending');
  world.host('h3', { labels: { gpu: 'yes' } }).start();
  await world.until('its end', () => world.run('a')?.state === 'complete');
  assert.equal(world.run('a')?.host, 'h3');
});

test('a run that is cancelled is stopped, and says by whom', async (t) => {
  const { world } = await fleet(t, 1);
  world.script = () => ({ takesMs: 3_600_000 });
  world.submit('a', { retries: 5 });
  await world.until('it to run', () => world.boxes.length === 1);
  world.cancel('a');
  await world.until('its end', () => world.ended().length === 1, 5 * SECOND);
  assert.deepEqual(world.run('a')?.end, {
    ...{ kind: 'cancelled', exitCode: 130, step: 0, why: 'cancelled by ann', lines: [] },
  });
});

test('a run that is cancelled as it ends is written as it ended', async (t) => {
  const { world } = await fleet(t, 1);
  world.submit('a');
  await world.until('it to run', () => world.boxes.length === 1);
  await world.clock.advance(2 * SECOND - (world.clock.now() - (world.boxes[0]?.startedAt ?? 0)) - 1);
  const held = world.hosts[0]?.store.hold();
  world.cancel('a');
  await world.clock.advance(10);
  held?.release();
  await world.until('its end', () => world.ended().length === 1, 10 * SECOND);
  assert.equal(world.run('a')?.state, 'complete');
});

test('a failed attempt is followed by others after a pause, as often as was asked', async (t) => {
  const { world } = await fleet(t, 2);
  world.script = (run) => ({ takesMs: SECOND, exitCode: run.attempt === 3 ? 0 : 7 });
  world.submit('a', { retries: 2 });
  world.submit('b', { retries: 1 });
  await world.until('both to end', () => world.ended().length === 2);
  assert.deepEqual(
    [world.run('a')?.state, world.run('a')?.attempt, world.run('a')?.past.length],
    ['complete', 3, 2],
  );
  assert.deepEqual(
    [world.run('b')?.state, world.run('b')?.attempt, world.run('b')?.end?.exitCode],
    ['failed', 2, 7],
  );
  const [first, second, third] = world.boxesOf('a');
  assert.ok((second?.startedAt ?? 0) - (first?.endsAt ?? 0) >= 1 * SECOND);
  assert.ok((third?.startedAt ?? 0) - (second?.endsAt ?? 0) >= 2 * SECOND);
});

test('a run whose host went away is lost, and with retries begun elsewhere', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = () => ({ takesMs: 200 * SECOND });
  world.submit('once');
  world.submit('again', { retries: 1 });
  await world.until('both to run', () => world.boxes.length === 2);
  world.host('h2').start();
  const goneAt = world.clock.now();
  h1.kill();
  await world.until('the loss', () => world.ended().length === 1);
  const lostMs = world.clock.now() - goneAt;
  assert.ok(lostMs >= LOST_AFTER_MS && lostMs < LOST_AFTER_MS + 20 * SECOND, `lost after ${lostMs} ms`);
  assert.deepEqual(
    [world.run('once')?.state, world.run('once')?.end?.why],
    ['lost', 'Host h1 went away with it'],
  );
  await world.until('the other to run again', () => world.boxesOf('again').length === 2);
  assert.equal(world.boxesOf('again')[1]?.host, 'h2');
  assert.equal(world.active('again').past[0]?.end.kind, 'lost');
});

test('a host that is started anew goes on with what it had, and removes what is not its own any more', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = () => ({ takesMs: 100 * SECOND });
  world.submit('a');
  await world.until('it to run', () => world.boxes.length === 1);
  h1.kill();
  await world.clock.advance(3 * SECOND);
  h1.start();
  await world.until('it to be found', () =>
    world.events.some((e) => e.kind === 'run-changed' && e.why === 'found again'),
  );
  world.boxes.push({ ...(world.boxes[0] as Box), run: 'stranger', removed: false });
  await world.until('its end', () => world.run('a')?.state === 'complete');
  assert.equal(world.boxesOf('a').length, 1);
  assert.equal(world.run('a')?.attempt, 1);
  await world.until('the stranger to go', () => world.boxesOf('stranger')[0]?.removed === true);
  await world.until('its secrets to go', () => world.secretsKept.at(-1)?.includes('stranger/1') === false);
});

test('what a host has of runs that others ended is removed soon after it is back', async (t) => {
  const { world, h1 } = await fleet(t, 2);
  world.script = () => ({ takesMs: 200 * SECOND });
  world.submit('a', { constraints: [{ on: 'host', key: '', equals: true, value: 'h1' }] });
  await world.until('it to run', () => world.boxes.length === 1);
  h1.kill();
  await world.until('it to be lost', () => world.run('a')?.state === 'lost');
  assert.equal(world.boxesOf('a')[0]?.removed, false);
  h1.start();
  await world.clock.advance(5 * SECOND);
  assert.equal(world.boxesOf('a')[0]?.removed, true);
});

test('told to end, a host lets go of what runs, and the next one finds it', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = () => ({ takesMs: 60 * SECOND });
  world.submit('a');
  await world.until('it to run', () => world.boxes.length === 1);
  await h1.stop();
  await world.clock.advance(5 * SECOND);
  h1.start();
  await world.until('its end', () => world.run('a')?.state === 'complete');
  assert.equal(world.boxes.length, 1);
});

test('while the store is away what runs goes on, and how it ended is written when it is back, however late', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = () => ({ takesMs: 600 * SECOND });
  world.submit('a');
  await world.until('it to run', () => world.boxes.length === 1);
  h1.store.disconnect();
  await world.clock.advance(1_800 * SECOND);
  assert.equal(world.boxes[0]?.why, '');
  h1.store.connect();
  await world.until('its end', () => world.run('a')?.state === 'complete', 60 * SECOND);
});

test('a host that is cut off ends in time what another one begins again', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = () => ({ takesMs: 300 * SECOND });
  world.submit('a', { retries: 1 });
  await world.until('it to run', () => world.boxes.length === 1);
  world.host('h2').start();
  h1.store.disconnect();
  await world.until('another attempt', () => world.boxesOf('a').length === 2);
  const [first, second] = world.boxesOf('a');
  assert.match(first?.why ?? '', /^Host h1 was cut off/);
  assert.ok((second?.startedAt ?? 0) > (first?.endsAt ?? Number.POSITIVE_INFINITY));
  h1.store.connect();
  await world.until('its end', () => world.run('a')?.state === 'complete', 400 * SECOND);
  assert.deepEqual([world.run('a')?.host, world.boxesOf('a').length], ['h2', 2]);
});

test('a lease that is lost for a moment costs nothing', async (t) => {
  const { world, h1 } = await fleet(t, 2);
  world.script = () => ({ takesMs: 120 * SECOND });
  world.submit('a', { retries: 1, constraints: [{ on: 'host', key: '', equals: true, value: 'h1' }] });
  await world.until('it to run', () => world.boxes.length === 1);
  h1.store.expireLeases();
  assert.equal(world.claimant('a'), undefined);
  await world.until('it to be claimed again', () => world.claimant('a') === 'h1', 30 * SECOND);
  await world.until('its end', () => world.run('a')?.state === 'complete');
  assert.equal(world.boxes.length, 1);
});

test('a run that was taken away is stopped, and its end is not told', async (t) => {
  const { world } = await fleet(t, 1);
  world.script = () => ({ takesMs: 600 * SECOND });
  world.submit('a');
  await world.until('it to run', () => world.boxes.length === 1);
  const other = { ...world.active('a'), attempt: 2, host: 'h9', hostId: 'id-h9' };
  world.put(PROJECT.jobs.run('a'), other);
  await world.until('it to stop', () => world.boxes[0]?.removed === true, 5 * SECOND);
  assert.deepEqual(world.active('a'), { ...other, steps: world.active('a').steps });
});

test('steps are written within 200 ms, and never more than five times a second', async (t) => {
  const world = new World();
  t.after(() => world.close());
  const host = world.host('h1', {
    execute: async (input) => {
      for (let i = 0; i < 100; i++) {
        input.onSteps([{ state: 'running', inputBytes: i }]);
        await new Promise<void>((resolve) => world.clock.after(20, resolve));
      }
      input.onSteps([{ state: 'complete', inputBytes: 1000 }]);
      return { kind: 'exit', exitCode: 0, step: 0, why: '', lines: [] };
    },
  });
  host.start();
  await world.clock.advance(100);
  const { revision } = world.cluster;
  world.submit('a');
  await world.clock.advance(250);
  assert.equal(world.active('a').steps[0]?.state, 'running');
  await world.until('its end', () => world.ended().length === 1);
  assert.ok(world.cluster.revision - revision < 15, `${world.cluster.revision - revision} writes`);
  assert.deepEqual(world.run('a')?.steps, [{ state: 'complete', inputBytes: 1000 }]);
});

test('a run that cannot be executed is tried until it can, and may be cancelled', async (t) => {
  const world = new World();
  t.after(() => world.close());
  let failures = 3;
  const execute = async () => {
    if (failures-- > 0) throw new GantryError('state-write', 'no space left on the device');
    return endOf('exit', 0, '');
  };
  world.host('h1', { execute }).start();
  world.submit('a');
  await world.until('its end', () => world.run('a')?.state === 'complete', 20 * SECOND);
  assert.deepEqual(troubles(world), ['no space left on the device']);
  failures = Number.POSITIVE_INFINITY;
  world.submit('b');
  await world.clock.advance(5 * SECOND);
  world.cancel('b');
  await world.until('its end', () => world.run('b')?.state === 'cancelled', 40 * SECOND);
  assert.equal(world.run('b')?.end?.why, 'cancelled by ann');
});

test('an answer that is lost leads to no second attempt', async (t) => {
  const { world, h1 } = await fleet(t, 2);
  const constraints = [{ on: 'host', key: '', equals: true, value: 'h1' } as const];
  const losses = {
    claim: (run: string) => (key: string) => key === PROJECT.jobs.claim(run),
    steps: (run: string) => (key: string) => key === PROJECT.jobs.run(run) && world.boxesOf(run).length > 0,
    end: (run: string) => (key: string) => key === PROJECT.ended(run),
    again: (run: string) => (key: string) =>
      key === PROJECT.jobs.claim(run) && world.boxesOf(run)[0]?.removed === true,
  };
  for (const [moment, concerns] of Object.entries(losses)) {
    world.script = ({ attempt }) => ({
      takesMs: 2_000,
      exitCode: moment === 'again' && attempt === 1 ? 1 : 0,
    });
    h1.loseAnswer((writes) => writes.some(({ key }) => concerns(moment)(key)));
    world.submit(moment, { constraints, retries: moment === 'again' ? 1 : 0 });
    await world.until(`the end of ${moment}`, () => world.run(moment)?.state === 'complete', 30 * SECOND);
    assert.equal(world.boxesOf(moment).length, moment === 'again' ? 2 : 1, moment);
  }
  assert.deepEqual(troubles(world), []);
});

test('while an answer to the end of an attempt is awaited the next one is not begun here', async (t) => {
  const { world, h1 } = await fleet(t, 1);
  world.script = ({ attempt }) => ({ takesMs: 10 * SECOND, exitCode: attempt === 1 ? 1 : 0 });
  h1.loseAnswer((writes) => writes.some((w) => w.kind === 'delete' && w.key === PROJECT.jobs.claim('a')), {
    afterMs: 5 * SECOND,
  });
  world.submit('a', { retries: 1 });
  await world.until('its end', () => world.run('a')?.state === 'complete', 60 * SECOND);
  const begun = world.events.flatMap((e) =>
    e.kind === 'run-changed' && e.state === 'running' ? [`${e.attempt} ${e.why}`] : [],
  );
  assert.deepEqual(begun, ['1 claimed by h1', '2 claimed by h1']);
});

for (const retries of [0, 1]) {
  test(`a store that was restored takes no run away from its host (${retries} retries)`, async (t) => {
    const { world } = await fleet(t, 2);
    world.script = () => ({ takesMs: 300 * SECOND });
    const constraints = [{ on: 'host', key: '', equals: true, value: 'h1' } as const];
    world.submit('a', { constraints, retries });
    await world.until('it to run', () => world.active('a').steps[0]?.state === 'running');
    // As the store was before the leases of now were granted.
    const isLeased = (key: string) => /[/](claims|executors)[/]/.test(key);
    const { revision, entries } = world.cluster.snapshot();
    const kept = [...entries].filter(([key]) => !isLeased(key));
    for (let i = 0; i < 200; i++) world.put('/other', { i });
    world.put(PROJECT.jobs.run('a'), world.active('a'));
    await world.clock.advance(SECOND);
    world.cluster.restore({ revision, entries: new Map(kept), leases: new Map() });
    await world.until('its end', () => world.ended().length === 1, 400 * SECOND);
    assert.deepEqual([world.run('a')?.state, world.boxes.length], ['complete', 1]);
  });
}

test('a command that waits for one run takes that one alone, full or not, and ends with it', async (t) => {
  const world = new World();
  t.after(() => world.close());
  world.submit('a');
  world.submit('b');
  const host = world.host('h1', { only: 'a', slots: 0, alone: false });
  host.start();
  await world.untilEnded(host);
  assert.deepEqual([world.run('a')?.state, world.active('b').state], ['complete', 'pending']);
  const [now] = world.ended();
  assert.ok(world.clock.now() - Date.parse(now?.endedAt ?? '') < 200);
  assert.equal(world.cluster.leases().length, 0);
});

test('beside another process of its host a runner leaves alone what that one has in its hands', async (t) => {
  const world = new World();
  t.after(() => world.close());
  world.script = () => ({ takesMs: 40 * SECOND });
  world.submit('a');
  const command = world.host('h1', { only: 'a', alone: false });
  command.start();
  await world.until('it to run', () => world.boxes.length === 1);
  const runner = world.host('h1', { untilIdleMs: () => 3 * SECOND, alone: false });
  runner.start();
  await world.clock.advance(10 * SECOND);
  assert.equal(world.events.filter((e) => e.kind === 'run-changed' && e.why === 'found again').length, 0);
  command.kill();
  await world.until('its end', () => world.run('a')?.state === 'complete');
  assert.equal(world.boxes.length, 1);
  assert.equal(runner.hasEnded, false);
  await world.untilEnded(runner);
});

test('what is kept no longer is removed, and a schedule keeps its newest runs', async (t) => {
  const { world } = await fleet(t, 2);
  world.submit('short', { keepMs: 90 * SECOND });
  world.submit('long', { keepMs: 600 * SECOND });
  world.push({ name: 'often', cron: '*/5 * * * * * *' });
  await world.until(
    '30 ticks',
    () => world.events.filter((e) => e.kind === 'schedule-ticked').length === 30,
    200_000,
  );
  await world.until('the short one to go', () => world.run('short') === undefined, 200_000);
  assert.equal(world.run('long')?.state, 'complete');
  const left = world.ended().filter((run) => run.schedule?.name === 'often');
  assert.ok(left.length >= 20 && left.length <= 20 + 13, `${left.length} are left`);
});

test('a schedule whose image cannot be had says so and does not fire until it can', async (t) => {
  const { world } = await fleet(t, 2);
  const job = aJob({ steps: [aStep({ image: 'nope:1' })] });
  world.push({ name: 'bad', cron: '*/30 * * * * * *', job }, { isChecked: false });
  await world.until(
    'it to be looked at',
    () => value(world, 'bad').includes('nope:1 cannot be had'),
    20 * SECOND,
  );
  await world.clock.advance(120 * SECOND);
  assert.equal(world.boxes.length, 0);
  world.images.add('nope:1');
  await world.until('it to fire', () => world.boxes.length > 0, 900 * SECOND, SECOND);
});

test('a registry that is away is told as what is wrong, and asked again soon', async (t) => {
  const { world } = await fleet(t, 2);
  world.registryIsAway = true;
  world.push({ name: 'often', cron: '*/30 * * * * * *' }, { isChecked: false });
  await world.until('it to be told', () => value(world, 'often').endsWith('connection refused'), 20 * SECOND);
  assert.equal(world.boxes.length, 0);
  world.registryIsAway = false;
  await world.until('it to fire', () => world.boxes.length > 0, 120 * SECOND, SECOND);
});

function value(world: World, schedule: string): string {
  const { trouble = '' } = JSON.parse(world.cluster.get(PROJECT.jobs.schedule(schedule))?.value ?? '{}');
  return trouble;
}
