/**
 * From a project file that passed the schema and the rules to the Project everyone else sees: defaults
 * filled in from the schema, units in the names, image put together, deeply frozen. Pure.
 */
import { resolve } from 'node:path';
import type { Check } from '../checks/check.ts';
import type { Listener } from '../proxy/tables/routes.ts';
import { isRecord } from './problems.ts';
import type { CanaryTerms, Component, Project, Signal } from './project.ts';
import { parseBytes } from './quantities.ts';
import {
  type FilledComponent,
  type FilledProject,
  PROJECT_SCHEMA,
  type RawProject,
  ROOT,
  type SchemaNode,
} from './schema.ts';

const READY_INTERVAL_MS = 250;
const INTERVAL_MS = 5_000;

type FilledCheck = FilledComponent['readyChecks'][number];
type FilledSignal = FilledComponent['terminationSignals'][number];

/** Fields that came later than the first release. */
type Later =
  | 'idleTimeoutMs'
  | 'closeSpreadMs'
  | 'holdTimeoutMs'
  | 'slowStartMs'
  | 'healthPolicy'
  | 'secrets'
  | 'hostLossTimeoutMs';
type OlderComponent = Omit<Component, Later | 'update'> &
  Partial<Pick<Component, Later>> & { readonly update?: Partial<Component['update']> };

const FIELDS = PROJECT_SCHEMA.properties.components.items.properties;
const DEFAULT_UPDATE = freeze(toUpdate(fill(FIELDS.update, {}) as FilledComponent['update']));
const DEFAULTS: Pick<Component, Later> = freeze({
  idleTimeoutMs: FIELDS.idleTimeout.default,
  closeSpreadMs: FIELDS.closeSpread.default,
  holdTimeoutMs: FIELDS.holdTimeout.default,
  slowStartMs: FIELDS.slowStart.default,
  healthPolicy: FIELDS.healthPolicy.default,
  secrets: FIELDS.secrets.default,
  hostLossTimeoutMs: FIELDS.hostLossTimeout.default,
});
const DEFAULT_CANARY_PERCENT = 10;

export interface Surroundings {
  /** Name of the project when the file gives none. */
  readonly name: string;
  /** Folder that relative paths count from. */
  readonly folder: string;
}

export function normalise(raw: RawProject, { name, folder }: Surroundings): Project {
  const filled = fill(ROOT, raw) as FilledProject;
  const { connectTimeout, headersTimeout, keepAliveTimeout, maxConnections, workers } = filled.proxy;
  return freeze({
    name: filled.project ?? name,
    components: filled.components.map((component) => toComponent(component, folder)),
    limits: {
      connectTimeoutMs: connectTimeout,
      headersTimeoutMs: headersTimeout,
      keepAliveTimeoutMs: keepAliveTimeout,
      maxConnections,
      // Absent is what tables had before there were any.
      ...(workers === 1 ? {} : { workers: workers as number | 'auto' }),
    },
    notify: filled.notify.map(({ url, on, secret, drainLongerThan }) => ({
      ...{ url, on, drainLongerThanMs: drainLongerThan },
      ...(secret === undefined ? {} : { secret }),
    })),
  });
}

/** A component that was written down when there were fewer fields, with the defaults of the newer ones. */
export function completed(component: OlderComponent): Component {
  return { ...DEFAULTS, ...component, update: { ...DEFAULT_UPDATE, ...component.update } };
}

/** The one container port that `ports` name, if they name only one. */
export function onlyPort(ports: unknown): number | undefined {
  if (!Array.isArray(ports)) return undefined;
  const asked = ports.filter((port) => !isRecord(port) || port.kind !== 'udp');
  const containers = new Set(asked.map((port) => (isRecord(port) ? port.container : undefined)));
  const [port] = containers;
  return containers.size === 1 && typeof port === 'number' ? port : undefined;
}

/** The value with the schema's defaults where it has nothing. The value itself stays as it is. */
export function fill(node: SchemaNode, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => fill(node.items ?? {}, item));
  if (!isRecord(value) || node.properties === undefined) return value;
  const filled: Record<string, unknown> = {};
  for (const [field, child] of Object.entries(node.properties)) {
    const given = Object.hasOwn(value, field) ? value[field] : undefined;
    const chosen = given === undefined ? child.default : given;
    if (chosen !== undefined) filled[field] = fill(child, chosen);
  }
  return filled;
}

function toListener({
  address,
  external,
  container,
  kind,
  plane,
}: FilledComponent['ports'][number]): Listener {
  const listener = { address, port: external, kind, containerPort: container };
  return plane === undefined || plane === 'userspace' ? listener : { ...listener, plane };
}

