/**
 * Turns what came over the control socket or from disk into a RouteTable, or says everything
 * that is wrong with it. Pure. The proxy trusts a table only after it has passed here.
 */
import { isIP } from 'node:net';
import { MAX_WORKERS } from '../generations/share.ts';
import {
  isLinkRoute,
  type Listener,
  listenersOf,
  type Plane,
  placeKey,
  placesOverlap,
  planeOf,
  type RouteKind,
  type RouteTable,
} from './routes.ts';

const MAX_NAME_LENGTH = 256;
const KINDS = ['http', 'tcp', 'udp'] as const satisfies readonly RouteKind[];
const PLANES = ['userspace', 'kernel', 'auto'] as const satisfies readonly Plane[];

export type TableCheck =
  | { readonly table: RouteTable; readonly problems?: undefined }
  | { readonly table?: undefined; readonly problems: readonly string[] };

export function checkTable(value: unknown): TableCheck {
  const problems: string[] = [];
  if (!isRecord(value)) return { problems: ['a table must be an object'] };
  if (!Array.isArray(value.routes)) problems.push('routes must be a list');
  else value.routes.forEach((route, at) => void checkRoute(route, `routes/${at}`, problems));
  checkLimits(value.limits, problems);
  if (problems.length > 0) return { problems };
  const table = value as unknown as RouteTable;
  checkUnique(table, problems);
  return problems.length > 0 ? { problems } : { table };
}

/** An owner's name travels in a URL and a file; anything printable will do. */
export function checkOwner(owner: string): string | undefined {
  if (isName(owner)) return undefined;
  return `an owner must be 1 to ${MAX_NAME_LENGTH} characters without control characters`;
}

function checkRoute(value: unknown, at: string, problems: string[]): void {
  if (!isRecord(value)) return void problems.push(`${at} must be an object`);
  if (!isName(value.component)) problems.push(`${at}/component must be a name`);
  else checkLink(value.component, value.via, at, problems);
  if (!Array.isArray(value.listeners)) problems.push(`${at}/listeners must be a list`);
  else value.listeners.forEach((l, i) => void checkListener(l, `${at}/listeners/${i}`, problems));
  checkLinkPlanes(value, at, problems);
  if (!Array.isArray(value.backends)) problems.push(`${at}/backends must be a list`);
  else value.backends.forEach((b, i) => void checkBackend(b, `${at}/backends/${i}`, problems));
  checkCounts(value.hold, ['timeoutMs', 'max'], `${at}/hold`, problems);
  checkCounts(value.leave, ['idleTimeoutMs', 'closeSpreadMs'], `${at}/leave`, problems);
  if (value.slowStartMs !== undefined) checkCounts(value, ['slowStartMs'], at, problems);
  checkCanary(value.canary, `${at}/canary`, problems);
}

/** Terms that a route may have: whole numbers, all of them. */
function checkCounts(value: unknown, names: readonly string[], at: string, problems: string[]): void {
  if (value === undefined) return;
  if (!isRecord(value)) return void problems.push(`${at} must be an object`);
  for (const name of names)
    if (!isCount(value[name])) problems.push(`${at}/${name} must be a whole number, 0 or more`);
}

function checkCanary(value: unknown, at: string, problems: string[]): void {
  if (value === undefined) return;
  if (!isRecord(value)) return void problems.push(`${at} must be an object`);
  if (!isName(value.id)) problems.push(`${at}/id must be a name`);
  if (!Array.isArray(value.backends) || !value.backends.every(isName))
    problems.push(`${at}/backends must be a list of names`);
  const percent = Number(value.percent);
  if (!Number.isInteger(value.percent) || percent < 1 || percent > 99)
    problems.push(`${at}/percent must be a whole number from 1 to 99`);
}

/** Only a link's route goes via another, and only via a component's: one step says where it leads. */
function checkLink(component: string, via: unknown, at: string, problems: string[]): void {
  const isLink = isLinkRoute({ component });
  if (component.includes(':') && !isLink)
    problems.push(`${at}/component must have no colon, or be link:NAME`);
  if (via === undefined) return;
  if (!isLink) problems.push(`${at}/via is for routes called link:NAME`);
  if (!isName(via) || via.includes(':')) problems.push(`${at}/via must be the name of a component`);
}

