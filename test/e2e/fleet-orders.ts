/**
 * What the commands of a fleet ask of it, asked by the test's own process with the very functions that the commands
 * call: for whoever needs a release to begin with, and tries the commands elsewhere. A command is a Node that starts.
 */
import { userInfo } from 'node:os';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import { keys } from '../../src/cluster/keys.ts';
import { loadForStore } from '../../src/config/load.ts';
import { openEngine } from '../../src/docker/dockerode.ts';
import { resolveImage } from '../../src/fleet/images.ts';
import { type Updated, update } from '../../src/fleet/intents/intents.ts';
import type { Fleet } from '../../src/fleet/intents/look.ts';
import { setConfig } from '../../src/fleet/intents/stored-config.ts';
import { follow } from '../../src/fleet/reports/follow.ts';
import { waitFailure } from '../../src/fleet/reports/wait-failure.ts';
import type { Host } from '../ground/hosts.ts';

/** From which host, by which etcd, about which project. */
export interface From {
  readonly host: Host;
  readonly endpoints: readonly string[];
  readonly project: string;
}

/** As `setconfig`. */
export function storeConfig(from: From, file: string): Promise<boolean> {
  const { project } = from;
  return withFleet(from, async (fleet) =>
    setConfig(fleet, { project, file: await loadForStore(file, project), by: whoAsks(from) }),
  );
}

/** As `update --wait`: answers when every host serves it; throws what the command would tell. */
export function rollOut(from: From, timeoutMs: number): Promise<void> {
  return withFleet(from, async (fleet) => {
    const signal = AbortSignal.timeout(2 * timeoutMs); // `follow` ends first, and tells how far it came
    const changes = await released(fleet, from, signal);
    const targets = changes.map(({ component, release, generation }) => ({
      ...{ component, release, generation },
      status: 'ready' as const,
    }));
    const { project } = from;
    const silent = { emit: () => undefined, progress: () => undefined };
    const endings = await follow(fleet, { project, targets, timeoutMs, ...silent }, signal);
    const failure = waitFailure(endings ?? [], project);
    if (failure !== undefined) throw failure;
  });
}

async function released(fleet: Fleet, from: From, signal: AbortSignal): Promise<readonly Updated[]> {
  const engine = openEngine({ address: from.host.docker });
  const options = { engine, pull: false, tell: () => undefined, signal };
  const asked = { project: from.project, components: [], by: whoAsks(from) };
  try {
    const made = await update(fleet, { ...asked, resolve: (component) => resolveImage(component, options) });
    return made.changes;
  } finally {
    engine.close();
  }
}

async function withFleet<T>({ endpoints }: From, body: (fleet: Fleet) => Promise<T>): Promise<T> {
  const store = openStore({ endpoints });
  try {
    return await body({ store, keys: keys('/gantryd'), now: Date.now });
  } finally {
    await store.close();
  }
}

function whoAsks({ host }: From): string {
  return `${userInfo().username}@${host.name}`;
}
