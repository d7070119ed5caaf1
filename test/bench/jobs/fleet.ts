/** Three hosts whose agents run jobs, an etcd of three members, and faults at random that are noted. */
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { listExecutors } from '../../../src/jobs/intents/intents.ts';
import type { JobFleet } from '../../../src/jobs/job-fleet.ts';
import { pause } from '../../../src/poke.ts';
import { busyboxImage, uniqueTag } from '../../docker/images.ts';
import { type Agent, type FleetShop, openFleetShop, PROJECT } from '../../e2e/fleet.ts';
import type { Etcd } from '../../ground/etcd.ts';
import { until } from '../../ground/harness.ts';
import type { Ends } from '../ends.ts';
import { say } from '../sections.ts';

const READY_MS = 60_000;
/** Of a member that is killed. */
const DOWN_MS = 3_000;
const PROBE_KEY = '/bench/probe';

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

/** Something that was broken on purpose. Epoch milliseconds. */
export interface Fault {
  readonly at: number;
  /** Of a leader of etcd, until the others have one again; of an agent, until it is back. */
  readonly over: number;
  readonly kind: 'agent' | 'leader';
  /** Its host, or its member of etcd. */
  readonly who: string;
}

export interface Faults {
  readonly faults: readonly Fault[];
  /** All there were, those that were killed too. */
  readonly agents: readonly Agent[];
}

export interface HarassOptions {
  readonly killEveryMs: number;
  readonly leaderEveryMs: number;
  readonly signal: AbortSignal;
}

/** Until told to end: kills an agent every few seconds and starts it again, and now and then the leader of etcd. */
export async function harass(
  { shop }: JobsFleet,
  agents: readonly Agent[],
  { killEveryMs, leaderEveryMs, signal }: HarassOptions,
): Promise<Faults> {
  const running = [...agents];
  const all = [...agents];
  const faults: Fault[] = [];
  let leaderAt = performance.now() + leaderEveryMs;
  while (!signal.aborted) {
    await pause(killEveryMs * (0.5 + Math.random()), signal);
    if (signal.aborted) break;
    if (performance.now() >= leaderAt) {
      leaderAt = performance.now() + leaderEveryMs;
      faults.push(await leaderKilled(shop.etcd, signal));
      continue;
    }
    const place = Math.floor(Math.random() * running.length);
    const victim = running[place];
    if (victim === undefined) break;
    const at = Date.now();
    victim.signal('SIGKILL');
    await victim.ended;
    await pause(200 + Math.random() * 2_000, signal);
    const next = await shop.agent(victim.host);
    faults.push({ at, over: Date.now(), kind: 'agent', who: victim.host.name });
    running[place] = next;
    all.push(next);
  }
  return { faults, agents: all };
}

async function leaderKilled(etcd: Etcd, signal: AbortSignal): Promise<Fault> {
  const leader = await etcd.leader();
  const at = Date.now();
  await etcd.kill(leader);
  await untilWritten(etcd.endpoints.filter((_, member) => member !== leader));
  const over = Date.now();
  say(`etcd's leader, member ${leader}, was killed: it took writes again ${over - at} ms later`);
  await pause(Math.max(0, at + DOWN_MS - over), signal);
  await etcd.start(leader);
  return { at, over, kind: 'leader', who: `member ${leader}` };
}

/** Writes are begun again and again beside those that hang, so that what is seen is etcd and not who asks. */
async function untilWritten(endpoints: readonly string[]): Promise<void> {
  const store = openStore({ endpoints });
  const put = { kind: 'put', key: PROBE_KEY, value: '{}' } as const;
  let written = false;
  const isWritten = () => {
    store.commit([], [put]).then(
      () => {
        written = true;
      },
      () => undefined, // the next one may be
    );
    return written;
  };
  await until(isWritten, { timeoutMs: READY_MS, what: 'etcd took writes again' }).finally(() =>
    store.close(),
  );
}
