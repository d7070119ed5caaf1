/**
 * A thousand ticks on three hosts that are killed, cut off and started anew at random, with a store that goes away for
 * moments: each tick has one run, each run is begun, no two attempts of one are ever under way at once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunValue } from '../../../src/cluster/job-values.ts';
import { type TestHost, World } from '../hosts-ground.ts';
import { aJob } from '../job-values.ts';

const SECOND = 1_000;
const SCHEDULES = 10;
const TICKS = 100;
const EVERY_MS = 10 * SECOND;
const SEED = Number(process.env.GANTRYD_TEST_SEED ?? 20261121);

test(`${SCHEDULES * TICKS} ticks, none twice, none missed, whoever dies (seed ${SEED})`, async (t) => {
  const world = new World();
  t.after(() => world.close());
  const random = dice(SEED);
  const runs = collect(world);
  world.script = (run) => ({ takesMs: 500 + (run.id.charCodeAt(run.id.length - 3) % 10) * 1_500 });
  const hosts = await world.fleet(3, { slots: 32 });
  for (let i = 0; i < SCHEDULES; i++) {
    const job = aJob({ retries: 20, keepMs: 3_600 * SECOND });
    world.push({ name: `s${i}`, cron: '*/10 * * * * * *', overlap: 'allow', job });
  }
  await faults(world, hosts, random);
  for (const host of hosts) {
    host.store.connect();
    host.start();
  }
  await world.clock.advance(2 * EVERY_MS);
  for (let i = 0; i < SCHEDULES; i++) world.suspend(`s${i}`);
  await world.until(
    'all to end',
    () => world.all().every((run) => run.endedAt !== undefined),
    600 * SECOND,
    SECOND,
  );
  judge(world, runs);
});

/** Until the ticks are over, with a pause before the end of it that all can be told. */
async function faults(world: World, hosts: readonly TestHost[], random: () => number): Promise<void> {
  const end = world.clock.now() + TICKS * EVERY_MS;
  while (world.clock.now() < end) {
    await world.clock.advance(Math.min(end - world.clock.now(), 1_000 + Math.floor(random() * 12_000)));
    const host = hosts[Math.floor(random() * hosts.length)];
    const up = hosts.filter((h) => h.isUp && h.store.connected);
    const dice = random();
    if (host === undefined) continue;
    if (!host.isUp) host.start();
    else if (!host.store.connected) host.store.connect();
    else if (dice < 0.4 && up.length > 1) host.kill();
    else if (dice < 0.6 && up.length > 1) host.store.disconnect();
    else if (dice < 0.7 && up.length > 1) host.store.expireLeases();
    else if (dice < 0.8) host.loseAnswer(() => true);
    else if (dice < 0.85) await leaderChange(world, hosts);
  }
}

/** Nobody is answered for a moment. */
async function leaderChange(world: World, hosts: readonly TestHost[]): Promise<void> {
  const cut = hosts.filter((host) => host.isUp && host.store.connected);
  for (const host of cut) host.store.disconnect();
  await world.clock.advance(500);
  for (const host of cut) host.store.connect();
}

/** Every run there ever was, although a schedule keeps only its newest ones: by its id, when it was first claimed. */
function collect(world: World): Map<string, RunValue> {
  const runs = new Map<string, RunValue>();
  world.cluster.watchers.add({
    changed: (changes) => {
      for (const change of changes) {
        if (change.kind !== 'put' || !change.entry.key.includes('/jobs/runs/')) continue;
        const run: RunValue = JSON.parse(change.entry.value);
        const known = runs.get(run.id);
        assert.ok(known === undefined || run.attempt > 0, `${run.id} is made twice`);
        if (known?.startedAt === undefined) runs.set(run.id, run);
      }
    },
    reset: () => assert.fail('the store is another one'),
  });
  return runs;
}

function judge(world: World, runs: ReadonlyMap<string, RunValue>): void {
  const begin = world.boxes[0]?.startedAt ?? 0;
  const instants = new Set([...runs.values()].map((run) => `${run.schedule?.name} ${run.schedule?.instant}`));
  assert.equal(instants.size, runs.size, 'a tick has one run only');
  for (let i = 0; i < SCHEDULES * TICKS; i++) {
    const at = Math.floor(begin / EVERY_MS + i / SCHEDULES) * EVERY_MS;
    const tick = `s${i % SCHEDULES} ${new Date(at).toISOString()}`;
    assert.ok(instants.has(tick), `${tick} was missed`);
  }
  for (const id of runs.keys()) {
    const boxes = world.boxesOf(id);
    assert.ok(boxes.length > 0, `${id} never began`);
    for (const [i, box] of boxes.entries()) {
      const before = boxes[i - 1];
      const isAfter = before === undefined || before.endsAt <= box.startedAt;
      assert.ok(
        isAfter,
        `${id}: attempt ${box.attempt} began on ${box.host} while ${before?.host} was at it`,
      );
    }
    assert.equal(
      new Set(boxes.map((box) => box.attempt)).size,
      boxes.length,
      `${id}: an attempt began twice`,
    );
    assert.ok(
      boxes.some((box) => box.end?.kind === 'exit'),
      `${id} was never carried through`,
    );
  }
  const skews = [...runs.values()].map(
    (r) => Date.parse(r.startedAt ?? '') - Date.parse(r.schedule?.instant ?? ''),
  );
  skews.sort((a, b) => a - b);
  const p99 = skews[Math.floor(skews.length * 0.99)] ?? 0;
  assert.ok(p99 < SECOND, `one in a hundred began ${p99} ms late`);
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
