/** Clients of a host: each goes to whoever has the address the table names, and stays for a while. */
import type { ContainerId } from '../../src/agent/plan/state.ts';
import type { SimHost } from './world.ts';

const EVERY_MS = 1_000;
/** Open at a time on one container. */
const MOST = 4;

/** They come for as long as the host exists. */
export function begin(host: SimHost): void {
  const { schedule, dice } = host.world;
  const tick = () => {
    if (host.proxy.up) come(host);
    go(host);
    schedule.after(EVERY_MS / 2 + dice.below(EVERY_MS), tick);
  };
  tick();
}

function come(host: SimHost): void {
  const { dice, promises, now } = host.world;
  for (const { component, backends } of host.proxy.table.routes) {
    if (backends.length === 0 || dice.below(3) === 0) continue;
    const { id, host: address } = dice.of(backends);
    const there = host.engine.at(address);
    if (there !== id) continue; // nobody, or one that took the address of one that died just before
    promises.onConnect(host, component, id);
    if (host.proxy.count(id) < MOST) host.proxy.connect(id, now);
  }
}

/** Most are short; with one in eight a container is left with somebody who stays. */
function go(host: SimHost): void {
  const { dice, calm } = host.world;
  for (const [id, open] of [...host.proxy.open]) {
    const last = open.length === 1;
    if (!calm && dice.below(last ? 8 : 3) > 0) continue;
    host.proxy.disconnect(id);
    if (last) tellGone(host, id);
  }
}

function tellGone(host: SimHost, id: ContainerId): void {
  const component = host.engine.containers.get(id)?.component;
  if (component !== undefined) host.changed(component);
}
