/**
 * How long until an intent in etcd is acted on: one agent, a process of its own, on one member of etcd or three. Beside
 * it, for the same writes, a client that only watches: what etcd and the machine take however fast the agent is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import type { Mirror, Range, Store } from '../../../src/cluster/store.ts';
import { startingWith } from '../../../src/cluster/store.ts';
import { readRollout, readStatus } from '../../../src/cluster/values.ts';
import { type Cleanup, tempFolder, until } from '../../ground/harness.ts';
import { AgentsProcess, type Moment } from './agents-process.ts';
import { startBenchEtcd } from './etcd.ts';
import { type Asked, monotonicMs, Operator } from './operator.ts';

export interface LatencyRun {
  readonly members: 1 | 3;
  readonly intents: readonly Intent[];
}

/** Milliseconds since the write was sent. */
export interface Intent {
  readonly kind: 'update' | 'stop';
  readonly answered: number;
  /** The other client has it. */
  readonly watched: number;
  /** The agent told its first step. */
  readonly acted: number;
  /** A status or turn of the agent has changed in etcd, as a client that watches them sees. */
  readonly visible: number;
}

const COMPONENT = 'web';
const READY_MS = 20_000;
/** Between two intents, so that none meets what the one before it left to do, nor the same phase of any timer. */
const PAUSE_MS = 40;
const QUICK = {
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 0 },
} as const;

export async function measureLatency(t: Cleanup, members: 1 | 3, count: number): Promise<LatencyRun> {
  const { endpoints } = await startBenchEtcd(t, members);
  const agent = new AgentsProcess(t);
  const [store, watching] = [openStore({ endpoints }), openStore({ endpoints })];
  t.after(async () => {
    await Promise.all([store.close(), watching.close()]);
  });
  const operator = new Operator(store);
  await operator.deploy([COMPONENT]);
  const seen = await Watcher.on(watching, operator);
  await agent.order('run', { endpoints, names: ['one'], folder: await tempFolder(t), fullMoments: true });
  await settled(seen, { generation: 1 });
  const asked: (Asked & { readonly kind: Intent['kind'] })[] = [];
  for (let i = 0; i < count; i++) {
    const kind = i % 2 === 0 ? 'stop' : 'update';
    seen.forget();
    const intent = await (kind === 'stop' ? operator.stop(COMPONENT) : operator.update(COMPONENT, QUICK));
    asked.push({ kind, ...intent });
    await settled(seen, intent);
    seen.keep(intent.generation);
    await delay(PAUSE_MS * (0.5 + Math.random()));
  }
  const moments = await agent.order('moments', {});
  return { members, intents: asked.map((intent) => intentOf(intent, seen, moments)) };
}

function intentOf(
  { kind, generation, sentAt, answeredAt }: Asked & { kind: Intent['kind'] },
  seen: Watcher,
  moments: readonly Moment[],
): Intent {
  const acted = moments.find(([, , , at]) => at > sentAt)?.[3] ?? Number.NaN;
  const { watchedAt, visibleAt } = seen.of(generation);
  return {
    kind,
    answered: answeredAt - sentAt,
    watched: watchedAt - sentAt,
    acted: acted - sentAt,
    visible: visibleAt - sentAt,
  };
}

async function settled(seen: Watcher, { generation }: Pick<Asked, 'generation'>): Promise<void> {
  await until(() => seen.settled(generation), {
    timeoutMs: READY_MS,
    what: `change ${generation} to settle`,
  });
}

interface Seen {
  readonly watchedAt: number;
  readonly visibleAt: number;
}

/** When the first change of each kind was seen since the last intent. */
class Watcher {
  readonly #mirrors: { readonly wanted: Mirror; readonly statuses: Mirror };
  readonly #operator: Operator;
  #watchedAt = Number.NaN;
  #visibleAt = Number.NaN;
  readonly #kept = new Map<number, Seen>();

  static async on(store: Store, operator: Operator): Promise<Watcher> {
    const watcher = new Watcher(store, operator);
    const signal = AbortSignal.timeout(READY_MS);
    await Promise.all(Object.values(watcher.#mirrors).map((mirror) => mirror.listed(signal)));
    return watcher;
  }

  private constructor(store: Store, operator: Operator) {
    this.#operator = operator;
    const { keys } = operator;
    const follow = (range: Range, onChange: () => void) => store.follow({ range, onChange });
    const visible = () => {
      this.#visibleAt = first(this.#visibleAt);
    };
    follow(keys.turns(COMPONENT), visible);
    this.#mirrors = {
      wanted: follow({ ...startingWith(`${keys.desired(COMPONENT).replace(/desired$/, '')}`) }, () => {
        this.#watchedAt = first(this.#watchedAt);
      }),
      statuses: follow(keys.statuses(COMPONENT), visible),
    };
  }

  forget(): void {
    this.#watchedAt = Number.NaN;
    this.#visibleAt = Number.NaN;
  }

  keep(generation: number): void {
    this.#kept.set(generation, { watchedAt: this.#watchedAt, visibleAt: this.#visibleAt });
  }

  of(generation: number): Seen {
    return this.#kept.get(generation) ?? { watchedAt: Number.NaN, visibleAt: Number.NaN };
  }

  /** The agent is done with it, and so is the rollout. */
  settled(generation: number): boolean {
    const { keys } = this.#operator;
    const status = readStatus(this.#mirrors.statuses.entries.get(keys.status(COMPONENT, 'one')));
    const rollout = readRollout(this.#mirrors.wanted.entries.get(keys.rollout(COMPONENT)));
    const over = rollout?.generation !== generation || rollout.state === 'done';
    return status?.settled === generation && over;
  }
}

function first(at: number): number {
  return Number.isNaN(at) ? monotonicMs() : at;
}
