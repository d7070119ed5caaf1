/**
 * From a step of a job to the container Docker is asked for: name, labels, create body, networks. Parts of a create
 * body that came with the step lie below what gantryd decides. Pure.
 */
import type { Step, Variable } from '../config/job.ts';
import { JOB_LABELS, JOB_LOG, type JobContainerSpec } from './job-engine.ts';
import { deepFreeze, hashOf, LABELS } from './spec.ts';

export interface JobSpecInput {
  readonly project: string;
  /** Id of the run. */
  readonly run: string;
  /** From 1. */
  readonly attempt: number;
  readonly step: Step;
  /** 0-based index of the step. */
  readonly index: number;
  /** Host id of the state directory. */
  readonly host: string;
  /** Image id the container must run. */
  readonly imageId: string;
  /** All of it, the job's and the step's; later ones win. */
  readonly environment: readonly Variable[];
  /** As Docker's Binds, besides the step's mounts: secrets. */
  readonly binds: readonly string[];
  /** Makes the name unique: four characters of [a-z0-9]. */
  readonly suffix: string;
}

type Raw = Readonly<Record<string, unknown>>;

/** Same input, same spec. The answer is frozen all the way down. */
export function jobContainerSpec(input: JobSpecInput): JobContainerSpec {
  const { config = {}, hostConfig = {}, networkingConfig = {} } = input.step.engine ?? {};
  const endpoints = objectAt(networkingConfig, 'EndpointsConfig');
  const [first, ...networks] = networksOf(input.step, hostConfig, endpoints);
  const own = first !== undefined && first in endpoints ? { [first]: endpoints[first] } : undefined;
  const parts = {
    ...containerParts(input, config),
    HostConfig: over(hostConfig, { ...hostParts(input, hostConfig), ...given('NetworkMode', first) }),
    // Older engines take one network at creation.
    ...given('NetworkingConfig', own && { EndpointsConfig: own }),
  };
  const said = foreignLabels(config);
  const labels = { ...said, ...ownLabels(input) };
  return deepFreeze({
    name: nameOf(input),
    labels,
    hash: hashOf(over(config, { ...parts, Labels: said })),
    body: over(config, { ...parts, Labels: { ...labels } }),
    networks,
    endpoints: Object.fromEntries(
      networks.flatMap((name) => (name in endpoints ? [[name, objectAt(endpoints, name)]] : [])),
    ),
  });
}

function containerParts({ imageId, step, environment }: JobSpecInput, config: Raw): Raw {
  return {
    Image: imageId,
    Env: environmentOf(config, environment),
    ...given('Cmd', step.command),
    ...given('Entrypoint', step.entrypoint),
    ...given('User', step.user),
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    // Whatever the step says: on a terminal stdout and stderr are one, line ends are rewritten, and input is echoed.
    Tty: false,
  };
}

function hostParts({ step, binds }: JobSpecInput, hostConfig: Raw): Raw {
  const mounts = step.mounts.map((m) => `${m.source}:${m.target}${m.readOnly ? ':ro' : ''}`);
  const ours = [...mounts, ...binds];
  const taken = new Set(ours.map(targetOf));
  const mounted = listAt(hostConfig, 'Mounts').filter((m) => !taken.has(textAt(Object(m), 'Target') ?? ''));
  return {
    Binds: [...texts(listAt(hostConfig, 'Binds')).filter((bind) => !taken.has(targetOf(bind))), ...ours],
    ...given('Mounts', at(hostConfig, 'Mounts') === undefined ? undefined : mounted),
    ...given('Memory', step.memoryBytes),
    ...given('NanoCpus', step.cpus === undefined ? undefined : Math.round(step.cpus * 1e9)),
    ...given('CpuShares', step.cpuShares),
    LogConfig: JOB_LOG,
    // gantryd tries again, and gantryd removes, after it has taken what it wants of the container.
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
  };
}

/** The one it is made in, and those that it joins; []: Docker's default. */
function networksOf(step: Step, hostConfig: Raw, endpoints: Raw): readonly string[] {
  const mode = textAt(hostConfig, 'NetworkMode');
  const said = mode === undefined || mode === '' || mode === 'default' ? [] : [mode];
  const named = step.networks.length > 0 ? step.networks : said;
  return [...new Set([...named, ...Object.keys(endpoints)])];
}

/** `NAME` alone takes a variable of the image away. */
function environmentOf(config: Raw, environment: readonly Variable[]): readonly string[] {
  const raw = texts(listAt(config, 'Env')).map((line) => [line.split('=', 1)[0] ?? '', line] as const);
  const own = environment.map(({ name, value }) => [name, `${name}=${value}`] as const);
  return [...new Map([...raw, ...own]).values()];
}

function ownLabels({ project, host, run, attempt, index }: JobSpecInput): Readonly<Record<string, string>> {
  return {
    [LABELS.project]: project,
    [LABELS.host]: host,
    // An image may bear it, as one that was committed from a component's container: what it makes here is none.
    [LABELS.component]: '',
    [JOB_LABELS.run]: run,
    [JOB_LABELS.attempt]: String(attempt),
    [JOB_LABELS.step]: String(index),
  };
}

/** What is gantryd's own is said by gantryd alone: it must not pass for a component's container. */
function foreignLabels(config: Raw): Readonly<Record<string, string>> {
  const labels = Object.entries(objectAt(config, 'Labels')).filter(([key]) => !key.startsWith(OWN_LABELS));
  return Object.fromEntries(labels.map(([key, value]) => [key, String(value)]));
}

const OWN_LABELS = 'io.gantryd.';
/** Of a host name, which other containers of its network may call it by. */
const NAME_CHARS = 63;

/** What does not fit is taken from the end of the run's name. */
function nameOf({ project, run, index, attempt, suffix }: JobSpecInput): string {
  const end = `-s${index}-a${attempt}-${suffix}`;
  const begin = `${project}-${run}`.replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return `${begin.slice(0, NAME_CHARS - end.length)}${end}`;
}

/** Of a bind as `source:target:options`; a lone path is a target. */
function targetOf(bind: string): string {
  const [source = '', target] = bind.split(':');
  return target ?? source;
}

/** Docker reads keys without regard to case, and takes the last: none may slip by. */
function over(raw: Raw, ours: Raw): Raw {
  const decided = new Set(Object.keys(ours).map((key) => key.toLowerCase()));
  const kept = Object.entries(raw).filter(([key]) => !decided.has(key.toLowerCase()));
  return { ...Object.fromEntries(kept), ...ours };
}

function at(raw: Raw, key: string): unknown {
  const found = Object.keys(raw).findLast((k) => k.toLowerCase() === key.toLowerCase());
  return found === undefined ? undefined : raw[found];
}

function objectAt(raw: Raw, key: string): Raw {
  const value = at(raw, key);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Raw) : {};
}

function listAt(raw: Raw, key: string): readonly unknown[] {
  const value = at(raw, key);
  return Array.isArray(value) ? value : [];
}

function textAt(raw: Raw, key: string): string | undefined {
  const value = at(raw, key);
  return typeof value === 'string' ? value : undefined;
}

function texts(values: readonly unknown[]): readonly string[] {
  return values.filter((value) => typeof value === 'string');
}

function given(key: string, value: unknown): Raw {
  return value === undefined ? {} : { [key]: value };
}
