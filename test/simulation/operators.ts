/**
 * What operators ask of a fleet, by the real decisions of src/fleet/intents/intents.ts and steer.ts: look, decide, and write if
 * nothing changed since. An answer may be lost; then nobody asks twice.
 */

import { keys as keysOf, lastPart } from '../../src/cluster/keys.ts';
import type { Write } from '../../src/cluster/store.ts';
import {
  type ReleaseValue,
  readOutcome,
  readRelease,
  readStatus,
  type ScaleValue,
  type StatusValue,
} from '../../src/cluster/values.ts';
import type { Component } from '../../src/config/project.ts';
import { isGantryError } from '../../src/errors.ts';
import { rollbackStep, statusStep, updateStep } from '../../src/fleet/intents/intents.ts';
import { type ComponentLook, type Fleet, projectLook } from '../../src/fleet/intents/look.ts';
import { paused, resumed } from '../../src/fleet/intents/steer.ts';
import type { Step } from '../../src/fleet/intents/transact.ts';
import { rollbackTo } from '../../src/fleet/releases.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import type { Image, SimContainer } from './engine.ts';
import type { SimEtcd } from './etcd.ts';
import { KEYS } from './fleet-agent.ts';
import { type Proc, pause, type Task } from './schedule.ts';
import { PROJECT } from './shop.ts';
import type { SimHost } from './world.ts';

const TRIES = 20;

type Ask = Pick<Step, 'conditions' | 'writes'> | undefined;

export class Operators {
  readonly #desk: SimHost;
  readonly #etcd: SimEtcd;
  readonly #name: string;
  #asked = 0;
  /** The highest number that was given out: a real command asks the hosts for it. */
  #scaled = 0;
  /** Of the command that was given last. */
  task: Task | undefined;

  constructor(desk: SimHost, etcd: SimEtcd, component: string) {
    this.#desk = desk;
    this.#etcd = etcd;
    this.#name = component;
    etcd.commit([], [{ kind: 'put', key: KEYS.config, value: '{"format":1}' }]);
  }

  update(component: Component, image: Image): void {
    const id = `command ${++this.#asked}`;
    this.#ask(`update (${image.fate}, ${component.instances}, ${component.update.order})`, (look) => {
      const config = this.#etcd.get(KEYS.config);
      const project = { name: PROJECT, components: [component], limits: DEFAULT_LIMITS, notify: [] };
      const held = { value: undefined, modRevision: config?.modRevision ?? 0 };
      return updateStep({
        ...{ fleet: this.#fleet(), asked: this.#by(), id, component, at: look, after: [], lost: undefined },
        look: { ...this.#project(), config: held, project },
        image: { name: component.image, id: image.id, digests: [] },
      });
    });
  }

