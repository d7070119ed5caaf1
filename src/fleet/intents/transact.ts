/**
 * How a command writes what it asks: look, decide, write all at once if nothing changed since the look, else look
 * again. What does not fit into one transaction goes in several, in the order given. An answer that was lost is no
 * reason to ask twice: the next look tells whether the write happened.
 */
import { apart, lookAfterLoss, TRIES, tried } from '../../cluster/asking.ts';
import type { Condition, Write } from '../../cluster/store.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import type { Fleet } from './look.ts';

/** What a command does to one component, or found done. */
export interface Change {
  readonly component: string;
  readonly release: number;
  readonly generation: number;
  /** False: it was so already. */
  readonly changed: boolean;
}

export interface Step<T extends Change = Change> {
  readonly result: T;
  readonly conditions: readonly Condition[];
  /** []: nothing is to be done for this component, or it has been done. */
  readonly writes: readonly Write[];
}

/**
 * The steps that are left, in their order, from a new look. `done` is what this command has written so far, `lost`
 * what it tried to write without hearing whether it was.
 */
export type Look<T extends Change> = (
  done: ReadonlyMap<string, T>,
  lost: ReadonlyMap<string, T>,
) => Promise<readonly Step<T>[]>;

/** etcd's own limits are 128 operations and 1.5 MiB a request (--max-txn-ops, --max-request-bytes). */
export const MAX_OPERATIONS = 120;
export const MAX_BYTES = 1_200_000;

/** All changes, in the order of the first look. Throws with what was done before, when some was. */
export async function carryOut<T extends Change>(fleet: Fleet, look: Look<T>): Promise<readonly T[]> {
  const done = new Map<string, T>();
  const order = new Set<string>();
  const noting: Look<T> = async (...known) => {
    const steps = await look(...known);
    for (const { result } of steps) order.add(result.component);
    return steps;
  };
  try {
    await untilDone(fleet, noting, done);
  } catch (error) {
    throw [...done.values()].some((d) => d.changed) ? withDone(error, done) : error;
  }
  return [...order].flatMap((name) => done.get(name) ?? []);
}

async function untilDone<T extends Change>(fleet: Fleet, look: Look<T>, done: Map<string, T>): Promise<void> {
  let lost: ReadonlyMap<string, T> = new Map();
  for (let tries = 0; tries < TRIES; tries++) {
    const steps =
      lost.size === 0 ? await look(done, lost) : await lookAfterLoss(() => look(done, lost), unknownWhether);
    for (const { result, writes } of steps) if (writes.length === 0) done.set(result.component, result);
    const left = steps.filter((s) => s.writes.length > 0);
    const batch = fitting(left);
    const answer =
      batch.length === 0 ? 'written' : await tried(fleet.store, conditionsOf(batch), writesOf(batch));
    const asked = new Map(batch.map(({ result }) => [result.component, result]));
    if (answer === 'refused') await apart(tries);
    else if (answer !== 'written') lost = asked;
    if (answer !== 'written') continue;
    for (const [name, result] of asked) done.set(name, result);
    if (batch.length === left.length) return;
    lost = new Map();
    tries = -1;
  }
  throw new GantryError('superseded', 'Others changed the same components again and again meanwhile', {
    hint: 'Look with `gantryd list`, then run the command again.',
    retryable: true,
  });
}

function unknownWhether(error: GantryError): GantryError {
  const message = `etcd went away while it was written to: ${error.message}`;
  return new GantryError('cluster-unreachable', message, {
    hint: 'It may have been written or not; `gantryd list` tells, once etcd answers. The same command may be given again.',
    retryable: true,
    cause: error,
  });
}

/** The first steps that fit into one transaction; always one. */
function fitting<T extends Change>(steps: readonly Step<T>[]): readonly Step<T>[] {
  let batch: Step<T>[] = [];
  for (const step of steps) {
    const next = [...batch, step];
    const operations = Math.max(conditionsOf(next).length, writesOf(next).length);
    const bytes = writesOf(next).reduce((sum, w) => sum + sizeOf(w), 0);
    if (batch.length > 0 && (operations > MAX_OPERATIONS || bytes > MAX_BYTES)) break;
    batch = next;
  }
  return batch;
}

function sizeOf(write: Write): number {
  return Buffer.byteLength(write.key) + (write.kind === 'put' ? Buffer.byteLength(write.value) : 0);
}

/** Several steps may hang on one key, as the config. */
function conditionsOf(steps: readonly Step[]): readonly Condition[] {
  return [...new Map(steps.flatMap((s) => s.conditions).map((c) => [c.key, c])).values()];
}

function writesOf(steps: readonly Step[]): readonly Write[] {
  return steps.flatMap((s) => s.writes);
}

function withDone(error: unknown, done: ReadonlyMap<string, Change>): unknown {
  if (!isGantryError(error)) return error;
  const names = [...done.values()].filter((d) => d.changed).map((d) => d.component);
  const { code, message, hint, retryable } = error;
  const whole = `${hint === undefined ? '' : `${hint} `}Done before it: ${names.join(', ')}.`;
  return new GantryError(code, message, { hint: whole, retryable, cause: error });
}
