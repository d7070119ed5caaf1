/**
 * A simulated Docker engine of one host: containers with a life of their own, and addresses that are given out again
 * at once, the lowest first. It knows why each container ended, so that it can be said what may be held against whom.
 */
import type { ContainerId } from '../../src/agent/plan/state.ts';
import { GantryError } from '../../src/errors.ts';
import type { Dice } from '../campaign/dice.ts';
import type { Schedule } from './schedule.ts';

/** What becomes of an image's containers: `late` never get ready, `exits` ends them before, `crashes` after. */
export type Fate = 'good' | 'late' | 'exits' | 'crashes';

export interface Image {
  readonly id: string;
  fate: Fate;
  readonly readyMs: number;
  /** SIGTERM does not end its containers. */
  readonly stubborn: boolean;
}

export type Ending = 'died' | 'stopped' | 'killed';

export interface SimContainer {
  readonly id: ContainerId;
  readonly component: string;
  readonly release: number;
  readonly image: Image;
  readonly createdAt: number;
  state: 'created' | 'running' | 'exited';
  address: string | undefined;
  startedAt: number | undefined;
  /** From when on its ready checks pass. */
  readyAt: number;
  /** Its health checks pass. */
  fit: boolean;
  /** From when on its own termination checks pass. */
  idleAt: number;
  endedAt: number | undefined;
  ending: Ending | undefined;
  signals: number;
  /** Whoever started it last saw to the tables then. */
  tablesSeenAt: number;
}

export interface EngineInput {
  readonly host: string;
  readonly schedule: Schedule;
  readonly dice: Dice;
  /** After anything happened to a container of the component. */
  readonly changed: (component: string) => void;
  /** Called right before it is gone, with how. */
  readonly onEnd: (container: SimContainer, how: Ending) => void;
  readonly onStart: (container: SimContainer) => void;
  readonly tell: (words: string) => void;
}

const STOP_MS = 800;

export class SimEngine {
  up = true;
  readonly containers = new Map<ContainerId, SimContainer>();
  readonly images = new Map<string, Image>();
  /** Images that containers get at their registry. */
  readonly registry = new Map<string, Image>();
  readonly foreign = new Set<ContainerId>();
  readonly #input: EngineInput;
  readonly #taken = new Map<string, ContainerId>();
  #made = 0;

  constructor(input: EngineInput) {
    this.#input = input;
    const image: Image = { id: 'foreign', fate: 'good', readyMs: 0, stubborn: false };
    const other = this.#put('', 0, image);
    this.foreign.add(other.id);
    this.start(other.id, 0);
  }

  /** Of the component, as they are now; every one that is ours without one. */
  list(component?: string): readonly SimContainer[] {
    const found: SimContainer[] = [];
    for (const c of this.containers.values()) {
      if (component === undefined ? c.component !== '' : c.component === component) found.push(c);
    }
    return found;
  }

  at(address: string): ContainerId | undefined {
    return this.#taken.get(address);
  }

  create(component: string, release: number, imageId: string): ContainerId {
    const image = this.images.get(imageId);
    if (image === undefined) throw new GantryError('image-not-found', `no image ${imageId}`);
    const c = this.#put(component, release, image);
    this.#input.changed(component);
    return c.id;
  }

  start(id: ContainerId, tablesSeenAt: number): void {
    const c = this.containers.get(id);
    if (c === undefined) throw new GantryError('container-gone', `no container ${id}`);
    if (c.state === 'running') return;
    const { schedule, dice } = this.#input;
    c.state = 'running';
    c.startedAt = schedule.now;
    c.tablesSeenAt = tablesSeenAt;
    c.endedAt = undefined;
    c.ending = undefined;
    c.address = this.#freeAddress(id);
    const { fate, readyMs } = c.image;
    const ready = Math.round(readyMs * (0.5 + dice.below(100) / 100));
    c.readyAt = fate === 'late' || fate === 'exits' ? Number.POSITIVE_INFINITY : schedule.now + ready;
    if (fate === 'exits') this.#diesIn(c, 50 + dice.below(2_000));
    if (fate === 'crashes') this.#diesIn(c, ready + 500 + dice.below(15_000));
    this.#input.onStart(c);
    this.#input.changed(c.component);
  }

  /** Answers in how many milliseconds it will have ended. */
  stop(id: ContainerId, timeoutMs: number): number {
    const c = this.containers.get(id);
    if (c === undefined || c.state !== 'running') return 0;
    const { schedule, dice } = this.#input;
    const ms = c.image.stubborn ? timeoutMs : dice.below(STOP_MS);
    const started = c.startedAt;
    schedule.after(ms, () => c.startedAt === started && this.end(c, 'stopped'));
    return ms;
  }

  kill(id: ContainerId): void {
    const c = this.containers.get(id);
    if (c !== undefined) this.end(c, 'killed');
  }

  removeStopped(id: ContainerId): void {
    const c = this.containers.get(id);
    if (c === undefined || c.state === 'running') return;
    this.containers.delete(id);
    this.#input.changed(c.component);
  }

  end(c: SimContainer, how: Ending): void {
    if (c.state !== 'running') return;
    this.#input.onEnd(c, how);
    if (c.address !== undefined) this.#taken.delete(c.address);
    c.state = 'exited';
    c.address = undefined;
    c.endedAt = this.#input.schedule.now;
    c.ending = how;
    this.#input.changed(c.component);
  }

  #diesIn(c: SimContainer, ms: number): void {
    const started = c.startedAt;
    this.#input.schedule.after(ms, () => {
      if (c.startedAt !== started || c.state !== 'running') return;
      if (c.image.fate !== 'exits' && c.image.fate !== 'crashes') return;
      this.#input.tell(`${c.id} exits by itself`);
      this.end(c, 'died');
    });
  }

  #put(component: string, release: number, image: Image): SimContainer {
    const { host, schedule, dice } = this.#input;
    const c: SimContainer = {
      ...{ id: `${host}${++this.#made}r${release}`, component, release, image },
      ...{ createdAt: schedule.now, state: 'created', address: undefined, startedAt: undefined },
      ...{ readyAt: Number.POSITIVE_INFINITY, fit: true, idleAt: dice.below(4_000) },
      ...{ endedAt: undefined, ending: undefined, signals: 0, tablesSeenAt: 0 },
    };
    this.containers.set(c.id, c);
    return c;
  }

  #freeAddress(id: ContainerId): string {
    for (let n = 2; ; n++) {
      const address = `172.17.0.${n}`;
      if (this.#taken.has(address)) continue;
      this.#taken.set(address, id);
      return address;
    }
  }
}
