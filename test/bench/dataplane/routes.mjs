/**
 * Section `routes`: what more routes and more backends cost on each of gantryd's paths. All routes listen, one of them
 * is asked; all backends are addresses of one container, so that its speed is the same.
 */
import { routeOf, startGantryd } from './fronts.mjs';
import { openGround, PROXY_CPU } from './ground.mjs';
import { KEPT, measureRuns, NEW, patient } from './load.mjs';
import { OURS } from './names.mjs';

/** A thousand of them are below those that connections take. */
const FIRST_PORT = 9_000;
const LOOPBACK = '127.0.0.1';
const ONE = { routes: 1, backends: 1 };
/** Each right before or after one route, beside which it is seen: the machine is not the same a minute later. */
const GROUPS = [
  [{ routes: 100, backends: 1 }, ONE, { routes: 1_000, backends: 1 }],
  [{ routes: 1, backends: 10 }, ONE, { routes: 1, backends: 50 }],
];
const MOST_BACKENDS = Math.max(...GROUPS.flat().map(({ backends }) => backends));

export async function measureRoutes(ends, { rounds, seconds, say }) {
  const ground = await openGround(ends);
  const container = await ground.container('web', { addresses: MOST_BACKENDS });
  ground.backends = [container.pid];
  const gantryd = await startGantryd(ground, ends);
  const patience = patient();
  const runs = [];
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`);
    for (const path of Object.values(OURS))
      for (const [at, group] of GROUPS.entries())
        for (const shape of group) {
          const { tookMs, failure } = await put(gantryd, path, shape, container);
          if (failure !== undefined) say(`${path}, ${shape.routes} routes: ${failure}`);
          const measured =
            failure === undefined
              ? await measureShape(ground, gantryd, path, shape, { seconds, say, patience })
              : [{ load: KEPT.name, failure }];
          const known = { ...shape, round: `${round}.${at}`, front: path, putMs: tookMs };
          runs.push(...measured.map((run) => ({ ...run, ...known })));
        }
  }
  const { pinned, notes } = ground;
  return { rounds, seconds, pinned, notes, runs };
}

/** Of each path by itself. Ids of backends are their routes' own. */
async function put(gantryd, path, { routes, backends }, { hosts, pid }) {
  const table = Array.from({ length: routes }, (_, r) =>
    routeOf(
      path,
      { port: FIRST_PORT + r },
      hosts.slice(0, backends).map((host, b) => ({ id: `r${r}-b${b}`, host, pid })),
    ),
  );
  try {
    return { tookMs: await gantryd.put(table) };
  } catch ({ message }) {
    return { failure: message };
  }
}

/** The last route: one that is found by looking at all of them would be found last. */
async function measureShape(ground, { pid }, path, { routes }, { seconds, say, patience }) {
  const front = {
    ...{ name: path, port: FIRST_PORT + routes - 1, hostFor: () => LOOPBACK, isAlive: () => true, pid },
    ...(path === OURS.kernel ? { backendCpu: PROXY_CPU } : { hasProcess: true }),
  };
  const loads = [KEPT, NEW].map((load) => ({ ...load, share: load.share / 2 }));
  const runs = loads.map((load) => ({ load, front, place: 'loopback' }));
  return measureRuns(ground, runs, { rounds: 1, seconds, say, patience, warmUp: false });
}
