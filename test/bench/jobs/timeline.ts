/**
 * When each tick's run was made and claimed, and by whom. When: as told by whichever member of etcd said it first, each
 * watched by a client of its own, since some are killed; so it is written by then. By whom: as the agents told it.
 */
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { type RunValue, readRun } from '../../../src/cluster/job-values.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { Mirror } from '../../../src/cluster/store.ts';
import { type Agent, PROJECT } from '../../e2e/fleet.ts';
import { type Cleanup, until } from '../../ground/harness.ts';

const READY_MS = 20_000;
const CALL_TIMEOUT_MS = 20_000;

/** Epoch milliseconds, all by the clock of the one machine. */
export interface Story {
  /** Its record was seen. */
  readonly made?: number;
  /** It was seen in a host's hands: from here on that host starts its container. */
  readonly claimed?: number;
  /** `startedAt` of its record: what its host wrote into the claim, before it was committed. */
  readonly started?: number;
  readonly claimant?: string;
}

export class Timeline {
  readonly #stories = new Map<string, Story>();

  static async watch(t: Cleanup, endpoints: readonly string[]): Promise<Timeline> {
    const timeline = new Timeline();
    const { jobs } = keys().project(PROJECT);
    const mirrors = endpoints.map((endpoint): Mirror => {
      const store = openStore({ endpoints: [endpoint], callTimeoutMs: CALL_TIMEOUT_MS });
      t.after(() => store.close());
      const mirror = store.follow({
        range: jobs.runs(),
        onChange: (changed) => timeline.#note(mirror, changed),
      });
      return mirror;
    });
    const all = () => mirrors.every(({ current }) => current);
    await until(all, { timeoutMs: READY_MS, what: 'every member of etcd is watched' });
    return timeline;
  }

  of(run: string): Story {
    return this.#stories.get(run) ?? {};
  }

  #note(mirror: Mirror, changed: readonly string[] = [...mirror.entries.keys()]): void {
    const now = Date.now();
    for (const key of changed) {
      const run = readRun(mirror.entries.get(key));
      if (run !== undefined) this.#stories.set(run.id, further(this.of(run.id), run, now));
    }
  }
}

function further(known: Story, run: RunValue, now: number): Story {
  const made = { made: now, ...known };
  if (run.host === undefined || run.startedAt === undefined || known.claimed !== undefined) return made;
  return { ...made, claimed: now, started: Date.parse(run.startedAt), claimant: run.host };
}

/** Which host's agent made it, by run; one that was killed right after may not have told. */
export function firedBy(agents: readonly Agent[]): ReadonlyMap<string, string> {
  const told = agents.flatMap((agent) =>
    agent
      .events('schedule-ticked')
      .flatMap(({ run }) => (typeof run === 'string' ? [[run, agent.host.name] as const] : [])),
  );
  return new Map(told);
}
