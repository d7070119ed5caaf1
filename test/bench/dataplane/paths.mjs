/** Sections `http`, `tcp` and `kernel`: every load through every front that it can go through, in turns. */
import { direct, HTTP_FRONTS, startFronts, TCP_FRONTS } from './fronts.mjs';
import { openGround } from './ground.mjs';
import { FIXED, KEPT, LOADS, measureRuns, NEW } from './load.mjs';
import { DIRECT, OURS } from './names.mjs';

/** For who asks what the container's core of its own brings. */
export const SHARED = ', container on the core of the load';

/** Clients are on another machine. */
export function measureHttp(ends, options) {
  return measureFronts(ends, HTTP_FRONTS, options, (fronts) => eachLoad(LOADS, fronts, 'remote'));
}

/** Direct and kernel once more with the container where it is behind a proxy. */
export function measureTcp(ends, options) {
  return measureFronts(ends, TCP_FRONTS, options, (fronts) => [
    ...eachLoad(LOADS.slice(0, 1), [...fronts, ...shared(fronts)], 'remote'),
    ...eachLoad(LOADS.slice(1), fronts, 'remote'),
  ]);
}

/** Beside nothing, from another machine and from this host. */
export function measureKernel(ends, options) {
  return measureFronts(ends, [OURS.kernel], options, (fronts) =>
    ['remote', 'loopback'].flatMap((place) => eachLoad([KEPT, NEW, FIXED], fronts, place)),
  );
}

async function measureFronts(ends, names, { rounds, seconds, say }, runsOf) {
  const ground = await openGround(ends);
  const container = await ground.container('web');
  const echo = await ground.echo(container);
  ground.backends = [container.pid, echo.pid];
  const failures = [];
  const fronts = await startFronts(ground, ends, names, container, (name, { message }) => {
    failures.push(`${name} did not start: ${message.trim().split('\n').slice(-2).join(' ')}`);
    say(failures.at(-1));
  });
  const runs = runsOf([direct(container), ...fronts]);
  const measured = await measureRuns(ground, runs, { rounds, seconds, say });
  return { rounds, seconds, pinned: ground.pinned, notes: [...ground.notes, ...failures], runs: measured };
}

function eachLoad(loads, fronts, place) {
  return loads.flatMap((load) => fronts.map((front) => ({ load, front, place })));
}

function shared(fronts) {
  return fronts
    .filter(({ name }) => name === DIRECT || name === OURS.kernel)
    .map((front) => ({ ...front, name: `${front.name}${SHARED}`, backendCpu: undefined }));
}
