/**
 * Section `workers`: gantryd's http and tcp with one process and with two that share the listeners. Nothing is pinned:
 * load, container and proxy share the cores as they do on a host.
 */
import { until } from '../fronts.mjs';
import { backendOf, routeOf, startGantryd } from './fronts.mjs';
import { openGround } from './ground.mjs';
import { KEPT, measureRuns, NEW } from './load.mjs';
import { OURS } from './names.mjs';

const COUNTS = [1, 2];
const FIRST_PORT = 8500;
const LOOPBACK = '127.0.0.1';
const START_MS = 10_000;
const LOADS = [
  { path: OURS.http, load: KEPT },
  { path: OURS.http, load: NEW },
  { path: OURS.tcp, load: KEPT },
].map(({ path, load }) => ({ path, load: { ...load, name: `${path}, ${load.name}` } }));

export async function measureWorkers(ends, { rounds, seconds, say }) {
  const ground = await openGround(ends, { spread: true });
  const container = await ground.container('web');
  ground.backends = [container.pid];
  const proxies = [];
  for (const count of COUNTS) proxies.push(await startWith(ground, ends, count, container));
  const runs = LOADS.flatMap(({ path, load }) =>
    proxies.map((proxy) => ({ load, front: proxy.front(path), place: 'loopback' })),
  );
  const { notes } = ground;
  return { rounds, seconds, notes, runs: await measureRuns(ground, runs, { rounds, seconds, say }) };
}

/** A proxy of its own for each number, on ports of its own. */
async function startWith(ground, ends, count, container) {
  const gantryd = await startGantryd(ground, ends, { workers: count });
  const ports = { [OURS.http]: FIRST_PORT + 2 * count, [OURS.tcp]: FIRST_PORT + 2 * count + 1 };
  const routes = Object.entries(ports).map(([path, port]) => routeOf(path, { port }, [backendOf(container)]));
  await gantryd.put(routes);
  let workers = [];
  const isComplete = async () => {
    workers = await gantryd.workers();
    return workers.length === count - 1;
  };
  if (!(await until(isComplete, START_MS))) throw new Error(`the proxy did not start ${count} workers`);
  const { pid } = gantryd;
  const front = (path) => ({
    ...{ name: `${count}`, port: ports[path], hostFor: () => LOOPBACK, isAlive: () => true },
    ...{ pid, workers, hasProcess: true },
  });
  return { front };
}
