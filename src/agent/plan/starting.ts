/** The way in: what brings a release's containers up, and what is waited for on the way. Pure. */

import { backoffWords } from '../backoff.ts';
import { type Action, type Plan, short } from './action.ts';
import { areMostDown, hasFailed, isHopeful, runsAlone } from './standing.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';

/** Brings the release's containers up: pull, create, start, and wait for what comes up. */
export function starting(
  desired: Desired,
  release: Release,
  observed: Observed,
  current: readonly ObservedContainer[],
): Plan {
  const { component } = desired;
  const hopeful = current.filter(isHopeful);
  const hasTrouble = observed.failures > 0 || current.some(hasFailed);
  const blocked = runsAlone(release) && isAnotherRunning(observed, hopeful);
  // The start of one whose time runs may be under way in another process: no other one is started in its place.
  const created = hopeful.filter((c) => c.state === 'created').sort((a, b) => a.readyBy - b.readyBy);
  const pending = hopeful.filter((c) => c.state === 'running' && c.readiness === 'pending');
  const missing = release.component.instances - hopeful.length;
  const ready = hopeful.length - created.length - pending.length;
  // A process that was killed in time may leave one more than there are to be, and the next look creates its own.
  const due = Math.max(0, release.component.instances - ready - pending.length);
  return [
    ...(blocked ? [] : created.slice(0, due)).map((c): Action => {
      return { kind: 'start-container', component, container: c.id, why: `created for release ${c.release}` };
    }),
    ...(missing > 0 ? creating(desired, release, observed, { ready, missing, blocked, hasTrouble }) : []),
    ...pending.map((c): Action => {
      return {
        kind: 'wait',
        component,
        for: 'ready',
        container: c.id,
        until: c.readyBy,
        why: `${short(c.id)} is not ready yet: ${c.saw}`,
      };
    }),
  ];
}

/** Of whatever release, and also one that is on its way out. */
function isAnotherRunning({ containers }: Observed, these: readonly ObservedContainer[]): boolean {
  return containers.some((c) => c.state === 'running' && !these.includes(c));
}

function creating(
  desired: Desired,
  release: Release,
  observed: Observed,
  {
    ready,
    missing,
    blocked,
    hasTrouble,
  }: {
    readonly ready: number;
    readonly missing: number;
    readonly blocked: boolean;
    readonly hasTrouble: boolean;
  },
): Plan {
  const { component } = desired;
  const { instances } = release.component;
  const down = instances - ready;
  // When most fail together: replace one, and see. What is only missing, since more are wanted, has not failed.
  const oneAtATime = release.proven && hasTrouble && areMostDown(down, instances);
  if (oneAtATime && missing < down) return [];
  if (observed.startAfter > observed.now) {
    const why = backoffWords(observed.failures, observed.startAfter - observed.now);
    return [{ kind: 'wait', component, for: 'backoff', until: observed.startAfter, why }];
  }
  if (!observed.imagePresent) {
    const { image, digest = image } = release;
    return [{ kind: 'pull-image', component, image: digest, why: 'this host does not have the image' }];
  }
  if (blocked) return [];
  const why = `${missing} of ${instances} missing${oneAtATime ? ', one at a time' : ''}`;
  const create: Action = { kind: 'create-container', component, release: release.number, why };
  return Array.from({ length: oneAtATime ? 1 : missing }, () => create);
}