function toComponent(raw: FilledComponent, folder: string): Component {
  const port = onlyPort(raw.ports);
  const checks = (list: readonly FilledCheck[], intervalMs: number) =>
    list.map((check) => toCheck(check, port, intervalMs));
  return {
    name: raw.name,
    image: raw.tag.startsWith('sha256:') ? `${raw.repo}@${raw.tag}` : `${raw.repo}:${raw.tag}`,
    ports: raw.ports.map(toListener),
    readyChecks: checks(raw.readyChecks, READY_INTERVAL_MS),
    healthChecks: checks(raw.healthChecks, INTERVAL_MS),
    readyTimeoutMs: raw.readyTimeout,
    terminationSignals: raw.terminationSignals.map((signal) => toSignal(signal, port)),
    terminationChecks: checks(raw.terminationChecks, INTERVAL_MS),
    idleTimeoutMs: raw.idleTimeout,
    closeSpreadMs: raw.closeSpread,
    holdTimeoutMs: raw.holdTimeout,
    slowStartMs: raw.slowStart,
    stopTimeoutMs: raw.stopTimeout,
    healthPolicy: raw.healthPolicy,
    ...toCounts(raw),
    hostLossTimeoutMs: raw.hostLossTimeout,
    update: toUpdate(raw.update),
    bindings: raw.bindings.map(({ external, volume, readOnly }) => ({ external, volume, readOnly })),
    volumesFrom: raw.volumesFrom,
    definesLinks: raw.defineComponentLinks.map(({ name, port, kind }) => ({ name, port, kind })),
    requiresLinks: raw.requireComponentLinks.map(({ name, alias }) => ({ name, alias })),
    environment: raw.environmentVariables.map(({ name, value }) => ({ name, value })),
    secrets: raw.secrets,
    privileged: raw.privileged,
    extraHosts: raw.extraHosts,
    labels: { ...raw.labels },
    readOnly: raw.readOnly,
    capAdd: raw.capAdd,
    capDrop: raw.capDrop,
    ulimits: raw.ulimits.map(({ name, soft, hard }) => ({ name, soft, hard: hard ?? soft })),
    ...given({
      user: raw.user,
      command: raw.command,
      drainTimeoutMs: raw.drainTimeout || undefined,
      memoryBytes: raw.resources.memory === undefined ? undefined : parseBytes(raw.resources.memory),
      cpus: raw.resources.cpus,
      network: raw.network,
      hostname: raw.hostname,
      logging: raw.logging && { driver: raw.logging.driver, options: { ...raw.logging.options } },
      registryAuth: raw.registryAuth && resolve(folder, raw.registryAuth),
    }),
  };
}

/** A host that has no fleet runs all of a total. */
function toCounts({
  instances,
  spread,
}: Pick<FilledComponent, 'instances' | 'spread'>): Pick<Component, 'instances' | 'total' | 'spread'> {
  if (typeof instances === 'number') return { instances };
  const { total } = instances;
  return { instances: total, total, ...given({ spread: spread?.slice('label.'.length) }) };
}

function toUpdate(raw: FilledComponent['update']): Component['update'] {
  const { order, maxParallel, onFailure, monitor, keepOld, canary } = raw;
  const update = { order, maxParallel, onFailure, monitorMs: monitor, keepOldMs: keepOld };
  return canary === undefined ? update : { ...update, canary: toCanary(canary) };
}

function toCanary(raw: NonNullable<FilledComponent['update']['canary']>): CanaryTerms {
  const { percent, instances, minutes, maxErrorRate, maxLatencyRatio } = raw;
  return {
    ...given({
      percent: percent ?? (instances === undefined ? DEFAULT_CANARY_PERCENT : undefined),
      instances,
      maxLatencyRatio,
    }),
    durationMs: Math.round(minutes * 60_000),
    maxErrorRate,
  };
}

function toCheck(raw: FilledCheck, port: number | undefined, intervalMs: number): Check {
  return {
    ...probe(raw, port),
    kind: raw.kind,
    intervalMs: raw.interval ?? intervalMs,
    fall: raw.fall,
    rise: raw.rise,
  };
}

function toSignal(raw: FilledSignal, port: number | undefined): Signal {
  return { ...probe(raw, port), kind: raw.kind };
}

/** What checks and signals have in common: each kind has its own fields only. */
function probe(raw: FilledCheck | FilledSignal, port: number | undefined) {
  const http = raw.kind === 'http' || raw.kind === 'https';
  return {
    id: raw.id || raw.kind,
    timeoutMs: raw.timeout,
    ...given({
      port: http || raw.kind === 'tcp' ? (raw.port ?? port) : undefined,
      path: http ? raw.path : undefined,
      verify: raw.kind === 'https' ? raw.verify : undefined,
      command: raw.kind === 'exec' ? raw.command : undefined,
    }),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the fields that are undefined. */
export function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}

/** Deeply, and answers it. */
export function freeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) {
    if (typeof child === 'object' && child !== null && !Object.isFrozen(child)) freeze(child);
  }
  return Object.freeze(value);
}
