/**
 * The links that components on this host require: a listener of its own for each, at an address and port that stay
 * for good, so that consumers survive every move of the exporter. It leads to the exporter's containers here while
 * any serves, else to other hosts that offer the link.
 *
 * Offers may vanish because an agent is away while its containers serve on: as long as no other offer is there, the
 * last ones stay.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { linkUrl } from '../agent/links.ts';
import type { Release } from '../agent/plan/state.ts';
import type { ProxyPort } from '../agent/proxy-port.ts';
import { freePort, hostAddress } from '../agent/release.ts';
import type { Entry } from '../cluster/store.ts';
import { type ReleaseValue, readLink } from '../cluster/values.ts';
import type { Container, Engine } from '../docker/engine.ts';
import { makeFolder, stateWriteError, writeDurably } from '../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../errors.ts';
import {
  type Backend,
  isLinkRoute,
  linkRouteName,
  type ProxyLimits,
  type Route,
  type RouteTable,
  routeOf,
} from '../proxy/tables/routes.ts';

export interface LinkRoutesInput {
  readonly project: string;
  /** This host's name: its own offers are not for itself. */
  readonly host: string;
  readonly stateDir: string;
  readonly engine: Engine;
  readonly proxy: ProxyPort;
  readonly limits: () => ProxyLimits;
}

const KINDS = ['http', 'tcp'] as const;

/** What is kept of a required link: all it takes to serve it without etcd. */
interface KeptLink {
  readonly port: number;
  readonly exporter: string;
  readonly kind: (typeof KINDS)[number];
  readonly containerPort: number;
  /** Addresses consumers reach it at. */
  readonly addresses: readonly string[];
}

type KeptLinks = Readonly<Record<string, KeptLink>>;

/** There never were any. */
const NONE: KeptLinks = {};

/** By component; undefined: one that cannot be read. */
type Records = ReadonlyMap<string, { readonly releases: readonly Requiring[] } | undefined>;
type Requiring = Pick<Release, 'number' | 'linkEnvironment'>;

/** A link's entries by host. */
export type Offers = ReadonlyMap<string, readonly Entry[]>;

export class LinkRoutes {
  readonly #input: LinkRoutesInput;
  readonly #path: string;
  /** undefined: not read yet. */
  #kept: KeptLinks | undefined;
  #offers: Offers | undefined;
  readonly #backends = new Map<string, readonly Backend[]>();
  readonly #applied = new Map<string, string>();
  /** Routes in the proxy of links that are not kept any more. */
  #stale: readonly string[] = [];
  /** One change after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(input: LinkRoutesInput) {
    this.#input = input;
    this.#path = join(input.stateDir, 'links', `${input.project}.json`);
  }

  /** Sees to it that the links a release requires are served here; answers their ports. */
  async require({ requires, spec }: ReleaseValue): Promise<(link: string) => number> {
    if (requires.length > 0) await this.#inTurn(() => this.#add(requires, spec.network));
    return (link) => {
      const port = this.#kept?.[link]?.port;
      if (port === undefined) throw new GantryError('internal', `the link ${link} was not prepared`);
      return port;
    };
  }