  rollback(): void {
    const id = `command ${++this.#asked}`;
    this.#ask('rollback', (look) => {
      const to = rollbackTo(look, undefined);
      return to === undefined ? undefined : rollbackStep(this.#fleet(), this.#by(), id, look, to);
    });
  }

  end(status: 'stopped' | 'killed'): void {
    const id = `command ${++this.#asked}`;
    this.#ask(status, (look) => statusStep(this.#fleet(), { ...this.#by(), status }, id, look));
  }

  /** More or fewer of what there is, as src/fleet/scale/scale.ts writes it. */
  scale(instances: number): void {
    this.#ask(`scale to ${instances}`, ({ desired, releases, scale, rollout, statuses }) => {
      const spec = releases.get(desired.value?.release ?? 0)?.spec;
      if (spec === undefined || spec.update.order === 'stop-first') return undefined;
      const key = KEYS.scale(this.#name);
      const told = [...statuses.map((s) => s.size?.scale ?? 0), rollout.value?.ended?.number ?? 0];
      const number = Math.max(scale.value?.number ?? 0, this.#scaled, ...told) + 1;
      this.#scaled = number;
      const value: ScaleValue = { format: 1, instances, number, by: 'ann@desk', at: '' };
      return {
        conditions: [
          { key, modRevision: scale.modRevision },
          { key: KEYS.desired(this.#name), modRevision: desired.modRevision },
        ],
        writes: [{ kind: 'put', key, value: JSON.stringify(value) }],
      };
    });
  }

  steer(how: 'pause' | 'resume'): void {
    this.#ask(how, ({ rollout: { value, modRevision } }) => {
      if (value === undefined) return undefined;
      const next = how === 'pause' ? paused(value, 'ann@desk') : resumed(value);
      if (typeof next === 'string') return undefined;
      const key = KEYS.rollout(this.#name);
      return {
        conditions: [{ key, modRevision }],
        writes: [{ kind: 'put', key, value: JSON.stringify(next) }],
      };
    });
  }

  look(): ComponentLook {
    const project = this.#project();
    const none = { value: undefined, modRevision: 0 };
    const listed = <T>(
      range: Parameters<SimEtcd['list']>[0],
      read: (e: { value: string }) => T | undefined,
    ) =>
      new Map(
        this.#etcd
          .list(range)
          .map((e) => [Number(lastPart(e.key)), read(e)] as const)
          .sort(([a], [b]) => a - b),
      );
    return {
      name: this.#name,
      desired: project.desired.get(this.#name) ?? none,
      rollout: project.rollouts.get(this.#name) ?? none,
      scale: project.scales.get(this.#name) ?? none,
      releases: listed<ReleaseValue>(KEYS.releases(this.#name), readRelease),
      outcomes: listed(KEYS.outcomes(this.#name), readOutcome),
      statuses: this.statuses(),
    };
  }

  statuses(): readonly StatusValue[] {
    return this.#etcd.list(KEYS.statuses(this.#name)).flatMap((e) => readStatus(e) ?? []);
  }

  queue(): readonly SimContainer['id'][] {
    return this.#etcd.list(KEYS.turns(this.#name)).map((e) => lastPart(e.key));
  }

  #project() {
    return projectLook(keysOf(), PROJECT, this.#etcd.list(KEYS.followed()));
  }

  #fleet(): Fleet {
    return { store: undefined as unknown as Fleet['store'], keys: keysOf(), now: () => this.#desk.now() };
  }

  #by() {
    return { project: PROJECT, components: [this.#name], by: 'ann@desk' };
  }

  /** carryOut() of transact.ts */
  #ask(words: string, decide: (look: ComponentLook) => Ask): void {
    const life = this.#desk.begin(`operator: ${words}`);
    const ask = this.#carryOut(decide, words);
    this.task = life.fork(ask(life)) as Task;
    this.task.whenDone(() => this.#desk.ended(life));
  }

  #carryOut(decide: (look: ComponentLook) => Ask, words: string) {
    const { world } = this.#desk;
    const desk = this.#desk;
    const self = this;
    return function* (life: Parameters<typeof world.effect>[0]): Proc {
      for (let tries = 0; tries < TRIES; tries++) {
        try {
          const look = yield* world.effect(life, desk, { on: 'etcd', run: () => self.look() });
          const step = decide(look);
          if (step === undefined || step.writes.length === 0)
            return world.tell(`operator: ${words}: nothing to do`);
          if (yield* self.#commit(life, step, words)) return;
        } catch (error) {
          if (!isGantryError(error)) throw error;
          return world.tell(`operator: ${words}: ${error.code}`);
        }
        yield* pause(world.schedule, world.dice.below(20 * (tries + 1)));
      }
    };
  }

  *#commit(
    life: Parameters<SimHost['world']['effect']>[0],
    { conditions, writes }: { readonly conditions: Step['conditions']; readonly writes: readonly Write[] },
    words: string,
  ): Proc<boolean> {
    const run = () => this.#etcd.commit(conditions, writes);
    return yield* this.#desk.world.effect(life, this.#desk, { on: 'etcd', words, run });
  }
}
