/**
 * Follows what a command asked for through the fleet, host by host, until it is over. Reads only: whoever follows may
 * end at any time, and nothing goes differently. What it means is judged in ending.ts; here are the mirrors, the
 * events and the clock.
 */

import type { Entry, Mirror, Range } from '../../cluster/store.ts';
import { readStatus, type StatusValue } from '../../cluster/values.ts';
import { Poke, pause } from '../../poke.ts';
import { type Fleet, hostsIn, projectLook } from '../intents/look.ts';
import { type Ending, endingOf, type FollowedView, stillOpen, type Target } from './ending.ts';

export type FleetEvent =
  | {
      readonly kind: 'rollout-changed';
      readonly component: string;
      readonly rollout: 'update' | 'rollback';
      readonly release: number;
      readonly state: string;
      readonly why: string;
    }
  | {
      readonly kind: 'host-changed';
      readonly component: string;
      readonly host: string;
      readonly phase: string;
      /** That serves there; 0: none. */
      readonly release: number;
      /** It is done with what was asked for. */
      readonly settled: boolean;
      readonly why: string;
    }
  | { readonly kind: 'host-gone'; readonly component: string; readonly host: string }
  /** As an agent tells it: etcd answers again, or no longer. */
  | {
      readonly kind: 'cluster';
      readonly component: '';
      readonly connected: boolean;
      readonly why: string;
    };

export interface FollowInput {
  readonly project: string;
  readonly targets: readonly Target[];
  /** Infinity: no bound. */
  readonly timeoutMs: number;
  readonly emit: (event: FleetEvent) => void;
  /** What is waited for now, in one line. */
  readonly progress: (words: string) => void;
}

/** Events that come together are told together. */
const COALESCE_MS = 50;
/** An agent that lives has read a config that was just stored, and tells that it runs the component. */
const TAKE_UP_MS = 1_500;
/** Longest wait that a timer takes. */
const LONGEST_MS = 2 ** 31 - 1;

/** One ending for each target; undefined: aborted before all had one. */
export async function follow(
  fleet: Fleet,
  input: FollowInput,
  signal: AbortSignal,
): Promise<readonly Ending[] | undefined> {
  const poke = new Poke();
  const watched = mirrors(fleet, input, () => poke.poke());
  try {
    return await untilOver(fleet, input, watched, poke, signal);
  } finally {
    for (const mirror of Object.values(watched)) mirror.close();
  }
}

interface Watched {
  readonly followed: Mirror;
  readonly statuses: Mirror;
  readonly hosts: Mirror;
}

function mirrors({ store, keys }: Fleet, { project, targets }: FollowInput, onChange: () => void): Watched {
  const at = keys.project(project);
  const [only, ...others] = targets;
  const one = only !== undefined && others.length === 0;
  const of = (range: Range) => store.follow({ range, onChange });
  return {
    followed: of(at.followed()),
    statuses: of(one ? at.statuses(only.component) : at.allStatuses()),
    hosts: of(keys.hosts()),
  };
}

async function untilOver(
  fleet: Fleet,
  input: FollowInput,
  watched: Watched,
  poke: Poke,
  signal: AbortSignal,
): Promise<readonly Ending[] | undefined> {
  const begun = performance.now();
  const end = begun + input.timeoutMs;
  const teller = new Teller(input);
  const endings = new Map<string, Ending>();
  let views: ReadonlyMap<string, FollowedView> = new Map();
  while (!signal.aborted) {
    poke.clear();
    const trouble = Object.values(watched).find((m) => !m.current)?.trouble;
    if (views.size > 0) teller.connection(trouble);
    if (trouble === undefined) {
      views = viewsOf(fleet, input, watched);
      for (const target of input.targets) {
        const view = views.get(target.component);
        if (view === undefined || endings.has(target.component)) continue;
        teller.tell(target, view);
        const ending = endingOf(target, view);
        if (ending?.outcome === 'no-hosts' && mayBeTakenUp(input, watched, begun)) continue;
        if (ending !== undefined) endings.set(target.component, ending);
      }
      if (endings.size === input.targets.length) return inOrder(input, endings);
    }
    teller.waiting(
      trouble,
      input.targets.filter((t) => !endings.has(t.component)),
      views,
    );
    const left = end - performance.now();
    if (left <= 0) return inOrder(input, withOpen(input, endings, views));
    const takeUp = begun + TAKE_UP_MS - performance.now();
    await poke.wait(Math.min(left, takeUp > 0 ? takeUp : LONGEST_MS), signal);
    await pause(Math.min(left, COALESCE_MS), signal);
  }
  return undefined;
}

