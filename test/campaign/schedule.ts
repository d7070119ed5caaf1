/**
 * What happens to a fleet, and when: drawn whole from a seed before anything begins, so that the same seed, minutes,
 * hosts and kinds give the same acts. Pure. Each lane has a clock and dice of its own; what its acts do is in deeds.ts.
 */
import { type Dice, diceOf } from './dice.ts';

/** One after the other within a lane, the lanes side by side; every host has a lane. */
type LaneKind = 'operators' | 'host' | 'etcd' | 'registry';

export type Way = 'exits' | 'never ready' | 'sick';

export type Deed =
  | { readonly kind: 'deploy'; readonly instances: number; readonly keepOld: number }
  | { readonly kind: 'deploy-bad'; readonly way: Way }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'pause'; readonly ms: number }
  | { readonly kind: 'pull' }
  | { readonly kind: 'cli-kill' | 'cli-stop'; readonly afterMs: number; readonly ms: number }
  | { readonly kind: 'proxy-upgrade'; readonly host: string }
  | { readonly kind: 'agent-kill' | 'agent-stop' | 'proxy-stop'; readonly host: string; readonly ms: number }
  | { readonly kind: 'proxy-kill' | 'break' | 'engine-restart' | 'secret-kill'; readonly host: string }
  | { readonly kind: 'crash'; readonly host: string; readonly times: number }
  | {
      readonly kind: 'freeze' | 'cut-off' | 'isolate' | 'disk-full';
      readonly host: string;
      readonly ms: number;
    }
  | { readonly kind: 'clock-jump'; readonly host: string; readonly byMs: number; readonly ms: number }
  | { readonly kind: 'etcd-kill' | 'etcd-stop'; readonly member: number; readonly ms: number }
  | { readonly kind: 'etcd-compact' }
  | { readonly kind: 'registry-shut' | 'registry-mute'; readonly ms: number };

export type Kind = Deed['kind'];

export interface Act {
  /** Milliseconds since the campaign began; it begins then, or when the one before it in its lane is over. */
  readonly at: number;
  readonly lane: string;
  readonly deed: Deed;
}

export interface Plan {
  readonly seed: number;
  readonly ms: number;
  readonly hosts: readonly string[];
  readonly members: number;
  /** Only faults of these kinds, and every operator; undefined: all but the secret ones. */
  readonly only?: readonly Kind[];
  /** The pause between two acts of the operators is between one and three times this; other lanes take longer. */
  readonly paceMs: number;
  /** No fault lasts longer; undefined: each as long as its kind does. */
  readonly longestMs?: number;
}

/** As many times the operators' pace: what falls on all hosts at once would leave them nothing to do. */
const PACES: { readonly [K in LaneKind]: number } = { operators: 1, host: 1.5, etcd: 3, registry: 3 };

interface Sort {
  readonly lane: LaneKind;
  /** How often in a round; 0: only when it is asked for by name. */
  readonly share: number;
  draw(dice: Dice, where: { readonly host: string; readonly members: number }): Deed;
}

const SECOND = 1_000;
const HOUR = 3_600_000;
/** A lease is 15 s: some faults are shorter, some longer. */
const AROUND_A_LEASE = [500, 500, 4 * SECOND, 4 * SECOND, 19 * SECOND] as const;

export const SORTS: { readonly [K in Kind]: Sort } = {
  deploy: {
    lane: 'operators',
    share: 4,
    draw: (dice) => ({ kind: 'deploy', instances: 2 + dice.below(2), keepOld: dice.of([0, 0, 5 * SECOND]) }),
  },
  'deploy-bad': {
    lane: 'operators',
    share: 3,
    draw: (dice) => ({ kind: 'deploy-bad', way: dice.of(['exits', 'never ready', 'sick'] as const) }),
  },
  rollback: { lane: 'operators', share: 1, draw: () => ({ kind: 'rollback' }) },
  pause: { lane: 'operators', share: 1, draw: (dice) => ({ kind: 'pause', ms: between(dice, 500, 4_000) }) },
  pull: { lane: 'operators', share: 2, draw: () => ({ kind: 'pull' }) },
  'cli-kill': { lane: 'operators', share: 1, draw: (dice) => command(dice, 'cli-kill') },
  'cli-stop': { lane: 'operators', share: 1, draw: (dice) => command(dice, 'cli-stop') },
  'proxy-upgrade': {
    lane: 'host',
    share: 2,
    draw: (_, { host }) => ({ kind: 'proxy-upgrade', host }),
  },
  'agent-kill': { lane: 'host', share: 2, draw: (dice, { host }) => away(dice, 'agent-kill', host) },
  'agent-stop': { lane: 'host', share: 2, draw: (dice, { host }) => away(dice, 'agent-stop', host) },
  'proxy-kill': { lane: 'host', share: 2, draw: (_, { host }) => ({ kind: 'proxy-kill', host }) },
  'proxy-stop': {
    lane: 'host',
    share: 1,
    draw: (dice, { host }) => ({ kind: 'proxy-stop', host, ms: between(dice, 200, 5_000) }),
  },
  'engine-restart': { lane: 'host', share: 2, draw: (_, { host }) => ({ kind: 'engine-restart', host }) },
  crash: {
    lane: 'host',
    share: 2,
    draw: (dice, { host }) => ({ kind: 'crash', host, times: 1 + dice.below(4) }),
  },
  'secret-kill': { lane: 'host', share: 0, draw: (_, { host }) => ({ kind: 'secret-kill', host }) },
  break: { lane: 'host', share: 1, draw: (_, { host }) => ({ kind: 'break', host }) },
  freeze: {
    lane: 'host',
    share: 1,
    draw: (dice, { host }) => ({ kind: 'freeze', host, ms: between(dice, 200, 3_000) }),
  },
  'cut-off': { lane: 'host', share: 1, draw: (dice, { host }) => away(dice, 'cut-off', host) },
  isolate: {
    lane: 'host',
    share: 1,
    draw: (dice, { host }) => ({ kind: 'isolate', host, ms: between(dice, 200, 3_000) }),
  },
  'disk-full': {
    lane: 'host',
    share: 1,
    draw: (dice, { host }) => ({ kind: 'disk-full', host, ms: between(dice, 1_000, 8_000) }),
  },
  'clock-jump': {
    lane: 'host',
    share: 1,
    draw: (dice, { host }) => ({
      ...{ kind: 'clock-jump', host },
      ...{ byMs: dice.of([-HOUR, -30 * SECOND, 30 * SECOND, HOUR]), ms: between(dice, 2_000, 10_000) },
    }),
  },
  'etcd-kill': { lane: 'etcd', share: 2, draw: (dice, { members }) => member(dice, 'etcd-kill', members) },
  'etcd-stop': { lane: 'etcd', share: 1, draw: (dice, { members }) => member(dice, 'etcd-stop', members) },
  'etcd-compact': { lane: 'etcd', share: 2, draw: () => ({ kind: 'etcd-compact' }) },
  'registry-shut': { lane: 'registry', share: 1, draw: (dice) => registry(dice, 'registry-shut') },
  'registry-mute': { lane: 'registry', share: 1, draw: (dice) => registry(dice, 'registry-mute') },
};

