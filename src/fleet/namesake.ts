/**
 * Two machines must not have one name in the fleet: each would take the other's turns, shares and runs for its own. A copy
 * of a machine has the same name and the same state directory; what tells it apart is that its kernel was started by itself.
 */

import type { Entry } from '../cluster/store.ts';
import { type HostValue, readHost } from '../cluster/values.ts';
import { GantryError, isGantryError } from '../errors.ts';
import { pause } from '../poke.ts';

const LOOK_MS = 500;
/** A new leader of etcd lets each key live its whole time again, and the time that an election takes beyond it. */
const LIFETIMES = 2;

export interface Namesake {
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  /** Of this machine since it was started; undefined: it is not known. */
  readonly boot: string | undefined;
  /** What the one that has the name says of itself. */
  readonly there: () => Promise<Entry | undefined>;
  /** Epoch milliseconds, steady. */
  readonly now: () => number;
  /** How long the key of an agent outlives it. */
  readonly ttlMs: number;
}

/**
 * Throws host-taken while another machine has the name. One that may be this machine before it was started again is given
 * the time in which its key runs out.
 */
export async function refuseNamesake(input: Namesake, signal: AbortSignal): Promise<void> {
  const end = input.now() + LIFETIMES * input.ttlMs;
  while (!signal.aborted) {
    const there = await lookedUp(input);
    if (there === undefined || isThisMachine(there, input)) return;
    if (there.id !== input.hostId) throw taken(input, there, 'Give this host another name with --host-name.');
    if (input.now() >= end) throw taken(input, there, COPIED);
    await pause(LOOK_MS, signal);
  }
}

const COPIED =
  'Its state directory is a copy of the same one. On the copy: gantryd proxy stop, remove the containers that came along and the state directory, and give it another name.';

function isThisMachine(there: HostValue, { hostId, boot }: Namesake): boolean {
  return there.id === hostId && (there.boot === undefined || boot === undefined || there.boot === boot);
}

async function lookedUp({ there }: Namesake): Promise<HostValue | undefined> {
  try {
    return readHost(await there());
  } catch (error) {
    if (!isGantryError(error) || !error.retryable) throw error;
    return undefined; // away: what is known goes on
  }
}

function taken({ project, host }: Namesake, { address, since }: HostValue, hint: string): GantryError {
  const message = `Another machine runs project ${project} under the name ${host} (at ${address}, since ${since})`;
  return new GantryError('host-taken', message, { hint });
}
