/**
 * The proxy's route table as a value: which listeners a project has on this host and which
 * containers stand behind them. Pure; the owner of a table replaces it whole. Also says which
 * listeners two tables have in common and which addresses exclude each other.
 */

/** Milliseconds unless named otherwise. 0 switches a limit off. */
export interface ProxyLimits {
  /** How long a dial of a backend may take. */
  readonly connectTimeoutMs: number;
  /** How long a client may take to send a request's header block. */
  readonly headersTimeoutMs: number;
  /** How long a client's keep-alive connection may stay without a request. */
  readonly keepAliveTimeoutMs: number;
  /** Open client connections per listener; further ones are closed at once. Workers have a part of it each. */
  readonly maxConnections: number;
  /** Processes that carry clients, at most 64; auto: one for each core. Of all owners the most count. Absent: 1. */
  readonly workers?: number | 'auto';
}

export const DEFAULT_LIMITS: ProxyLimits = {
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 60_000,
  keepAliveTimeoutMs: 75_000,
  maxConnections: 0,
};

/** udp: in the kernel only. */
export type RouteKind = 'http' | 'tcp' | 'udp';

/**
 * Who carries the bytes of a listener. kernel: nftables leads new connections straight to the container; a host that
 * cannot refuses the table. auto: kernel where the host can, userspace otherwise. Never kernel with kind http.
 */
export type Plane = 'userspace' | 'kernel' | 'auto';

/** One place clients connect to, and the port of the container that answers there. */
export interface Listener {
  /** An IPv4 or IPv6 address of this host; 0.0.0.0 for all IPv4, :: for all of both. */
  readonly address: string;
  readonly port: number;
  readonly kind: RouteKind;
  readonly containerPort: number;
  /** Absent: userspace; of udp: kernel. */
  readonly plane?: Plane;
}

export interface Backend {
  /** The container's id. */
  readonly id: string;
  /** Where the container is reached from this host. */
  readonly host: string;
  /** Dialled instead of the listener's containerPort: another host's proxy offers a link where it can. */
  readonly port?: number;
  /** Of the container; what it serves is counted under it. Absent: nobody said. */
  readonly release?: number;
  /** Of the container's first process, as this host numbers it. The kernel plane lets go of the container with it. */
  readonly pid?: number;
}

/** While there is no backend, clients wait for one instead of being refused. */
export interface HoldTerms {
  /** Milliseconds; then they are refused. */
  readonly timeoutMs: number;
  /** Clients that may wait at a time; further ones are refused at once. */
  readonly max: number;
}

/** About clients that stay with a backend which is no longer in the table. Milliseconds; 0: nothing. */
export interface LeaveTerms {
  /** A connection on which no byte has moved for so long is ended. */
  readonly idleTimeoutMs: number;
  /** Clients are asked to leave, evenly over so long from when the backend left the table. */
  readonly closeSpreadMs: number;
}

/** New work is split between some of the route's backends and the others, which are counted apart. */
export interface CanarySplit {
  /** What it is of, as a release: counts begin anew when it changes. */
  readonly id: string;
  /** Ids of the backends that get `percent` of the new requests and connections; the others get the rest. */
  readonly backends: readonly string[];
  /** 1 to 99. */
  readonly percent: number;
}

/**
 * What one component offers on this host. No backends: its listeners stay and answer 503 (http) or close (tcp), at once
 * or after `hold`.
 */
export interface Route {
  /** Of a link's own route `link:NAME`: no component is called so, names have no colon. */
  readonly component: string;
  readonly listeners: readonly Listener[];
  readonly backends: readonly Backend[];
  /**
   * Links only: the component of the same table that this route leads to, on the listener's containerPort, for as
   * long as that component's route has any backends. `backends` are for when it has none.
   */
  readonly via?: string;
  /** Absent: nobody waits. */
  readonly hold?: HoldTerms;
  /** Absent: who stays is left alone. */
  readonly leave?: LeaveTerms;
  /** Milliseconds until a backend that joins others gets its full share of the new work. Absent: it does at once. */
  readonly slowStartMs?: number;
  /** Absent: all backends are equal. */
  readonly canary?: CanarySplit;
}

/** All routes of one owner (a project on this host). Replaced whole, never patched. */
export interface RouteTable {
  readonly routes: readonly Route[];
  readonly limits: ProxyLimits;
}

export const EMPTY_TABLE: RouteTable = { routes: [], limits: DEFAULT_LIMITS };

/** The table with this component's route replaced (undefined: removed). Order of the other routes is kept. */
export function withRoute(table: RouteTable, component: string, route: Route | undefined): RouteTable {
  const others = table.routes.filter((r) => r.component !== component);
  return { ...table, routes: route === undefined ? others : [...others, route] };
}

