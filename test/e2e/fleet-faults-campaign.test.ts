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
import type { Kind } from '../campaign/schedule.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { skipWithoutFleet } from './fleet.ts';

/** Draws nearly every kind. */
const SEED = Number(process.env.GANTRYD_E2E_SEED ?? 2795);
const FAULTS_MS = 20_000;
/** Those that are soon over. */
const KINDS: readonly Kind[] = [
  ...(['agent-kill', 'agent-stop', 'proxy-kill', 'proxy-stop', 'proxy-upgrade', 'engine-restart'] as const),
  ...(['crash', 'freeze', 'isolate', 'disk-full', 'clock-jump', 'etcd-kill', 'etcd-compact'] as const),
];

test('faults on a fleet lose nothing but what they hit', { skip: skipWithoutFleet }, async (t) => {
  const logs = new Logs(mkdtempSync(join(lasting(), 'gantryd-faults-')), () => undefined);
  await faultCampaign({
    ...{ seed: SEED, ms: FAULTS_MS, hosts: ['a', 'b'], members: 1, only: KINDS, logs },
    ...{ paceMs: 1_500, longestMs: 2_000, longestStayMs: 5_000 },
    plane: skipWithoutKernel === false ? 'both' : 'userspace',
  });
  const again = `again: GANTRYD_E2E_SEED=${SEED} npm test -- fleet-faults-campaign`;
  assert.deepEqual(logs.problems, [], `all that was told is in ${logs.folder}; ${again}\n${logs.told}`);
  logs.remove();
  t.diagnostic(`seed ${SEED}: ${logs.told.split('\n').filter((line) => /requests|acts done/.test(line))}`);
});

/** Where a folder outlives the ground of the run. */
function lasting(): string {
  const { GANTRYD_GROUND: ground } = process.env;
  return ground === undefined ? tmpdir() : dirname(ground);
}
