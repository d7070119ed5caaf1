/**
 * A simulated proxy of one host: the owner's table, swapped whole and only at the revision it was read at, and the
 * clients' connections, each to whoever has the address it was led to. Its tables are on disk before a put answers.
 */
import type { ContainerId } from '../../src/agent/plan/state.ts';
import { GantryError } from '../../src/errors.ts';
import { EMPTY_TABLE, type Route, type RouteTable, routeOf } from '../../src/proxy/tables/routes.ts';

export class SimProxy {
  up = true;
  table: RouteTable = EMPTY_TABLE;
  revision = 0;
  /** By container: when each was opened. */
  readonly open = new Map<ContainerId, number[]>();
  #last = 0;

  put(ifRevision: number, table: RouteTable): void {
    if (ifRevision !== this.revision) throw new GantryError('route-conflict', 'the table is another one');
    this.table = table;
    this.revision = table.routes.length === 0 ? 0 : ++this.#last;
  }

  route(component: string): Route | undefined {
    return routeOf(this.table, component);
  }

  count(id: ContainerId): number {
    return this.open.get(id)?.length ?? 0;
  }

  connect(id: ContainerId, now: number): void {
    const open = this.open.get(id);
    if (open === undefined) this.open.set(id, [now]);
    else open.push(now);
  }

  /** The one that was opened first. */
  disconnect(id: ContainerId): void {
    const open = this.open.get(id);
    open?.shift();
    if (open?.length === 0) this.open.delete(id);
  }

  /** SIGKILL: what it carried is lost with it, and nothing else. */
  crash(): void {
    this.up = false;
    this.open.clear();
  }

  loseTable(): void {
    this.table = EMPTY_TABLE;
    this.revision = 0;
  }
}
