/**
 * A short fault campaign: whatever falls on agents, proxies, engines, etcd and disks, clients lose no more than stated.
 * GANTRYD_E2E_SEED draws another schedule, or repeats one.
 */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { faultCampaign } from '../campaign/fleet-campaign.ts';
import { Logs } from '../campaign/logs.ts';
import { type Kind, type Plan, scheduleOf } from '../campaign/schedule.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { skipWithoutFleet } from './fleet.ts';

/** Draws every kind but a freeze, each early enough for a machine that is busy. */
const BROAD = 3274645;
const SEED = Number(process.env.GANTRYD_E2E_SEED ?? BROAD);
/** Those that are soon over. */
const KINDS: readonly Kind[] = [
  ...(['agent-kill', 'agent-stop', 'proxy-kill', 'proxy-stop', 'proxy-upgrade', 'engine-restart'] as const),
  ...(['crash', 'freeze', 'isolate', 'disk-full', 'clock-jump', 'etcd-kill', 'etcd-compact'] as const),
  'registry-mute',
];
const PLAN: Plan = {
  ...{ seed: SEED, ms: 20_000, hosts: ['a', 'b'], members: 1, only: KINDS },
  ...{ paceMs: 1_500, longestMs: 2_000 },
};

test('faults on a fleet lose nothing but what they hit', { skip: skipWithoutFleet }, async (t) => {
  const drawn = new Set(scheduleOf(PLAN).map(({ deed }) => deed.kind));
  if (SEED === BROAD) assert.deepEqual(missing(drawn), ['freeze']);
  const logs = new Logs(mkdtempSync(join(lasting(), 'gantryd-faults-')), () => undefined);
  const plane = skipWithoutKernel === false ? 'both' : 'userspace';
  await faultCampaign({ ...PLAN, logs, longestStayMs: 5_000, plane });
  const again = `again: GANTRYD_E2E_SEED=${SEED} npm test -- fleet-faults-campaign`;
  assert.deepEqual(logs.problems, [], `all that was told is in ${logs.folder}; ${again}\n${logs.told}`);
  logs.remove();
  t.diagnostic(`seed ${SEED}: ${logs.told.split('\n').filter((line) => /requests|acts done/.test(line))}`);
});

/** Kinds that are to be drawn and are not. */
function missing(drawn: ReadonlySet<Kind>): readonly Kind[] {
  return [...KINDS, 'cli-kill' as const, 'cli-stop' as const].filter((kind) => !drawn.has(kind));
}

/** Where a folder outlives the ground of the run. */
function lasting(): string {
  const { GANTRYD_GROUND: ground } = process.env;
  return ground === undefined ? tmpdir() : dirname(ground);
}