/** A link may lead to another host, which the kernel plane does not. */
function checkLinkPlanes(
  { component, listeners }: Record<string, unknown>,
  at: string,
  problems: string[],
): void {
  if (!isName(component) || !isLinkRoute({ component }) || !Array.isArray(listeners)) return;
  const isLed = (l: unknown) => isRecord(l) && planeOf(l as unknown as Listener) !== 'userspace';
  if (listeners.some(isLed)) problems.push(`${at}/listeners of a link must be of the plane userspace`);
}

function checkListener(value: unknown, at: string, problems: string[]): void {
  if (!isRecord(value)) return void problems.push(`${at} must be an object`);
  if (typeof value.address !== 'string' || isIP(value.address) === 0)
    problems.push(`${at}/address must be an IP address`);
  if (!isPort(value.port)) problems.push(`${at}/port must be a port (1-65535)`);
  if (!isPort(value.containerPort)) problems.push(`${at}/containerPort must be a port (1-65535)`);
  if (!isOneOf(KINDS, value.kind)) return void problems.push(`${at}/kind must be http, tcp or udp`);
  if (value.plane !== undefined && !isOneOf(PLANES, value.plane))
    return void problems.push(`${at}/plane must be userspace, kernel or auto`);
  const plane = planeOf(value as unknown as Listener);
  if (value.kind === 'udp' && plane !== 'kernel') problems.push(`${at}/plane must be kernel with kind udp`);
  if (value.kind === 'http' && plane !== 'userspace')
    problems.push(`${at}/plane must be userspace with kind http`);
}

function checkBackend(value: unknown, at: string, problems: string[]): void {
  if (!isRecord(value)) return void problems.push(`${at} must be an object`);
  if (!isName(value.id)) problems.push(`${at}/id must be a name`);
  if (typeof value.host !== 'string' || isIP(value.host) === 0)
    problems.push(`${at}/host must be an IP address`);
  if (value.port !== undefined && !isPort(value.port)) problems.push(`${at}/port must be a port (1-65535)`);
  for (const name of ['release', 'pid'] as const)
    if (value[name] !== undefined && !isCount(value[name]))
      problems.push(`${at}/${name} must be a whole number, 0 or more`);
}

function checkLimits(value: unknown, problems: string[]): void {
  if (!isRecord(value)) return void problems.push('limits must be an object');
  const names = ['connectTimeoutMs', 'headersTimeoutMs', 'keepAliveTimeoutMs', 'maxConnections'];
  checkCounts(value, names, 'limits', problems);
  const { workers = 1 } = value;
  if (workers !== 'auto' && !(isCount(workers) && Number(workers) >= 1 && Number(workers) <= MAX_WORKERS))
    problems.push(`limits/workers must be a whole number from 1 to ${MAX_WORKERS}, or auto`);
}

function checkUnique(table: RouteTable, problems: string[]): void {
  const components = table.routes.map((route) => route.component);
  for (const name of duplicates(components)) problems.push(`component ${name} has two routes`);
  for (const route of table.routes)
    for (const id of duplicates(route.backends.map((backend) => backend.id)))
      problems.push(`component ${route.component} has backend ${id} twice`);
  const listeners = listenersOf(table);
  listeners.forEach((a, i) => {
    for (const b of listeners.slice(i + 1))
      if (placesOverlap(a, b)) problems.push(`${named(a)} and ${named(b)} exclude each other`);
  });
}

function named(listener: Listener & { component: string }): string {
  return `${listener.component} on ${placeKey(listener)}`;
}

function duplicates(values: readonly string[]): Set<string> {
  return new Set(values.filter((value, at) => values.indexOf(value) !== at));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^\P{Cc}+$/u.test(value) && value.length <= MAX_NAME_LENGTH;
}

function isOneOf<T extends string>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value);
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
