import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forgetRun } from '../../../src/jobs/intents/forget.ts';
import { submitRun } from '../../../src/jobs/intents/intents.ts';
import { World } from '../hosts-ground.ts';
import { aJob } from '../job-values.ts';
import { auditIn, claim, end, fleetOn, ground, keysIn, NO_INPUT } from './intents-ground.ts';

test('a run that is forgotten while its host executes it goes on, and leaves nothing', async (t) => {
  const world = new World();
  t.after(() => world.close());
  const [host] = await world.fleet(1);
  world.submit('a');
  await world.until('its claim', () => world.claimant('a') === 'h1');
  const forgetting = forgetRun(fleetOn(host?.store ?? assert.fail()), 'a');
  await world.clock.advance(10);
  assert.equal(await forgetting, true);
  await world.until('its end', () => world.run('a') === undefined);
  const [box] = world.boxesOf('a');
  assert.deepEqual([box?.why, box?.end?.kind ?? 'exit'], ['', 'exit']);
  assert.equal(box?.endsAt, (box?.startedAt ?? 0) + 2_000, 'nobody stopped it');
  assert.deepEqual(world.ended(), []);
});

test('a run that is over is gone at once, with an entry in the audit', async () => {
  const { fleet, cluster } = ground();
  const run = end(cluster, claim(cluster, await submitRun(fleet, aJob(), NO_INPUT)));
  assert.equal(await forgetRun(fleet, run.id), true);
  assert.deepEqual(keysIn(cluster), []);
  const asked = auditIn(cluster).map(({ action, on, by }) => [action, ...on, by]);
  // Both were asked in one millisecond of this clock.
  assert.deepEqual(asked.sort(), [
    ['job rm', run.id, 'ann@desk'],
    ['job run', run.id, 'ann@desk'],
  ]);
});

test('what is none, or was forgotten before, is told', async () => {
  const { fleet, cluster } = ground();
  assert.equal(await forgetRun(fleet, 'nobody'), false);
  const run = claim(cluster, await submitRun(fleet, aJob(), NO_INPUT));
  assert.equal(await forgetRun(fleet, run.id.slice(0, -1)), false);
  assert.equal(await forgetRun(fleet, run.id), true);
  assert.equal(await forgetRun(fleet, run.id), false);
});