/** In the order of their times. */
export function scheduleOf(plan: Plan): readonly Act[] {
  const lanes: readonly (readonly [lane: string, kind: LaneKind, host: string])[] = [
    ['operators', 'operators', ''],
    ['etcd', 'etcd', ''],
    ['registry', 'registry', ''],
    ...plan.hosts.map((host) => [`host ${host}`, 'host', host] as const),
  ];
  const acts = lanes.flatMap(([lane, kind, host], n) => {
    return actsOf(lane, kind, host, plan, diceOf(plan.seed * 101 + n));
  });
  return acts.sort((a, b) => a.at - b.at);
}

/** A lane goes through all its kinds, as often as their shares say, before it begins anew. */
function actsOf(lane: string, kind: LaneKind, host: string, plan: Plan, dice: Dice): Act[] {
  const kinds = (Object.keys(SORTS) as Kind[]).filter((name) => SORTS[name].lane === kind);
  const round = kinds.flatMap((name) => Array<Kind>(shareOf(name, plan)).fill(name));
  const acts: Act[] = [];
  if (round.length === 0) return acts;
  let left: Kind[] = [];
  const paceMs = Math.round(plan.paceMs * PACES[kind]);
  for (let at = dice.below(paceMs); at < plan.ms; at += between(dice, paceMs, 3 * paceMs)) {
    if (left.length === 0) left = [...round];
    const [name] = left.splice(dice.below(left.length), 1);
    if (name === undefined) throw new Error(`no act is left for ${lane}`);
    acts.push({ at, lane, deed: bounded(SORTS[name].draw(dice, { host, ...plan }), plan.longestMs) });
  }
  return acts;
}

function bounded(deed: Deed, longestMs = Number.POSITIVE_INFINITY): Deed {
  return 'ms' in deed ? { ...deed, ms: Math.min(deed.ms, longestMs) } : deed;
}

function shareOf(kind: Kind, { only }: Plan): number {
  const { lane, share } = SORTS[kind];
  if (only === undefined || lane === 'operators') return share;
  return only.includes(kind) ? Math.max(share, 1) : 0;
}

export function described({ at, lane, deed }: Act): string {
  const { kind, ...more } = deed;
  const words = Object.entries(more)
    .filter(([name]) => name !== 'host')
    .map(([name, value]) => `${name} ${value}`);
  return `${(at / SECOND).toFixed(1)} ${lane}: ${[kind, ...words].join(' ')}`;
}

function between(dice: Dice, least: number, most: number): number {
  return least + dice.below(most - least);
}

function command(dice: Dice, kind: 'cli-kill' | 'cli-stop'): Deed {
  return { kind, afterMs: dice.below(4_000), ms: between(dice, 500, 5_000) };
}

function away(dice: Dice, kind: 'agent-kill' | 'agent-stop' | 'cut-off', host: string): Deed {
  return { kind, host, ms: dice.of(AROUND_A_LEASE) + dice.below(SECOND) };
}

function member(dice: Dice, kind: 'etcd-kill' | 'etcd-stop', members: number): Deed {
  return { kind, member: dice.below(members), ms: dice.of(AROUND_A_LEASE) };
}

function registry(dice: Dice, kind: 'registry-shut' | 'registry-mute'): Deed {
  return { kind, ms: between(dice, 1_000, 10_000) };
}
