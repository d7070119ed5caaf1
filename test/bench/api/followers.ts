/**
 * What many followers of events cost an agent in memory. The same is done to the agent before and with them, so that
 * what doing it costs drops out; and each of them must have every event that etcd keeps of it.
 */
import { PROJECT } from '../../e2e/fleet.ts';
import { until } from '../../ground/harness.ts';
import { type Footprint, footprintOf } from '../continuity/memory.ts';
import { WEB } from '../continuity/stage.ts';
import type { Ends } from '../ends.ts';
import { ClientsProcess, type Seen } from './clients-process.ts';
import {
  API,
  type ApiStage,
  asked,
  deployed,
  openApiStage,
  quickComponent,
  quickImage,
  type Say,
} from './stage.ts';

export interface FollowersOptions {
  readonly followers: number;
  readonly settleMs: number;
  readonly say: Say;
}

const ACTS = 5;
const MORE = 3;
const SEEN_MS = 10_000;

export async function measureFollowers(t: Ends, { followers, settleMs, say }: FollowersOptions) {
  const stage = await openApiStage(t);
  const { door, agent } = stage;
  await deployed(stage, [quickComponent(WEB, await quickImage(stage))], say);
  const footprints: Footprint[] = [];
  const look = async (name: string) => {
    const footprint = await footprintOf(agent.pid, name, settleMs);
    footprints.push(footprint);
    say(`${name}: ${Math.round(footprint.rss)} MiB`);
  };
  await eventful(stage);
  await look('nobody follows');
  const before = new Set(await idsOf(stage));
  const clients = new ClientsProcess(t);
  const began = performance.now();
  await clients.order('follow', { door, path: `/v1/events?project=${PROJECT}`, followers });
  const openedMs = performance.now() - began;
  await eventful(stage);
  await look(`${followers} follow`);
  const ids = (await idsOf(stage)).filter((id) => !before.has(id));
  const seen = await seenBy(clients, ids, followers);
  await clients.order('leave', {});
  await look('they have left');
  return { followers, openedMs, events: ids.length, seen, footprints };
}

/** Scales up and down, which etcd keeps events of. */
async function eventful({ shop }: ApiStage): Promise<void> {
  for (let act = 0; act < ACTS; act++)
    for (const count of [MORE, 1]) await shop.must('scale', `${WEB}=${count}`, '--wait');
}

/** Of all events that are kept. */
async function idsOf({ door }: ApiStage): Promise<readonly string[]> {
  const { events } = JSON.parse(await asked(door, `${API}/events?limit=1000`)) as {
    events: { id: string }[];
  };
  return events.map(({ id }) => id);
}

/** Whoever has not all of them after a while is told as one who has not. */
async function seenBy(clients: ClientsProcess, ids: readonly string[], followers: number): Promise<Seen> {
  const all = async () => (await clients.order('seen', { ids })).complete === followers;
  await until(all, { timeoutMs: SEEN_MS, what: 'all followers to have all events' }).catch(() => undefined);
  return clients.order('seen', { ids });
}