  /**
   * Forgets the links that nothing here requires any more, as far as that is known for certain: all records can be
   * read, and each container is of one of them. To be called before anything else is.
   */
  async keepRequired(
    records: Records,
    containers: () => Promise<readonly Pick<Container, 'component' | 'release'>[]>,
  ): Promise<void> {
    const known = [...records.values()].filter((record) => record !== undefined);
    if (known.length === 0 || known.length < records.size) return;
    const told = new Set(known.flatMap(({ releases }) => releases.flatMap(urlsIn)));
    // The kind that is kept is that of what was prepared last, which may not serve yet.
    const isTold = ({ port, addresses }: KeptLink) =>
      addresses.some((host) => KINDS.some((kind) => told.has(linkUrl({ kind, host, port }))));
    await this.#inTurn(async () => {
      const all = Object.entries(await this.#readFile());
      const required = all.filter(([, kept]) => isTold(kept));
      if (required.length === all.length || !areIn(records, await containers())) return;
      await this.#save(Object.fromEntries(required));
    });
  }

  /** Whether anybody offers the link now, this host included. */
  isOffered(link: string): boolean {
    return (this.#offers?.get(link)?.length ?? 0) > 0;
  }

  /** The offers as etcd has them now. Serves them; throws what the proxy does. */
  async follow(offers: Offers): Promise<void> {
    this.#offers = offers;
    await this.#inTurn(() => this.#apply());
  }

  async #add(requires: ReleaseValue['requires'], network: string | undefined): Promise<void> {
    const address = await hostAddress(this.#input.engine, network);
    const kept: Record<string, KeptLink> = { ...(await this.#read()) };
    for (const { name, exporter, kind, containerPort } of requires) {
      const before = kept[name];
      const addresses = [...new Set([...(before?.addresses ?? []), address])].sort();
      const port = before?.port ?? (await freePort(address));
      kept[name] = { port, exporter, kind, containerPort, addresses };
    }
    await this.#write(kept);
    await this.#apply();
  }

  async #apply(): Promise<void> {
    const { proxy, project, limits } = this.#input;
    const all = Object.entries(await this.#read());
    for (let name = this.#stale[0]; name !== undefined; name = this.#stale[0]) {
      await proxy.setRoute(project, name, undefined, limits());
      this.#stale = this.#stale.slice(1);
    }
    for (const [link, kept] of all) {
      const route = this.#route(link, kept);
      const text = JSON.stringify(route);
      if (this.#applied.get(link) === text) continue;
      await proxy.setRoute(project, route.component, route, limits());
      this.#applied.set(link, text);
    }
  }

  /** Whether the proxy's table still has all of them. */
  areIn(table: RouteTable): boolean {
    return [...this.#applied.keys()].every((link) => routeOf(table, linkRouteName(link)) !== undefined);
  }

  /** Takes them out of the proxy's table; the next start puts them back. */
  async leave(): Promise<void> {
    const { proxy, project, limits } = this.#input;
    for (const link of this.#applied.keys()) {
      await proxy.setRoute(project, linkRouteName(link), undefined, limits());
    }
    this.#applied.clear();
  }

  /** The proxy may have lost its table: everything is applied again. */
  forgetApplied(): void {
    this.#applied.clear();
  }

  #route(link: string, { port, exporter, kind, containerPort, addresses }: KeptLink): Route {
    return {
      component: linkRouteName(link),
      listeners: addresses.map((address) => ({ address, port, kind, containerPort })),
      backends: this.#remotes(link),
      via: exporter,
    };
  }

  #remotes(link: string): readonly Backend[] {
    const found = (this.#offers?.get(link) ?? [])
      .map(readLink)
      .filter((offer) => offer !== undefined)
      .filter((offer) => offer.host !== this.#input.host)
      .map((o): Backend => ({ id: `${linkRouteName(link)}@${o.host}`, host: o.address, port: o.port }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const backends = found.length > 0 ? found : (this.#backends.get(link) ?? []);
    this.#backends.set(link, backends);
    return backends;
  }

  async #read(): Promise<KeptLinks> {
    if (this.#kept !== undefined) return this.#kept;
    const kept = await this.#readFile();
    await this.#recallBackends(kept); // without them nothing is applied: it would take the last offers away
    this.#kept = kept;
    return kept;
  }

  async #readFile(): Promise<KeptLinks> {
    try {
      return JSON.parse(await readFile(this.#path, 'utf8')) as KeptLinks;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return NONE;
      throw new GantryError('state-dir', `Cannot read ${this.#path}: ${messageOf(error)}`, {
        hint: 'If it is damaged, move it away: links get new ports, and what requires them needs an update.',
        cause: error,
      });
    }
  }

  /** What the proxy still serves is what was offered last. */
  async #recallBackends(kept: KeptLinks): Promise<void> {
    if (kept === NONE) return;
    const { proxy, project } = this.#input;
    const { owners } = await proxy.status(project);
    const routes = owners.find((o) => o.owner === project)?.table.routes ?? [];
    const names = new Set(Object.keys(kept).map(linkRouteName));
    this.#stale = routes.filter((r) => isLinkRoute(r) && !names.has(r.component)).map((r) => r.component);
    for (const link of Object.keys(kept)) {
      const route = routes.find((r) => r.component === linkRouteName(link));
      if (route !== undefined && !this.#backends.has(link)) this.#backends.set(link, route.backends);
    }
  }

  async #write(kept: KeptLinks): Promise<void> {
    if (JSON.stringify(kept) === JSON.stringify(this.#kept)) return;
    await this.#save(kept);
    this.#kept = kept;
  }

  async #save(kept: KeptLinks): Promise<void> {
    try {
      await makeFolder(dirname(this.#path));
    } catch (error) {
      throw stateWriteError(this.#path, error);
    }
    await writeDurably(this.#path, `${JSON.stringify(kept, null, 1)}\n`);
  }

  #inTurn(body: () => Promise<void>): Promise<void> {
    const next = this.#last.then(body, body);
    this.#last = next.catch(() => undefined); // whoever asked is told
    return next;
  }
}

function urlsIn({ linkEnvironment }: Requiring): readonly string[] {
  return Object.values(linkEnvironment);
}

function areIn(records: Records, containers: readonly Pick<Container, 'component' | 'release'>[]): boolean {
  return containers.every(({ component, release }) =>
    records.get(component)?.releases.some(({ number }) => number === release),
  );
}
