/** Three hosts whose agents run jobs, an etcd of three members, and faults at random that are noted. */
import { openStore } from '../../src/cluster/etcd-store.ts';
import { keys } from '../../src/cluster/keys.ts';
import { listExecutors } from '../../src/jobs/intents.ts';
import type { JobFleet } from '../../src/jobs/job-fleet.ts';
import { pause } from '../../src/poke.ts';
import { busyboxImage, uniqueTag } from '../docker/images.ts';
import { type Agent, type FleetShop, openFleetShop, PROJECT } from '../e2e/fleet.ts';
import { until } from '../ground/harness.ts';
import type { Ends } from './ends.ts';
import { say } from './sections.ts';

const READY_MS = 60_000;

export interface JobsFleet {
  readonly shop: FleetShop;
  readonly jobs: JobFleet;
  readonly image: string;
}

export async function openJobsFleet(t: Ends): Promise<JobsFleet> {
  const shop = await openFleetShop(t, { etcd: { members: 3, flushes: true } });
  const image = uniqueTag();
  await Promise.all(shop.hosts.map((host) => busyboxImage(host.docker, image)));
  const store = openStore({ endpoints: shop.etcd.endpoints, callTimeoutMs: 20_000 });
  t.after(() => store.close());
  const jobs = { store, keys: keys(), project: PROJECT, by: 'bench', now: Date.now };
  return { shop, jobs, image };
}

export async function untilAllExecute({ shop, jobs }: JobsFleet): Promise<void> {
  const all = async () => (await listExecutors(jobs)).length === shop.hosts.length;
  await until(all, { timeoutMs: READY_MS, what: 'all hosts run jobs' });
}

export interface Faults {
  readonly kills: number;
  readonly leaderChanges: number;
}

/** Until told to end: kills an agent every few seconds and starts it again, and now and then the leader of etcd. */
export async function harass(
  { shop }: JobsFleet,
  agents: readonly Agent[],
  { killEveryMs, leaderEveryMs, signal }: { killEveryMs: number; leaderEveryMs: number; signal: AbortSignal },
): Promise<Faults> {
  const running = [...agents];
  let kills = 0;
  let leaderChanges = 0;
  let leaderAt = performance.now() + leaderEveryMs;
  const rest = (ms: number) => pause(ms, signal);
  while (!signal.aborted) {
    await rest(killEveryMs * (0.5 + Math.random()));
    if (signal.aborted) break;
    if (performance.now() >= leaderAt) {
      leaderAt = performance.now() + leaderEveryMs;
      const leader = await shop.etcd.leader();
      await shop.etcd.kill(leader);
      leaderChanges += 1;
      say(`etcd's leader, member ${leader}, is killed`);
      await rest(3_000);
      await shop.etcd.start(leader);
      continue;
    }
    const at = Math.floor(Math.random() * running.length);
    const victim = running[at];
    if (victim === undefined) break;
    victim.signal('SIGKILL');
    await victim.ended;
    kills += 1;
    await rest(200 + Math.random() * 2_000);
    running[at] = await shop.agent(victim.host);
  }
  return { kills, leaderChanges };
}
