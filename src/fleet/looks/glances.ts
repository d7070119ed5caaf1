/**
 * Whether anything is as it was that the looks of all components of a host go by: every few seconds one question each to
 * the engine, the proxy and the folder of the records, for all of them together. A hundred components at rest need not
 * be looked at one by one to know that they are, and nobody wakes for them while the answers are the same.
 * Says nothing of counts and of time, by which a component at rest does not go.
 */
import type { Rest } from '../../agent/agent.ts';
import type { ProxyPort } from '../../agent/proxy-port.ts';
import { recordsVersion } from '../../agent/record-folder.ts';
import { untilTogether } from '../../clock.ts';
import type { Container, Engine } from '../../docker/engine.ts';
import { pause } from '../../poke.ts';
import type { ProxyStatus } from '../../proxy/control/protocol.ts';

/** Between two glances. */
const GLANCE_MS = 10_000;

export interface GlancesInput {
  readonly project: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly engine: Pick<Engine, 'containers'>;
  readonly proxy: Pick<ProxyPort, 'status'>;
}

interface Seen {
  readonly records: string;
  readonly containers: readonly Container[];
  readonly status: ProxyStatus;
}

interface Watched {
  readonly component: string;
  readonly rest: Rest;
  /** undefined: it cannot be told. */
  seen: string | undefined;
  own: string | undefined;
}

/**
 * INVARIANT: whatever changes between two glances is told after the later one; so who looked in between, and saw what
 * was before, looks again.
 */
export class Glances {
  readonly #input: GlancesInput;
  readonly #watched = new Set<Watched>();
  #last: Seen | undefined;
  #words: ReadonlyMap<string, string> = new Map();

  constructor(input: GlancesInput) {
    this.#input = input;
  }

  /** Its first glance counts as a change. Until the function that is answered is called. */
  watch(component: string, rest: Rest): () => void {
    const watched: Watched = { component, rest, seen: undefined, own: undefined };
    this.#watched.add(watched);
    return () => this.#watched.delete(watched);
  }

  /** Until aborted; never throws. */
  async run(signal: AbortSignal, everyMs = GLANCE_MS): Promise<void> {
    for (;;) {
      await pause(untilTogether(everyMs), signal);
      if (signal.aborted) return;
      if (this.#watched.size > 0) await this.glance();
    }
  }

  /** Looks, and tells whoever goes by what is another than at the last glance, or cannot be told. */
  async glance(): Promise<void> {
    const seen = await this.#look().catch(() => undefined); // whoever looks meets it, and tells it
    const isSame = seen !== undefined && this.#last !== undefined && areSame(seen, this.#last);
    if (!isSame) this.#words = seen === undefined ? new Map() : wordsOf(seen, this.#input.project);
    this.#last = seen;
    const common = this.#words.get('');
    for (const watched of [...this.#watched]) this.#tell(watched, common);
  }

  #tell(watched: Watched, common: string | undefined): void {
    const own = watched.rest.words();
    const of = this.#words.get(watched.component) ?? '';
    const seen = common === undefined ? undefined : `${common}\n${of}`;
    const isAsSeen = seen !== undefined && seen === watched.seen && own === watched.own;
    watched.seen = seen;
    watched.own = own;
    if (!isAsSeen) watched.rest.changed();
  }

  async #look(): Promise<Seen | undefined> {
    const { project, hostId: host, stateDir, engine, proxy } = this.#input;
    const [records, containers, status] = await Promise.all([
      recordsVersion(stateDir, project),
      engine.containers({ project, host }),
      proxy.status(project),
    ]);
    return records === undefined ? undefined : { records, containers, status };
  }
}

/** Engine and proxy answer the same object while they say the same. */
function areSame(a: Seen, b: Seen): boolean {
  return a.records === b.records && a.containers === b.containers && a.status === b.status;
}

/** By component; what concerns all of them under ''. */
function wordsOf({ records, containers, status }: Seen, project: string): ReadonlyMap<string, string> {
  const words = new Map([['', `${records}\n${proxyWords(status, project)}`]]);
  const say = (component: string, word: string) =>
    words.set(component, `${words.get(component) ?? ''}\n${word}`);
  for (const container of containers) say(container.component, containerWords(container));
  for (const { component, id, gone } of status.backends) if (gone === true) say(component, `${id} is gone`);
  for (const { component, address, port, kind, plane, planeWhy } of status.listeners)
    say(component, `${address} ${port} ${kind} ${plane} ${planeWhy}`);
  return words;
}

function proxyWords({ pid, startedAt, owners }: ProxyStatus, project: string): string {
  const revision = owners.find(({ owner }) => owner === project)?.revision;
  return `${pid} ${startedAt} ${revision}`;
}

/** Its labels, image and release never change. */
function containerWords({ id, name, state, health, address }: Container): string {
  return `${id} ${name} ${state} ${health} ${address}`;
}
