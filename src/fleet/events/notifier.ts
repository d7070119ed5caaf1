/**
 * Tells whoever the project's `notify` names of what went wrong on this host, or was decided by it. What the config
 * says is asked when there is something to tell, once in a few seconds; while etcd is away what it said last holds, and
 * before it ever said anything it is waited for. Nothing here holds up or fails who tells.
 */
import { randomUUID } from 'node:crypto';
import { type Posted, post } from '../../checks/webhook.ts';
import type { ProjectKeys } from '../../cluster/keys.ts';
import type { Store } from '../../cluster/store.ts';
import { type ConfigValue, readConfig } from '../../cluster/values.ts';
import type { Notify, Occasion } from '../../config/project.ts';
import { isGantryError, messageOf } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import { pause } from '../../poke.ts';
import { Deliveries } from './deliveries.ts';
import { keptValue } from './kept-events.ts';
import { drainsEndedBy, occasionOf } from './occasions.ts';

/** What the config said is good for so long: many things happen at once. */
const FRESH_MS = 1_000;
/** Between two tries to ask an etcd that is away. */
const AWAY_MS = 5_000;
/** No drain is called long before: whom to tell is not asked for all that are short. The least that the config takes. */
const SHORT_DRAIN_MS = 1_000;
/** What an agent that ends gives its last words. */
const LAST_MS = 3_000;
/** For what is under way to notice. */
const GIVEN_UP_MS = 500;
/** Drains that are watched; far more than a host has. */
const MAX_DRAINS = 5_000;
/** What waits to know who is to be told. */
const MAX_PENDING = 1_000;

export interface NotifierInput {
  readonly project: string;
  readonly host: string;
  readonly store: Store;
  readonly keys: ProjectKeys;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** The value of a secret of the project. Throws when it cannot be had. */
  readonly secret: (name: string) => Promise<Buffer>;
  /** Somebody was not told: why, as a sentence. */
  readonly onLost: (message: string) => void;
  /** For tests. */
  readonly againMs?: number;
}

type DrainStarted = Extract<AgentEvent, { kind: 'drain-started' }>;

interface Notice {
  readonly occasion: Occasion;
  readonly notify: Notify;
  readonly delivery: string;
  readonly body: string;
}

export class Notifier {
  readonly #input: NotifierInput;
  readonly #ended = new AbortController();
  readonly #byUrl = new Map<string, Deliveries<Notice>>();
  readonly #drains = new Map<string, readonly NodeJS.Timeout[]>();
  readonly #pending = new Set<Promise<void>>();
  #reading: Promise<void> | undefined;
  /** undefined: the config was never read. */
  #known: readonly Notify[] | undefined;
  /** When it is to be read again. */
  #staleAt = 0;
  #isLosing = false;

  constructor(input: NotifierInput) {
    this.#input = input;
  }

  /** Never throws and never waits. */
  add(event: AgentEvent): void {
    for (const container of drainsEndedBy(event)) this.#endDrain(container);
    const occasion = occasionOf(event);
    if (occasion !== undefined) this.#later(() => this.#tell(occasion, event));
    if (event.kind === 'drain-started') this.#watch(event);
  }

