/** What happens to a host without anybody asking, drawn from a menu. */
import type { SimHost } from './world.ts';

type Fault = (host: SimHost) => void;

const MENU: readonly (readonly [number, Fault])[] = [
  [10, containerDies],
  [5, containerTurns],
  [4, processIsKilled],
  [4, processIsStopped],
  [3, proxyIsKilled],
  [2, tableIsLost],
  [3, engineRestarts],
  [2, imageIsRemoved],
  [1, clockJumps],
];
const DRAWN = MENU.flatMap(([weight, fault]) => Array.from({ length: weight }, () => fault));

export function fault(host: SimHost): void {
  host.world.dice.of(DRAWN)(host);
}

export function containerDies(host: SimHost): void {
  const { world } = host;
  const running = host.engine.list().filter((c) => c.state === 'running');
  if (running.length === 0) return;
  const victim = world.dice.of(running);
  world.tell(`! ${victim.id} dies`);
  host.engine.end(victim, 'died');
}

function containerTurns(host: SimHost): void {
  const { world } = host;
  const running = host.engine.list().filter((c) => c.state === 'running');
  if (running.length === 0) return;
  const c = world.dice.of(running);
  c.fit = !c.fit;
  world.tell(`! ${c.id} turns ${c.fit ? 'well' : 'unhealthy'}`);
  for (const observer of host.observers) observer.flipped(c.id);
}

function processIsKilled(host: SimHost): void {
  if (host.lives.size > 0) host.crash(host.world.dice.of([...host.lives]));
}

function processIsStopped(host: SimHost): void {
  const { dice } = host.world;
  if (host.lives.size > 0) host.pause(dice.of([...host.lives]), dice.of([500, 5_000, 30_000]));
}

function proxyIsKilled(host: SimHost): void {
  const { world, proxy } = host;
  world.tell(`! the proxy of ${host.name} is killed`);
  proxy.crash();
  world.schedule.after(world.dice.below(900), () => {
    proxy.up = true;
    for (const c of host.components.keys()) host.changed(c);
  });
}

function tableIsLost(host: SimHost): void {
  host.world.tell(`! the proxy of ${host.name} loses its table`);
  host.proxy.crash();
  host.proxy.loseTable();
  host.proxy.up = true;
  for (const c of host.components.keys()) host.changed(c);
}

function engineRestarts(host: SimHost): void {
  const { world, engine } = host;
  if (!engine.up) return;
  const restores = world.dice.below(2) === 0;
  world.tell(`! dockerd of ${host.name} restarts ${restores ? 'and keeps' : 'without'} its containers`);
  engine.up = false;
  if (!restores) for (const c of engine.list()) engine.end(c, 'died');
  world.schedule.after(200 + world.dice.below(8_000), () => {
    engine.up = true;
    for (const c of host.components.keys()) host.changed(c);
  });
}

function imageIsRemoved(host: SimHost): void {
  const { world, engine } = host;
  if (engine.images.size === 0) return;
  const id = world.dice.of([...engine.images.keys()]);
  world.tell(`! ${id} is removed from ${host.name}`);
  engine.images.delete(id);
}

function clockJumps(host: SimHost): void {
  const { world } = host;
  const ms = world.dice.of([-3_600_000, -20_000, -2_000, 2_000, 20_000, 3_600_000]);
  world.tell(`! the clock of ${host.name} jumps by ${ms} ms`);
  host.clockOff += ms;
}

/** All of it is over: whoever runs is well, and so is what was made to go wrong. */
export function heal(host: SimHost): void {
  host.engine.up = true;
  host.proxy.up = true;
  for (const image of host.engine.registry.values()) {
    if (image.fate === 'crashes') image.fate = 'good';
    // Without ready checks nobody can tell one that never gets ready: but it runs.
    if (image.fate === 'exits') image.fate = 'late';
  }
  for (const c of host.engine.list()) {
    if (c.fit) continue;
    c.fit = true;
    for (const observer of host.observers) observer.flipped(c.id);
  }
  for (const life of host.lives) life.resume();
  for (const kept of host.components.values()) for (const poke of kept.pokes) poke();
}
