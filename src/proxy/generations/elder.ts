/**
 * One older generation or worker as the proxy that serves knows it: brought to the tables in force, and what it
 * carries. What is not known is taken for held: one that has not confirmed a table may still use every backend of the
 * last one.
 */
import { isGantryError } from '../../errors.ts';
import { isAbsent, type ProxyClient } from '../control/client.ts';
import { NO_COUNTS } from '../control/counts.ts';
import { backendKey } from '../control/merge.ts';
import type {
  BackendReport,
  GenerationReport,
  ListenerReport,
  OlderGeneration,
  OpenCount,
  OwnedTable,
  ProxyCounts,
} from '../control/protocol.ts';
import type { SavedTables } from '../tables/persist.ts';
import { EMPTY_TABLE, ledRoutes } from '../tables/routes.ts';

export type ElderState = 'follows' | 'silent' | 'gone';

export class Elder {
  readonly pid: number;
  readonly #client: ProxyClient;
  readonly #tables: () => SavedTables;
  readonly #elsewhere: (own: Elder) => readonly OpenCount[];
  /** joins: a worker that has not got its listening sockets yet. */
  role: 'older' | 'joins' | 'works' = 'older';
  #state: ElderState = 'follows';
  #report: GenerationReport | undefined;
  /** It may have these tables beside those that it has confirmed: they were sent, or it was never heard. */
  #unconfirmed: readonly BackendReport[];
  #turn: Promise<unknown> = Promise.resolve();

  /** `elsewhere`: what others than it have open. */
  constructor(
    pid: number,
    client: ProxyClient,
    tables: () => SavedTables,
    elsewhere: (own: Elder) => readonly OpenCount[] = () => [],
  ) {
    this.pid = pid;
    this.#elsewhere = elsewhere;
    this.#client = client;
    this.#tables = tables;
    this.#unconfirmed = backendsOf(tables().owners);
  }

  get state(): ElderState {
    return this.#state;
  }

  /** It has confirmed each table in force. */
  get isCurrent(): boolean {
    return this.#state === 'follows' && this.#report !== undefined && this.#behind().length === 0;
  }

  get lastRevision(): number {
    return this.#report?.lastRevision ?? 0;
  }

  /** Brings it to the tables in force and learns its counts, one call at a time. `state` says how it went. */
  follow(): Promise<void> {
    const result = this.#turn.then(() => this.#follow());
    this.#turn = result;
    return result;
  }

  /** Its clients that wait for a backend, by owner. */
  get waiting(): Readonly<Record<string, number>> {
    return this.#report?.waiting ?? {};
  }

  /** As it told last. */
  get counts(): ProxyCounts {
    return this.#report?.counts ?? NO_COUNTS;
  }

  /** What others are to balance by. */
  get lasting(): readonly OpenCount[] {
    return this.#report?.lasting ?? this.#report?.backends ?? [];
  }

  get listeners(): readonly ListenerReport[] {
    return this.role === 'works' ? (this.#report?.listeners ?? []) : [];
  }

  get residentBytes(): number {
    return this.#report?.residentBytes ?? 0;
  }

  get cpuSeconds(): number {
    return this.#report?.cpuSeconds ?? 0;
  }

  /** What it holds or may hold, where `isRouted` says who gets new work from the proxy that serves. */
  backends(isRouted: (backend: BackendReport) => boolean): BackendReport[] {
    const reported = this.#report?.backends ?? [];
    const unconfirmed = new Map(this.#unconfirmed.map((backend) => [backendKey(backend), backend]));
    for (const backend of reported) {
      const mayUse = backend.routed || unconfirmed.has(backendKey(backend));
      unconfirmed.set(backendKey(backend), { ...backend, routed: mayUse });
    }
    return [...unconfirmed.values()].map((backend) => {
      const uncertain = backend.routed && (this.#state === 'silent' || !isRouted(backend));
      return uncertain && backend.open === 0 ? { ...backend, open: 1, inFlight: 1 } : backend;
    });
  }

  describe(): OlderGeneration {
    const { version = 'unknown', startedAt = '', connections = 0, backends = [] } = this.#report ?? {};
    const open = backends.reduce((sum, backend) => sum + backend.open, 0);
    const silent = this.#state === 'silent' ? { silent: true } : {};
    return { pid: this.pid, version, startedAt, connections, open, ...silent };
  }

  /** It ends with its last connection, or at once if forced. */
  async stop(force: boolean): Promise<void> {
    await this.#client.stop(force);
  }

  async #follow(): Promise<void> {
    try {
      // What it follows is not known before it has said so, nor after it was silent.
      if (this.#report === undefined || this.#state === 'silent') await this.#send([]);
      await this.#send(this.#behind());
      this.#state = 'follows';
    } catch (error) {
      if (!isGantryError(error)) throw error;
      this.#state = isAbsent(error) ? 'gone' : 'silent';
    }
  }

  async #send(owners: readonly OwnedTable[]): Promise<void> {
    this.#unconfirmed = [...this.#unconfirmed, ...backendsOf(owners)];
    const { lastRevision } = this.#tables();
    this.#report = await this.#client.follow({ lastRevision, owners, elsewhere: this.#elsewhere(this) });
    this.#unconfirmed = [];
  }

  #behind(): OwnedTable[] {
    const { owners } = this.#tables();
    const has = this.#report?.revisions ?? {};
    const wanted = new Set(owners.map(({ owner }) => owner));
    const gone = Object.keys(has).filter((owner) => !wanted.has(owner));
    return [
      ...owners.filter(({ owner, revision }) => has[owner] !== revision),
      ...gone.map((owner) => ({ owner, revision: 0, table: EMPTY_TABLE })),
    ];
  }
}

function backendsOf(owners: readonly OwnedTable[]): BackendReport[] {
  const nothing = { routed: true, open: 0, inFlight: 0, upgraded: 0, tcp: 0, oldestMs: 0, peers: [] };
  return owners.flatMap(({ owner, table }) =>
    ledRoutes(table).flatMap(({ leadsTo, backends }) =>
      backends.map(({ id }) => ({ ...nothing, owner, component: leadsTo, id })),
    ),
  );
}
