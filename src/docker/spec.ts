/**
 * From a component to the container Docker is asked for: name, labels, create body, spec hash. Pure.
 */
import { createHash } from 'node:crypto';
import type { Component } from '../config/project.ts';

/** Identity of our containers. Written once at creation; the only way they are found again. */
export const LABELS = {
  project: 'io.gantryd.project',
  component: 'io.gantryd.component',
  release: 'io.gantryd.release',
  spec: 'io.gantryd.spec',
  host: 'io.gantryd.host',
} as const;

export interface ContainerSpec {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Hash of all that decides how the container runs, without name and identity. */
  readonly hash: string;
  /** Body of POST /containers/create, without the name. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface SpecInput {
  readonly project: string;
  readonly component: Component;
  readonly release: number;
  /** Host id of the state directory. */
  readonly host: string;
  /** Image id the container must run. */
  readonly imageId: string;
  /** Link variables; they win over the component's own. */
  readonly linkEnvironment: Readonly<Record<string, string>>;
  /** Makes the name unique: four characters of [a-z0-9]. */
  readonly suffix: string;
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Same input, same spec, whatever the order of keys. The answer is frozen all the way down. */
export function containerSpec(input: SpecInput): ContainerSpec {
  const { project, component, release, host, suffix } = input;
  const name = `${project}-${component.name}-r${release}-${suffix}`;
  const body = createBody(input, CONTAINER_ID, component.labels);
  // Where the files of secrets are on the host is another matter; and who has none keeps the hash it had.
  const hash = hashOf(
    component.secrets.length === 0 ? body : { body, secrets: [...component.secrets].sort() },
  );
  const labels = {
    ...component.labels,
    [LABELS.project]: project,
    [LABELS.component]: component.name,
    [LABELS.release]: String(release),
    [LABELS.spec]: hash,
    [LABELS.host]: host,
  };
  return deepFreeze({ name, labels, hash, body: createBody(input, name, labels) });
}

/** The spec with more binds (`SOURCE:TARGET:ro`). Its hash stays as it is. */
export function withBinds(spec: ContainerSpec, binds: readonly string[]): ContainerSpec {
  if (binds.length === 0) return spec;
  const { Binds = [], ...rest } = spec.body.HostConfig as { readonly Binds?: readonly string[] };
  const body = { ...spec.body, HostConfig: { ...rest, Binds: [...Binds, ...binds] } };
  return deepFreeze({ ...spec, body });
}

/** Stands for the container's name in `bindings[].external`; the hash sees it unexpanded. */
const CONTAINER_ID = '{container_id}';

function createBody(input: SpecInput, name: string, labels: Readonly<Record<string, string>>) {
  const { component } = input;
  return {
    Image: input.imageId,
    Env: environment(component, input.linkEnvironment),
    ExposedPorts: exposedPorts(component),
    Labels: { ...labels },
    ...(component.command === undefined ? {} : { Cmd: [...component.command] }),
    ...(component.user === undefined ? {} : { User: component.user }),
    ...(component.hostname === undefined ? {} : { Hostname: component.hostname }),
    HostConfig: hostConfig(component, name),
  } satisfies Json;
}

function hostConfig(component: Component, name: string) {
  const { memoryBytes, cpus, network, logging } = component;
  return {
    Binds: component.bindings.map(
      (b) => `${b.external.replaceAll(CONTAINER_ID, name)}:${b.volume}${b.readOnly ? ':ro' : ''}`,
    ),
    VolumesFrom: [...component.volumesFrom],
    Privileged: component.privileged,
    ReadonlyRootfs: component.readOnly,
    CapAdd: [...component.capAdd],
    CapDrop: [...component.capDrop],
    Ulimits: component.ulimits.map((u) => ({ Name: u.name, Soft: u.soft, Hard: u.hard })),
    ExtraHosts: [...component.extraHosts],
    // Replacing a container that ended is gantryd's decision; the engine must not revive it behind its back.
    RestartPolicy: { Name: 'no' },
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    ...(network === undefined ? {} : { NetworkMode: network }),
    ...(logging === undefined ? {} : { LogConfig: { Type: logging.driver, Config: { ...logging.options } } }),
  } satisfies Json;
}

function environment(component: Component, links: Readonly<Record<string, string>>): string[] {
  const own = component.environment.map((e) => [e.name, e.value] as const);
  const merged = new Map([...own, ...Object.entries(links)]);
  return [...merged].sort(byFirst).map(([name, value]) => `${name}=${value}`);
}

function exposedPorts(component: Component): Record<string, Record<string, never>> {
  const [udp, tcp] = [true, false].map((is) =>
    component.ports.filter(({ kind }) => (kind === 'udp') === is).map((p) => p.containerPort),
  );
  const named = (protocol: string, ports: readonly number[] = []) =>
    [...new Set(ports)].sort((a, b) => a - b).map((port) => [`${port}/${protocol}`, {}] as const);
  return Object.fromEntries([
    ...named('tcp', [...(tcp ?? []), ...component.definesLinks.map((l) => l.port)]),
    ...named('udp', udp),
  ]);
}

/** Of what decides how a container runs: the same for any order of keys. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16);
}

/** JSON with the keys of every object in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(byFirst))
      : v,
  );
}

/** By code unit, so that it does not depend on the locale. */
function byFirst(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
