/**
 * The followed keys by what they are about, kept up as they change: with five hundred hosts in a queue nobody wants to
 * go through all of it for every turn that ends.
 */
import { followedKey, type Keys } from '../../cluster/keys.ts';
import type { Entry } from '../../cluster/store.ts';
import { readTurn } from '../../cluster/values.ts';
import type { Turn } from '../rollout.ts';

/** What a change concerns. */
export interface Concerned {
  readonly components: ReadonlySet<string>;
  /** Those of them whose rollout changed. */
  readonly rollouts: ReadonlySet<string>;
  readonly config: boolean;
  readonly links: boolean;
}

export class FollowedIndex {
  readonly #keys: Keys;
  readonly #project: string;
  readonly #turns = new Map<string, Map<string, Turn>>();
  readonly #sorted = new Map<string, readonly Turn[]>();
  readonly #links = new Map<string, Map<string, Entry>>();
  readonly #wanted = new Set<string>();

  constructor(keys: Keys, project: string) {
    this.#keys = keys;
    this.#project = project;
  }

  /** In order of creation. */
  turns(component: string): readonly Turn[] {
    const known = this.#sorted.get(component);
    if (known !== undefined) return known;
    const turns = [...(this.#turns.get(component)?.values() ?? [])];
    turns.sort((a, b) => a.createRevision - b.createRevision);
    this.#sorted.set(component, turns);
    return turns;
  }

  /** A link's entries. */
  offers(): ReadonlyMap<string, readonly Entry[]> {
    return new Map([...this.#links].map(([link, entries]) => [link, [...entries.values()]]));
  }

  /** Components of which something is wanted. */
  components(): ReadonlySet<string> {
    return this.#wanted;
  }

  /** `changed`: the keys that may have; undefined: any. */
  apply(entries: ReadonlyMap<string, Entry>, changed: readonly string[] | undefined): Concerned {
    if (changed === undefined) this.#clear();
    const components = new Set<string>();
    const rollouts = new Set<string>();
    const touched = { config: false, links: changed === undefined }; // all of a link may be gone
    for (const key of changed ?? entries.keys()) {
      const about = followedKey(this.#keys, this.#project, key);
      if (about === undefined) continue;
      const entry = entries.get(key);
      if (about.kind === 'config') touched.config = true;
      else if (about.kind === 'link') touched.links = this.#note(this.#links, about.link, key, entry);
      else components.add(about.component);
      if (about.kind === 'rollout') rollouts.add(about.component);
      if (about.kind === 'turn') this.#turn(about.component, key, entry);
      if (about.kind === 'desired') this.#desired(about.component, entry);
    }
    return { components, rollouts, ...touched };
  }

  #clear(): void {
    this.#turns.clear();
    this.#sorted.clear();
    this.#links.clear();
    this.#wanted.clear();
  }

  #turn(component: string, key: string, entry: Entry | undefined): void {
    const value = readTurn(entry);
    const turn =
      value === undefined || entry === undefined
        ? undefined
        : { ...value, createRevision: entry.createRevision };
    this.#note(this.#turns, component, key, turn);
    this.#sorted.delete(component);
  }

  #desired(component: string, entry: Entry | undefined): void {
    if (entry === undefined) this.#wanted.delete(component);
    else this.#wanted.add(component);
  }

  #note<T>(all: Map<string, Map<string, T>>, name: string, key: string, value: T | undefined): true {
    const some = all.get(name) ?? new Map<string, T>();
    if (value === undefined) some.delete(key);
    else some.set(key, value);
    if (some.size === 0) all.delete(name);
    else all.set(name, some);
    return true;
  }
}