/**
 * The table with these containers only; the same table when that is all of them. A link's own backends are no
 * containers of this host and stay.
 */
export function withBackends(table: RouteTable, stays: (id: string) => boolean): RouteTable {
  const gone = (r: Route) => !isLinkRoute(r) && r.backends.some((b) => !stays(b.id));
  if (!table.routes.some(gone)) return table;
  const routes = table.routes.map((r) =>
    gone(r) ? { ...r, backends: r.backends.filter((b) => stays(b.id)) } : r,
  );
  return { ...table, routes };
}

const LINK_ROUTE = /^link:[^:]+$/;

/** What the route of a link is called where components' routes have the component's name. */
export function linkRouteName(link: string): string {
  return `link:${link}`;
}

export function isLinkRoute({ component }: Pick<Route, 'component'>): boolean {
  return LINK_ROUTE.test(component);
}

/** A route with the backends that its table gives it, and whose they are. */
export interface LedRoute extends Pick<Route, 'component' | 'listeners' | 'backends' | 'canary'> {
  /** The component they count for: the one a link goes via, else the route's own. */
  readonly leadsTo: string;
}

/** Where each route of the table leads. */
export function ledRoutes(table: RouteTable): readonly LedRoute[] {
  return table.routes.map((route) => {
    const { component, listeners, via } = route;
    const target = via === undefined ? undefined : routeOf(table, via);
    const from = target === undefined || target.backends.length === 0 ? route : target;
    const { backends, canary } = from;
    const led = { component, listeners, backends, leadsTo: from.component };
    return canary === undefined ? led : { ...led, canary };
  });
}

/** Ids of the backends by component, for a log. */
export function summaryOf(table: RouteTable): Record<string, string[]> {
  return Object.fromEntries(
    ledRoutes(table).map(({ component, backends }) => [component, backends.map(({ id }) => id)]),
  );
}

/** The route whose `hold` the clients of this one wait by, all in one room: a link's wait with those of its exporter. */
export function waitsWith(table: RouteTable, component: string): Route | undefined {
  const route = routeOf(table, component);
  return (route?.via === undefined ? undefined : routeOf(table, route.via)) ?? route;
}

export function routeOf(table: RouteTable, component: string): Route | undefined {
  return table.routes.find((r) => r.component === component);
}

/** A listener with the component it belongs to. */
export interface RoutedListener extends Listener {
  readonly component: string;
}

export function listenersOf(table: RouteTable): RoutedListener[] {
  return table.routes.flatMap((route) =>
    route.listeners.map((listener) => ({ ...listener, component: route.component })),
  );
}

/** Without a kind: of a socket that listens for connections. */
export type Place = Pick<Listener, 'address' | 'port'> & Partial<Pick<Listener, 'kind'>>;

/** One listening socket is one address and port; its kind may change while it listens, but not to udp or from it. */
export function placeKey({ address, port, kind }: Place): string {
  const place = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return kind === 'udp' ? `${place}/udp` : place;
}

/** Who carries the bytes of this listener, as its table has it. */
export function planeOf({ kind, plane }: Pick<Listener, 'kind' | 'plane'>): Plane {
  return plane ?? (kind === 'udp' ? 'kernel' : 'userspace');
}

/** Whether the kernel lets only one of the two listen. */
export function placesOverlap(a: Place, b: Place): boolean {
  if (a.port !== b.port || (a.kind === 'udp') !== (b.kind === 'udp')) return false;
  if (a.address === b.address || a.address === '::' || b.address === '::') return true;
  const bothIPv4 = !a.address.includes(':') && !b.address.includes(':');
  return bothIPv4 && (a.address === '0.0.0.0' || b.address === '0.0.0.0');
}

export interface ListenerDiff {
  readonly open: readonly RoutedListener[];
  readonly keep: readonly RoutedListener[];
  readonly close: readonly RoutedListener[];
}

/** What a swap does to the listening sockets. Kept ones stay bound whatever else about them changes. */
export function diffListeners(
  present: readonly RoutedListener[],
  next: readonly RoutedListener[],
): ListenerDiff {
  const had = new Set(present.map(placeKey));
  const wanted = new Set(next.map(placeKey));
  return {
    open: next.filter((listener) => !had.has(placeKey(listener))),
    keep: next.filter((listener) => had.has(placeKey(listener))),
    close: present.filter((listener) => !wanted.has(placeKey(listener))),
  };
}

/** Whether two sets of listeners are the same, in whatever order. */
export function sameListeners(a: readonly Listener[], b: readonly Listener[]): boolean {
  const key = (l: Listener) => `${l.address} ${l.port} ${l.kind} ${l.containerPort} ${planeOf(l)}`;
  const others = new Set(b.map(key));
  return a.length === b.length && a.every((l) => others.has(key(l)));
}