  /** What waits is sent, unless that takes long. Idempotent. */
  async close(): Promise<void> {
    for (const container of [...this.#drains.keys()]) this.#endDrain(container);
    const sent = Promise.all([...this.#pending]).then(() =>
      Promise.all([...this.#byUrl.values()].map((deliveries) => deliveries.idle())),
    );
    await Promise.race([sent, pause(LAST_MS, this.#ended.signal)]);
    this.#ended.abort();
    await Promise.race([sent, pause(GIVEN_UP_MS, new AbortController().signal)]);
  }

  #later(what: () => Promise<void>): void {
    if (this.#pending.size >= MAX_PENDING) {
      this.#lost(`more than ${MAX_PENDING} things wait to be told`);
      return;
    }
    const doing: Promise<void> = what()
      .then(() => {
        this.#isLosing = false;
      })
      .catch((error: unknown) => this.#lost(messageOf(error)))
      .finally(() => this.#pending.delete(doing));
    this.#pending.add(doing);
  }

  #lost(why: string): void {
    if (!this.#isLosing) this.#input.onLost(`Nobody was told of something: ${why}`);
    this.#isLosing = true;
  }

  async #tell(occasion: Occasion, event: AgentEvent): Promise<void> {
    for (const notify of await this.#config())
      if (notify.on.includes(occasion)) this.#send(occasion, event, notify);
  }

  #send(occasion: Occasion, event: AgentEvent, notify: Notify, text?: string): void {
    const { project, host } = this.#input;
    const delivery = randomUUID();
    const kept = keptValue(event, host);
    const { at, component } = kept;
    const told = { on: occasion, id: delivery, at, project, component, host, text: text ?? kept.text };
    const body = JSON.stringify({ ...told, event: kept.event });
    this.#deliveriesTo(notify.url).add({ occasion, notify, delivery, body });
  }

  /** Until it ends; the container that drains is not asked, so an agent that starts anew does not know of it. */
  #watch(event: DrainStarted): void {
    const { container } = event;
    if (this.#drains.size >= MAX_DRAINS) return;
    this.#endDrain(container);
    const ask = () => this.#later(() => this.#timeDrain(event));
    this.#drains.set(container, [this.#whenOld(event, SHORT_DRAIN_MS, ask)]);
  }

  async #timeDrain(event: DrainStarted): Promise<void> {
    const asked = (await this.#config()).filter(({ on }) => on.includes('long-drain'));
    if (!this.#drains.has(event.container)) return;
    const timers = asked.map((notify) => this.#longDrain(event, notify));
    this.#drains.set(event.container, timers);
  }

  #longDrain(event: DrainStarted, notify: Notify): NodeJS.Timeout {
    const { drainLongerThanMs: longMs } = notify;
    const text = `Container ${event.container.slice(0, 12)} drains for longer than ${longMs / 1000} s`;
    return this.#whenOld(event, longMs, () => this.#send('long-drain', event, notify, text));
  }

  #whenOld({ at }: DrainStarted, oldMs: number, then: () => void): NodeJS.Timeout {
    return setTimeout(then, Math.max(0, oldMs - (this.#input.now() - at))).unref();
  }

  #endDrain(container: string): void {
    for (const timer of this.#drains.get(container) ?? []) clearTimeout(timer);
    this.#drains.delete(container);
  }

  async #config(): Promise<readonly Notify[]> {
    await this.#refresh();
    while (this.#known === undefined && !this.#ended.signal.aborted) {
      await pause(this.#input.againMs ?? AWAY_MS, this.#ended.signal);
      await this.#refresh();
    }
    return this.#known ?? [];
  }

  /** Read once for all who ask meanwhile, or soon. */
  async #refresh(): Promise<void> {
    if (this.#reading === undefined && this.#input.now() < this.#staleAt) return;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(): Promise<void> {
    const { store, keys, project, now } = this.#input;
    try {
      const config = readConfig(await store.get(keys.config));
      this.#known = await notifyOf(config, project);
      this.#staleAt = now() + FRESH_MS;
    } catch (error) {
      // Away, or of a newer gantryd: what it said last.
      if (!isGantryError(error)) throw error;
      if (!error.retryable) this.#known ??= [];
      this.#staleAt = now() + AWAY_MS;
    }
  }

  #deliveriesTo(url: string): Deliveries<Notice> {
    const known = this.#byUrl.get(url);
    if (known !== undefined) return known;
    const { againMs } = this.#input;
    const made = new Deliveries<Notice>({
      send: (notice, signal) => this.#post(notice, signal),
      // Some addresses are secrets themselves: the host alone is named.
      onLost: (why) => this.#input.onLost(`${new URL(url).origin} was not told of something: ${why}`),
      signal: this.#ended.signal,
      ...(againMs === undefined ? {} : { againMs }),
    });
    this.#byUrl.set(url, made);
    return made;
  }

  async #post({ notify, occasion, delivery, body }: Notice, signal: AbortSignal): Promise<Posted> {
    let secret: Buffer | undefined;
    try {
      if (notify.secret !== undefined) secret = await this.#input.secret(notify.secret);
    } catch (error) {
      const again = isGantryError(error) && error.retryable;
      return { ok: false, again, why: `its secret cannot be had: ${messageOf(error)}` };
    }
    return post({ url: notify.url, body, event: occasion, delivery, secret }, signal);
  }
}

/** Most projects have none: what reads a whole config is not even loaded for them. */
async function notifyOf(config: ConfigValue | undefined, project: string): Promise<readonly Notify[]> {
  if (config?.file.notify === undefined) return [];
  const { projectOfStored } = await import('../../config/load.ts');
  return projectOfStored(config.file, project).notify;
}
