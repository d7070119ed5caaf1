/** Sections `http`, `tcp` and `kernel`: every load through every front that it can go through, in turns. */

import { measureFixed } from './fixed.mjs';
import { direct, HTTP_FRONTS, startFronts, TCP_FRONTS } from './fronts.mjs';
import { openGround, PROXY_CPU } from './ground.mjs';
import { KEPT, LOADS, measureRuns, NEW } from './load.mjs';
import { DIRECT, NFT, OURS } from './names.mjs';

/** For who asks what the container's core of its own brings. */
export const SHARED = ', container on the core of the load';

/** Clients are on another machine. At a fixed rate fewer seconds are enough: each has a thousand requests and more. */
export function measureHttp(ends, options) {
  return measureFronts(ends, HTTP_FRONTS, options, {
    runsOf: (fronts) => eachLoad(LOADS, fronts, 'remote'),
    fixed: [{ place: 'remote', share: 0.5 }],
  });
}

/** Direct and kernel once more with the container where it is behind a proxy. */
export function measureTcp(ends, options) {
  return measureFronts(ends, [...TCP_FRONTS, NFT], options, {
    runsOf: (fronts) => [
      ...eachLoad(LOADS.slice(0, 1), [...fronts, ...shared(fronts)], 'remote'),
      ...eachLoad(LOADS.slice(1), fronts, 'remote'),
    ],
    fixed: [{ place: 'remote', share: 0.5 }],
  });
}

/** Beside nothing, from another machine and from this host. No proxy has the other core: the container has it. */
export function measureKernel(ends, options) {
  return measureFronts(ends, [OURS.kernel], options, {
    runsOf: (fronts) => ['remote', 'loopback'].flatMap((place) => eachLoad([KEPT, NEW], fronts, place)),
    fixed: ['remote', 'loopback'].map((place) => ({ place, share: 1.5, cpu: PROXY_CPU })),
  });
}

async function measureFronts(ends, names, { rounds, seconds, say }, { runsOf, fixed }) {
  const ground = await openGround(ends);
  const container = await ground.container('web');
  const echo = await ground.echo(container);
  ground.backends = [container.pid, echo.pid];
  const failures = [];
  const fronts = await startFronts(ground, ends, names, container, (name, { message }) => {
    failures.push(`${name} did not start: ${message.trim().split('\n').slice(-2).join(' ')}`);
    say(failures.at(-1));
  });
  const all = [direct(container), ...fronts];
  const runs = await measureRuns(ground, runsOf(all), { rounds, seconds, say });
  const atRate = [];
  for (const { place, share, cpu } of fixed)
    atRate.push(await measureFixed(ground, all, place, { counted: rounds * seconds * share, cpu, say }));
  const notes = [...ground.notes, ...failures];
  return { rounds, seconds, pinned: ground.pinned, notes, runs, fixed: atRate };
}

function eachLoad(loads, fronts, place) {
  return loads.flatMap((load) => fronts.map((front) => ({ load, front, place })));
}

function shared(fronts) {
  return fronts
    .filter(({ name }) => name === DIRECT || name === OURS.kernel)
    .map((front) => ({ ...front, name: `${front.name}${SHARED}`, backendCpu: undefined }));
}
