/** `gantryd list`: each component, or each on each host; with --watch again whenever something changes. */

import type { Entry, Mirror } from '../../cluster/store.ts';
import type { ReleaseValue } from '../../cluster/values.ts';
import { isGantryError } from '../../errors.ts';
import {
  type Fleet,
  hostsIn,
  knownNames,
  projectLook,
  projectUnknown,
  statusesIn,
} from '../../fleet/intents/look.ts';
import { componentRow, hostRows } from '../../fleet/reports/report.ts';
import { releaseOf } from '../../fleet/reports/why-look.ts';
import { Poke, pause } from '../../poke.ts';
import { withFleet } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { type Output, outputOf } from '../output.ts';
import type { ListArguments } from './options.ts';
import { renderComponents, renderFleetEvent, renderHosts } from './render.ts';

/** What changes within this time is shown together. */
const COALESCE_MS = 100;
/** On a terminal ages grow even when nothing changes. */
const REFRESH_MS = 5_000;
/** Longest wait that a timer takes. */
const LONGEST_MS = 2 ** 31 - 1;
const CLEAR_SCREEN = '\u001b[H\u001b[2J\u001b[3J';

/** The keys a list is made from. */
interface Found {
  readonly followed: Iterable<Entry>;
  readonly statuses: Iterable<Entry>;
  readonly hosts: Iterable<Entry>;
}

interface Listed {
  readonly document: object;
  readonly words: string;
}

type ReleaseOf = (component: string, release: number) => Promise<ReleaseValue | undefined>;

export async function runList(args: ListArguments): Promise<number> {
  const output = outputOf(args);
  await withFleet(args, async (fleet) => {
    const releases = remembering(fleet, args);
    // Also before watching: a mirror would wait for an etcd that is away.
    const first = await listing(fleet, args, await foundNow(fleet, args), releases);
    if (args.watch) await interruptible((signal) => watch(fleet, args, { output, releases, first, signal }));
    else output.document(first.document, first.words);
  });
  return 0;
}

async function foundNow({ store, keys }: Fleet, { project, hosts }: ListArguments): Promise<Found> {
  const at = keys.project(project);
  const none = { entries: [] };
  const [followed, statuses, agents] = await Promise.all([
    store.list(at.followed()),
    hosts ? store.list(at.allStatuses()) : none,
    hosts ? store.list(keys.hosts()) : none,
  ]);
  return { followed: followed.entries, statuses: statuses.entries, hosts: agents.entries };
}

async function listing(fleet: Fleet, args: ListArguments, found: Found, releases: ReleaseOf) {
  const { project } = args;
  const look = projectLook(fleet.keys, project, found.followed);
  const statuses = statusesIn(found.statuses);
  const names = knownNames(look, statuses.keys());
  if (names.length === 0 && look.config.value === undefined) throw projectUnknown(look);
  const components = await Promise.all(
    names.map(async (name) =>
      componentRow(look, name, await releases(name, look.desired.get(name)?.value?.release ?? 0)),
    ),
  );
  if (!args.hosts) return { document: { project, components }, words: renderComponents(project, components) };
  const agents = hostsIn(found.hosts, project);
  const hosts = names.flatMap((name) =>
    hostRows(name, look.desired.get(name)?.value, statuses.get(name) ?? [], agents),
  );
  return { document: { project, components, hosts }, words: renderHosts(project, hosts, fleet.now()) };
}

/** A release never changes, so it is asked for once. */
function remembering(fleet: Fleet, { project }: ListArguments): ReleaseOf {
  const known = new Map<string, ReleaseValue>();
  return async (component, number) => {
    const key = `${component} ${number}`;
    const release = known.get(key) ?? (await releaseOf(fleet, project, component, number));
    if (release !== undefined) known.set(key, release);
    return release;
  };
}

interface Watching {
  readonly output: Output;
  readonly releases: ReleaseOf;
  readonly first: Listed;
  readonly signal: AbortSignal;
}

async function watch(fleet: Fleet, args: ListArguments, watching: Watching): Promise<void> {
  const poke = new Poke();
  const mirrors = mirrorsOf(fleet, args, () => poke.poke());
  try {
    await show(fleet, args, watching, mirrors, poke);
  } finally {
    for (const mirror of Object.values(mirrors)) mirror?.close();
  }
}

interface Mirrors {
  readonly followed: Mirror;
  readonly statuses: Mirror | undefined;
  readonly hosts: Mirror | undefined;
}

function mirrorsOf({ store, keys }: Fleet, { project, hosts }: ListArguments, onChange: () => void): Mirrors {
  const at = keys.project(project);
  return {
    followed: store.follow({ range: at.followed(), onChange }),
    statuses: hosts ? store.follow({ range: at.allStatuses(), onChange }) : undefined,
    hosts: hosts ? store.follow({ range: keys.hosts(), onChange }) : undefined,
  };
}

async function show(
  fleet: Fleet,
  args: ListArguments,
  { output, releases, first, signal }: Watching,
  mirrors: Mirrors,
  poke: Poke,
): Promise<void> {
  const live = process.stdout.isTTY === true && !args.json;
  const mayBeginUntil = performance.now() + REFRESH_MS;
  let hasBegun = false;
  let shown = '';
  for (let now: Listed | Trouble = first; !signal.aborted; ) {
    const text = JSON.stringify('trouble' in now ? now : now.document);
    if ('document' in now) {
      if (live) process.stdout.write(CLEAR_SCREEN);
      if (live || text !== shown) output.document(now.document, now.words);
    } else if (text !== shown) {
      const event = { kind: 'cluster', component: '', connected: false, why: now.trouble } as const;
      output.result({ ...event, at: Date.now() }, renderFleetEvent(event));
    }
    shown = text;
    await poke.wait(live || !hasBegun || 'trouble' in now ? REFRESH_MS : LONGEST_MS, signal);
    await pause(COALESCE_MS, signal);
    poke.clear();
    const next = await current(fleet, args, mirrors, releases);
    hasBegun ||= 'document' in next || performance.now() > mayBeginUntil;
    if (hasBegun) now = next;
  }
}

interface Trouble {
  readonly trouble: string;
}

/** An etcd that goes away while its list is watched is waited for. */
async function current(
  fleet: Fleet,
  args: ListArguments,
  mirrors: Mirrors,
  releases: ReleaseOf,
): Promise<Listed | Trouble> {
  const away = Object.values(mirrors).find((m) => m?.current === false)?.trouble;
  if (away !== undefined) return { trouble: away };
  try {
    return await listing(fleet, args, foundIn(mirrors), releases);
  } catch (error) {
    if (!isGantryError(error, 'cluster-unreachable')) throw error;
    return { trouble: error.message };
  }
}

function foundIn({ followed, statuses, hosts }: Mirrors): Found {
  return {
    followed: followed.entries.values(),
    statuses: statuses?.entries.values() ?? [],
    hosts: hosts?.entries.values() ?? [],
  };
}
