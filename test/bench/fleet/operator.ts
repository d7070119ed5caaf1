/** What an operator wants of the benchmark's fleet, written to etcd as the commands would, and timed. */
import { keys as keysOf, type ProjectKeys } from '../../../src/cluster/keys.ts';
import type { Store, Write } from '../../../src/cluster/store.ts';
import type { DesiredValue, ReleaseValue, RolloutValue } from '../../../src/cluster/values.ts';
import type { Component } from '../../../src/config/project.ts';
import { DEFAULT_LIMITS } from '../../../src/proxy/tables/routes.ts';
import { componentOf } from '../../docker/components.ts';

export const PROJECT = 'bench';
/** What simulated hosts have: release n is of the image with n's remainder. */
export const IMAGES = ['app:0', 'app:1'];

/** An intent on its way, by the machine's monotonic clock. */
export interface Asked {
  readonly generation: number;
  readonly release: number;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Common to all processes of the machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Operator {
  readonly keys: ProjectKeys = keysOf().project(PROJECT);
  readonly store: Store;
  readonly #known = new Map<string, { generation: number; release: number }>();

  constructor(store: Store) {
    this.store = store;
  }

  /** Components that were rolled out long ago, in their first release. */
  async deploy(names: readonly string[]): Promise<void> {
    const made = { format: 1, by: 'bench', at: now() } as const;
    const file = { components: names.map((name) => ({ name, repo: 'app' })) };
    await this.#write([put(this.keys.config, { ...made, project: PROJECT, file })]);
    for (const name of names) {
      this.#known.set(name, { generation: 1, release: 1 });
      await this.#write(this.#release(name, { generation: 1, release: 1 }, {}, 'done'));
    }
  }

  async update(name: string, over: Partial<Component> = {}): Promise<Asked> {
    const known = this.#known.get(name) ?? { generation: 0, release: 0 };
    const next = { generation: known.generation + 1, release: known.release + 1 };
    this.#known.set(name, next);
    return this.#timed(next, this.#release(name, next, over, 'preparing'));
  }

  async stop(name: string): Promise<Asked> {
    const { generation = 0, release = 0 } = this.#known.get(name) ?? {};
    const next = { generation: generation + 1, release };
    this.#known.set(name, next);
    const desired: DesiredValue = { format: 1, status: 'stopped', ...next, by: 'bench', at: now() };
    return this.#timed(next, [put(this.keys.desired(name), desired)]);
  }

  #release(
    name: string,
    { generation, release }: { generation: number; release: number },
    over: Partial<Component>,
    state: RolloutValue['state'],
  ): readonly Write[] {
    const made = { format: 1, by: 'bench', at: now() } as const;
    const image = IMAGES[release % IMAGES.length] ?? '';
    const spec = componentOf({ name, image, ...over });
    const { image: ref } = spec;
    const value: ReleaseValue = {
      ...made,
      ...{ number: release, image: { name: ref, id: imageId(ref), digests: [] } },
      ...{ spec, requires: [], limits: DEFAULT_LIMITS },
    };
    const rollout: RolloutValue = {
      ...made,
      ...{ generation, release, from: release - 1, kind: 'update', state, attempt: 1, after: [] },
    };
    const desired: DesiredValue = { ...made, status: 'ready', release, generation };
    return [
      put(this.keys.release(name, release), value),
      put(this.keys.rollout(name), rollout),
      put(this.keys.desired(name), desired),
    ];
  }

  async #timed(next: Pick<Asked, 'generation' | 'release'>, writes: readonly Write[]): Promise<Asked> {
    const sentAt = monotonicMs();
    await this.#write(writes);
    return { ...next, sentAt, answeredAt: monotonicMs() };
  }

  async #write(writes: readonly Write[]): Promise<void> {
    await this.store.commit([], writes);
  }
}

export function imageId(image: string): string {
  return `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0')}`;
}

function put(key: string, value: object): Write {
  return { kind: 'put', key, value: JSON.stringify(value) };
}

function now(): string {
  return new Date().toISOString();
}