function mayBeTakenUp({ project }: FollowInput, { hosts }: Watched, begun: number): boolean {
  return performance.now() - begun < TAKE_UP_MS && hostsIn(hosts.entries.values(), project).length > 0;
}

function inOrder({ targets }: FollowInput, endings: ReadonlyMap<string, Ending>): readonly Ending[] {
  return targets.flatMap((t) => endings.get(t.component) ?? []);
}

function withOpen(
  { targets }: FollowInput,
  endings: ReadonlyMap<string, Ending>,
  views: ReadonlyMap<string, FollowedView>,
): ReadonlyMap<string, Ending> {
  const open = targets.map(
    (t) => [t.component, endings.get(t.component) ?? stillOpen(t, views.get(t.component))] as const,
  );
  return new Map(open);
}

function viewsOf(
  { keys }: Fleet,
  { project, targets }: FollowInput,
  { followed, statuses, hosts }: Watched,
): ReadonlyMap<string, FollowedView> {
  const look = projectLook(keys, project, followed.entries.values());
  const told = new Map<string, StatusValue[]>(targets.map((t) => [t.component, []]));
  for (const entry of statuses.entries.values()) {
    const status = readOnce(entry);
    if (status !== undefined) told.get(entry.key.split('/').at(-2) ?? '')?.push(status);
  }
  const live = hostsIn(hosts.entries.values(), project);
  const views = targets.map(({ component }): readonly [string, FollowedView] => [
    component,
    {
      desired: look.desired.get(component)?.value,
      rollout: look.rollouts.get(component)?.value,
      turns: look.turns.get(component) ?? [],
      statuses: told.get(component) ?? [],
      hosts: live.filter((h) => h.components.includes(component)).map((h) => h.host),
    },
  ]);
  return new Map(views);
}

/** Hundreds of hosts tell; each entry is read once, however often others change. */
const KNOWN = new WeakMap<Entry, { readonly status: StatusValue | undefined }>();

function readOnce(entry: Entry): StatusValue | undefined {
  const known = KNOWN.get(entry) ?? { status: readStatus(entry) };
  KNOWN.set(entry, known);
  return known.status;
}

/** Tells what changed since it was told last. */
class Teller {
  readonly #input: FollowInput;
  readonly #told = new Map<string, string>();
  #connected = true;

  constructor(input: FollowInput) {
    this.#input = input;
  }

  tell(target: Target, { rollout, statuses }: FollowedView): void {
    const { component, generation } = target;
    if (rollout !== undefined && rollout.generation >= generation) {
      const { release, state, kind: way, reason: why = '' } = rollout;
      const event = { kind: 'rollout-changed', component, rollout: way, release, state, why } as const;
      this.#once(component, `${way} ${release} ${state} ${why}`, event);
    }
    for (const status of statuses) {
      const { host, phase, serving: release, why } = status;
      const settled = status.settled >= generation;
      const event = { kind: 'host-changed', component, host, phase, release, settled, why } as const;
      this.#once(`${component} ${host}`, `${phase} ${release} ${settled}`, event);
    }
    const here = new Set(statuses.map((s) => `${component} ${s.host}`));
    for (const place of [...this.#told.keys()]) {
      const [of, host] = place.split(' ');
      if (of !== component || host === undefined || here.has(place)) continue;
      this.#told.delete(place);
      this.#input.emit({ kind: 'host-gone', component, host });
    }
  }

  connection(trouble: string | undefined): void {
    const connected = trouble === undefined;
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#input.emit({ kind: 'cluster', component: '', connected, why: trouble ?? '' });
  }

  waiting(
    trouble: string | undefined,
    open: readonly Target[],
    views: ReadonlyMap<string, FollowedView>,
  ): void {
    const words = open.map((t) => stillOpen(t, views.get(t.component)).why);
    this.#input.progress(trouble === undefined ? words.join('; ') : `etcd is away: ${trouble}`);
  }

  #once(place: string, state: string, event: FleetEvent): void {
    if (this.#told.get(place) === state) return;
    this.#told.set(place, state);
    this.#input.emit(event);
  }
}
