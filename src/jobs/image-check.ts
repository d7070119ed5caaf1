/**
 * Looks once whether the images of a new schedule can be had, and writes what is wrong where `cron get` shows it: a bad
 * image is to be known when the schedule is pushed, not at night. One host looks for all; it has the images then.
 */

import type { ScheduleValue } from '../cluster/job-values.ts';
import type { Step } from '../config/job.ts';
import { isGantryError } from '../errors.ts';
import type { Seen } from './jobs-view.ts';
import type { Presence } from './presence.ts';
import { canRunOn } from './runs.ts';
import { spread } from './spread.ts';
import type { Surroundings } from './surroundings.ts';

const LOOK_MS = 5_000;
/** What was wrong may have been put right. */
const AGAIN_MS = 10 * 60_000;
/** A network or registry that is away may be back. */
const SOON_MS = 60_000;

interface Trouble {
  readonly why: string;
  /** By itself, perhaps. */
  readonly passes: boolean;
}

export class ImageCheck {
  readonly #around: Surroundings;
  readonly #presence: Presence;
  readonly #signal: AbortSignal;
  /** Schedules whose trouble may pass by itself. */
  readonly #passing = new Set<string>();

  constructor(around: Surroundings, presence: Presence, signal: AbortSignal) {
    this.#around = around;
    this.#presence = presence;
    this.#signal = signal;
  }

  async look(): Promise<number> {
    const { mirror, view } = this.#around;
    if (!mirror.current || this.#presence.isTaken) return LOOK_MS;
    for (const schedule of view.schedules.values()) {
      if (this.#signal.aborted) break;
      if (this.#isDue(schedule.value) && this.#isOurs(schedule.value)) await this.#check(schedule);
    }
    return LOOK_MS;
  }

  #isDue({ schedule, checked, trouble }: ScheduleValue): boolean {
    if (checked === undefined) return trouble === undefined;
    const againMs = this.#passing.has(schedule.name) ? SOON_MS : AGAIN_MS;
    return trouble !== undefined && this.#around.clock.wall() - Date.parse(checked.at) > againMs;
  }

  /** Of the hosts that may run it, the first by a hash; when that one is lost another one is. */
  #isOurs({ schedule }: ScheduleValue): boolean {
    const own = this.#presence.executor;
    const order = (host: string) => spread(schedule.name, host);
    if (canRunOn(schedule, own) !== undefined) return false;
    const able = this.#presence.others().filter(({ executor }) => canRunOn(schedule, executor) === undefined);
    return able.every(({ executor }) => order(executor.host) > order(own.host));
  }

  async #check(schedule: Seen<ScheduleValue>): Promise<void> {
    const { name, job } = schedule.value.schedule;
    const trouble = await this.#trouble(job.steps);
    if (trouble === 'unknown' || this.#signal.aborted) return;
    if (trouble?.passes === true) this.#passing.add(name);
    else this.#passing.delete(name);
    await this.#write(schedule, trouble?.why);
  }

  /** undefined: all images can be had. unknown: it cannot be told without the engine. */
  async #trouble(steps: readonly Step[]): Promise<Trouble | 'unknown' | undefined> {
    for (const step of steps) {
      try {
        await this.#have(step);
      } catch (error) {
        if (!isGantryError(error)) throw error;
        if (isOfEngine(error.code)) {
          this.#around.tellTrouble(error);
          return 'unknown';
        }
        return { why: `The image ${step.image} cannot be had: ${error.message}`, passes: error.retryable };
      }
    }
    return undefined;
  }

  async #have({ image, registryAuth }: Step): Promise<void> {
    const { engine, secrets } = this.#around.input;
    if ((await engine.image(image)) !== undefined) return;
    const options = { signal: this.#signal };
    if (registryAuth === undefined) await engine.pull(image, options);
    else if ('file' in registryAuth) await engine.pull(image, { ...options, authFile: registryAuth.file });
    else await engine.pullWith(image, await secrets.auth(registryAuth), options);
  }

  /** What is put right fires from now on, as when it is resumed. */
  async #write({ value, revision }: Seen<ScheduleValue>, trouble: string | undefined): Promise<void> {
    const { input, keys, clock, view } = this.#around;
    const { name } = value.schedule;
    const at = new Date(clock.wall()).toISOString();
    const { trouble: was, ...rest } = value;
    const found = {
      ...rest,
      ...(trouble === undefined ? {} : { trouble }),
      checked: { at, host: input.host },
    };
    const schedule = { key: keys.jobs.schedule(name), modRevision: revision };
    const cursorKey = keys.jobs.cursor(name);
    const cursor = view.cursors.get(name);
    const restarts = was !== undefined && trouble === undefined && cursor !== undefined;
    await input.store.commit(
      restarts ? [schedule, { key: cursorKey, modRevision: cursor.revision }] : [schedule],
      [
        { kind: 'put', key: schedule.key, value: JSON.stringify(found) },
        ...(restarts
          ? [{ kind: 'put', key: cursorKey, value: JSON.stringify({ format: 1, instant: at }) } as const]
          : []),
      ],
    );
  }
}

function isOfEngine(code: string): boolean {
  return code === 'engine-unreachable' || code === 'engine-timeout' || code === 'interrupted';
}
