/**
 * A project that is asked for often is followed, and read from memory: whoever looks every few milliseconds does not
 * make etcd answer each time. What this process wrote itself is never read in an older state; what others write shows as
 * soon as the watch tells. A project that is asked for now and then is read from the store as ever.
 */
import type { Keys } from '../../cluster/keys.ts';
import type { Entry, Listing, Mirror, Range, Store, Write } from '../../cluster/store.ts';

/** So many questions within so long. */
const OFTEN = 10;
const OFTEN_MS = 1_000;
/** Nobody asks any more. */
const IDLE_MS = 30_000;
/** Others are read from the store. */
const MAX_PROJECTS = 16;
/** A release never changes; that it was pruned, or its etcd wiped, shows after so long. */
const RELEASE_MS = 5_000;
const MAX_RELEASES = 256;

interface Followed {
  readonly range: Range;
  readonly mirror: Mirror;
  /** Revision of the last write of this process into it. */
  written: number;
}

interface Project {
  asked: number;
  since: number;
  last: number;
  followed: readonly Followed[];
}

export interface FollowedStore {
  /** For whoever writes. */
  readonly store: Store;
  /** For whoever reads of the project, of which that is one question. */
  reading(project: string): Store;
}

export function followedStore(store: Store, keys: Keys): FollowedStore {
  const following = new Following(store, keys);
  const writing = { ...plain(store), commit: following.commit };
  return {
    store: writing,
    reading(project) {
      following.ask(project);
      const { list, get } = following;
      return { ...writing, list, get };
    },
  };
}

function plain(store: Store): Store {
  return {
    get: (key) => store.get(key),
    list: (range, limit) => store.list(range, limit),
    count: (range) => store.count(range),
    commit: (conditions, writes) => store.commit(conditions, writes),
    session: (options) => store.session(options),
    follow: (options) => store.follow(options),
    close: () => store.close(),
  };
}

class Following {
  readonly #store: Store;
  readonly #keys: Keys;
  readonly #projects = new Map<string, Project>();
  readonly #releases = new Map<string, { readonly entry: Entry; readonly until: number }>();
  #idle: NodeJS.Timeout | undefined;

  constructor(store: Store, keys: Keys) {
    this.#store = store;
    this.#keys = keys;
  }

  readonly commit: Store['commit'] = async (conditions, writes) => {
    const committed = await this.#store.commit(conditions, writes);
    if (committed.done) this.#wrote(writes, committed.revision);
    return committed;
  };

  readonly list: Store['list'] = async (range, limit): Promise<Listing> => {
    const followed = this.#covering(range);
    if (followed === undefined) return this.#store.list(range, limit);
    const { entries, revision } = followed.mirror;
    const here = [...entries.values()].filter(({ key }) => key >= range.from && key < range.to);
    here.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries: here.slice(0, limit), revision };
  };

  readonly get: Store['get'] = async (key) => {
    if (!isRelease(this.#keys, key)) return this.#store.get(key);
    const known = this.#releases.get(key);
    if (known !== undefined && known.until > performance.now()) return known.entry;
    const entry = await this.#store.get(key);
    if (entry !== undefined) this.#remember(entry);
    return entry;
  };

  ask(name: string): void {
    const now = performance.now();
    const known = this.#projects.get(name);
    if (known === undefined && this.#projects.size >= MAX_PROJECTS) return;
    const project = known ?? { asked: 0, since: now, last: now, followed: [] };
    const goesOn = now - project.since < OFTEN_MS;
    project.asked = goesOn ? project.asked + 1 : 1;
    if (!goesOn) project.since = now;
    project.last = now;
    if (project.asked >= OFTEN && project.followed.length === 0) project.followed = this.#follow(name);
    this.#projects.set(name, project);
    this.#idle ??= setInterval(() => this.#forgetIdle(), IDLE_MS).unref();
  }

  #follow(name: string): readonly Followed[] {
    const at = this.#keys.project(name);
    const ranges = [at.followed(), at.allStatuses(), this.#keys.hosts()];
    return ranges.map((range) => ({
      ...{ range, written: 0 },
      mirror: this.#store.follow({ range, onChange: () => {} }),
    }));
  }

  /** What is followed and holds all of the range as it is now. */
  #covering({ from, to }: Range): Followed | undefined {
    for (const { followed } of this.#projects.values())
      for (const one of followed) {
        const { range, mirror, written } = one;
        const covers = range.from <= from && to <= range.to;
        if (covers && mirror.current && mirror.revision >= written) return one;
      }
    return undefined;
  }

  #wrote(writes: readonly Write[], revision: number): void {
    const all = [...this.#projects.values()].flatMap(({ followed }) => followed);
    for (const { key } of writes) {
      this.#releases.delete(key);
      for (const one of all)
        if (key >= one.range.from && key < one.range.to) one.written = Math.max(one.written, revision);
    }
  }

  #remember(entry: Entry): void {
    this.#releases.delete(entry.key);
    this.#releases.set(entry.key, { entry, until: performance.now() + RELEASE_MS });
    const [oldest] = this.#releases.keys();
    if (this.#releases.size > MAX_RELEASES && oldest !== undefined) this.#releases.delete(oldest);
  }

  #forgetIdle(): void {
    const now = performance.now();
    for (const [name, { last, followed }] of this.#projects) {
      if (now - last < IDLE_MS) continue;
      for (const { mirror } of followed) mirror.close();
      this.#projects.delete(name);
    }
    if (this.#projects.size > 0) return;
    clearInterval(this.#idle);
    this.#idle = undefined;
  }
}

/** Names hold no slash, so a key that is made of its own parts is one. */
function isRelease(keys: Keys, key: string): boolean {
  const [release, component = '', , project = ''] = key.split('/').reverse();
  return keys.project(project).release(component, Number(release)) === key;
}
