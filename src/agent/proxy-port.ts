/**
 * The agent's side of the proxy: starts it on demand, finds it again after a crash, and changes one
 * component's route in the owner's table without losing what another command wrote at the same time.
 */
import { GantryError, isGantryError } from '../errors.ts';
import { pause } from '../poke.ts';
import { ProxyClient } from '../proxy/control/client.ts';
import { type OwnedTable, PROTOCOL_VERSION, type ProxyStatus } from '../proxy/control/protocol.ts';
import { ensureProxy } from '../proxy/generations/launch.ts';
import { type ProxyLimits, type Route, withBackends, withRoute } from '../proxy/tables/routes.ts';

/** Tries against other commands that write the same owner's table at the same moment. */
const WRITE_TRIES = 20;
/** Between two tries to follow the proxy's changes. */
const WATCH_PAUSE_MS = 200;

export interface ProxyPort {
  status(owner: string): Promise<ProxyStatus>;
  /** Puts the component's route (undefined: none) into the owner's table. port-taken leaves all as it was. */
  setRoute(
    owner: string,
    component: string,
    route: Route | undefined,
    limits: ProxyLimits,
    options?: { readonly dryRun?: boolean },
  ): Promise<void>;
  /**
   * Takes every backend that `running` does not name out of the tables of all owners: its address is free, and
   * what starts next may get it and with it the requests. `running` is asked after the tables. What a link has of its
   * own is on other hosts and stays.
   */
  unrouteGone(running: () => Promise<ReadonlySet<string>>): Promise<void>;
  /** Calls `listener` when counts or tables may have changed, until aborted. */
  watch(owner: string, listener: () => void, signal: AbortSignal): void;
}

/** A port that starts the proxy of the state directory when none runs. */
export function proxyPort(stateDir: string): ProxyPort {
  // Tables as last seen: the first try of a write need not ask again. Its revision tells when they are old.
  const known = new Map<string, OwnedTable>();
  let client: Promise<ProxyClient> | undefined;
  const connected = () => {
    client ??= ensureProxy({ stateDir }).catch((error: unknown) => {
      client = undefined;
      throw error;
    });
    return client;
  };

  /** A proxy that went away between two calls is started again, once per call. */
  async function ask<T>(call: (proxy: ProxyClient) => Promise<T>): Promise<T> {
    try {
      return await call(await connected());
    } catch (error) {
      if (!isGantryError(error, 'proxy-unreachable')) throw error;
      client = undefined;
      return await call(await connected());
    }
  }

  async function setRoute(
    owner: string,
    component: string,
    route: Route | undefined,
    limits: ProxyLimits,
    options: { readonly dryRun?: boolean } = {},
  ): Promise<void> {
    for (let left = WRITE_TRIES; ; left--) {
      try {
        await ask(async (proxy) => {
          const { revision, table } = known.get(owner) ?? (await proxy.table(owner));
          known.delete(owner);
          const next = { ...withRoute(table, component, route), limits };
          await proxy.put(owner, { ifRevision: revision, table: next, dryRun: options.dryRun ?? false });
        });
        return;
      } catch (error) {
        if (!isGantryError(error, 'route-conflict') || left <= 1) throw error;
      }
    }
  }

  async function unrouteGone(running: () => Promise<ReadonlySet<string>>): Promise<void> {
    for (let left = WRITE_TRIES; ; left--) {
      try {
        const { owners } = await ask((proxy) => proxy.status());
        const ids = await running();
        for (const owned of owners) await keepOnly(owned, ids);
        return;
      } catch (error) {
        if (!isGantryError(error, 'route-conflict') || left <= 1) throw error;
      }
    }
  }

  async function keepOnly({ owner, revision, table }: OwnedTable, ids: ReadonlySet<string>): Promise<void> {
    const next = withBackends(table, (id) => ids.has(id));
    if (next === table) return;
    known.delete(owner);
    await ask((proxy) => proxy.put(owner, { ifRevision: revision, table: next }));
  }

  return {
    async status(owner) {
      const status = await ask((proxy) => proxy.status(owner));
      for (const owned of status.owners) known.set(owned.owner, owned);
      return status;
    },
    setRoute,
    unrouteGone,
    watch(owner, listener, signal) {
      watch(connected, owner, listener, signal).catch(() => listener());
    },
  };
}

/** Follows the proxy's changes, also over its restarts; each interruption is a poke too. */
async function watch(
  connected: () => Promise<ProxyClient>,
  owner: string,
  listener: () => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await (await connected()).changes(owner, listener, signal);
    } catch {
      // The loop's next call meets the same trouble and reports it.
      listener();
      await pause(WATCH_PAUSE_MS, signal);
    }
  }
}

/** A port that only looks: without a proxy it sees none of its tables and counts, and it starts none. */
export function passiveProxyPort(stateDir: string): ProxyPort {
  const proxy = new ProxyClient({ stateDir });
  return {
    async status(owner) {
      try {
        return await proxy.status(owner);
      } catch (error) {
        if (isGantryError(error, 'proxy-unreachable')) return NO_PROXY;
        throw error;
      }
    },
    setRoute: refuseChange,
    unrouteGone: refuseChange,
    watch() {},
  };
}

function refuseChange(): Promise<never> {
  return Promise.reject(new GantryError('internal', 'a look at the proxy must not change it'));
}

/** What a look at a host without a proxy sees. */
export const NO_PROXY: ProxyStatus = {
  protocol: PROTOCOL_VERSION,
  version: '',
  pid: 0,
  startedAt: '',
  owners: [],
  listeners: [],
  backends: [],
};
