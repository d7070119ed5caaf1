/**
 * From Docker's JSON to gantryd's values: containers of the list answer, of components and of jobs, exit reports,
 * gateways. Pure.
 */
import type { ContainerInfo, ContainerInspectInfo, NetworkInspectInfo } from 'dockerode';
import type { Container, ContainerFilter, ContainerHealth, ContainerState, ExitReport } from './engine.ts';
import { JOB_LABELS, type JobContainer, type JobFilter } from './job-engine.ts';
import { LABELS } from './spec.ts';

const STATES: readonly string[] = [
  'created',
  'running',
  'paused',
  'restarting',
  'exited',
  'dead',
  'removing',
] satisfies ContainerState[];

/** Label filters of the list call. Without a project: whatever bears our key. */
export function labelFilters(filter: ContainerFilter): string[] {
  const wanted = (['project', 'component', 'host'] as const).flatMap((key) =>
    filter[key] === undefined ? [] : [`${LABELS[key]}=${filter[key]}`],
  );
  return [LABELS.project, ...wanted];
}

/** undefined: its labels are not ours, or not whole. */
export function containerOf(info: ContainerInfo): Container | undefined {
  const identity = identityOf(info.Labels);
  const state = STATES.find((s): s is ContainerState => s === info.State);
  if (identity === undefined || state === undefined) return undefined;
  return {
    id: info.Id,
    name: (info.Names?.[0] ?? '').replace(/^\//, ''),
    ...identity,
    imageId: info.ImageID,
    image: info.Image,
    state,
    status: info.Status,
    health: healthOf(info.Status),
    createdAt: info.Created * 1000,
    address: addressOf(info, state),
  };
}

/** The list answer has it only in its words: `Up 17 seconds (health: starting)`. Of a paused one nothing is said. */
export function healthOf(status: string): ContainerHealth {
  const [, said] = /\((?:health: )?(starting|healthy|unhealthy)\)$/.exec(status) ?? [];
  return (said as ContainerHealth | undefined) ?? 'none';
}

export function identityOf(labels: Readonly<Record<string, string>> | undefined | null) {
  const [project, component, specHash, host] = [
    LABELS.project,
    LABELS.component,
    LABELS.spec,
    LABELS.host,
  ].map((key) => labels?.[key]);
  const release = Number(labels?.[LABELS.release] ?? Number.NaN);
  if (!project || !component || !specHash || !host || !Number.isInteger(release)) return undefined;
  return { project, component, release, specHash, host };
}

/** As labelFilters, for containers of jobs. */
export function jobLabelFilters({ project, host, run }: JobFilter): string[] {
  const wanted = Object.entries({ [LABELS.project]: project, [LABELS.host]: host, [JOB_LABELS.run]: run });
  return wanted.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
}

/** undefined: its labels are not those of a job's container, or not whole. */
export function jobContainerOf(info: ContainerInfo): JobContainer | undefined {
  const identity = jobIdentityOf(info.Labels);
  if (identity === undefined) return undefined;
  const name = (info.Names?.[0] ?? '').replace(/^\//, '');
  const running = ['running', 'paused', 'restarting'].includes(info.State);
  return { id: info.Id, name, ...identity, running, state: info.State };
}

/** One with the labels of a component's container is no job's, whatever else it bears. */
export function jobIdentityOf(labels: Readonly<Record<string, string>> | undefined | null) {
  const [project, host, run] = [LABELS.project, LABELS.host, JOB_LABELS.run].map((key) => labels?.[key]);
  const [attempt, step] = [JOB_LABELS.attempt, JOB_LABELS.step].map((key) =>
    Number(labels?.[key] ?? Number.NaN),
  );
  if (!project || !host || !run || !isCount(attempt) || !isCount(step)) return undefined;
  return identityOf(labels) === undefined ? { project, host, run, attempt, step } : undefined;
}

/** Whether gantryd made it: for a component or for a job. */
export function isOurs(labels: Readonly<Record<string, string>> | undefined | null): boolean {
  return identityOf(labels) !== undefined || jobIdentityOf(labels) !== undefined;
}

function isCount(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** undefined while it has not ended; of one that could not start, what the engine said. */
export function exitReport(info: ContainerInspectInfo): ExitReport {
  const { State } = info;
  const ended = State.Status === 'exited' || State.Status === 'dead' || State.Error !== '';
  return {
    exitCode: ended ? State.ExitCode : undefined,
    oomKilled: State.OOMKilled,
    error: State.Error,
    startedAt: timeOf(State.StartedAt),
    finishedAt: ended ? timeOf(State.FinishedAt) : undefined,
  };
}

/** This host's IPv4 address on a bridge network; its IPv6 address when it has no other. */
export function gatewayOf(network: NetworkInspectInfo): string | undefined {
  if (network.Driver !== 'bridge') return undefined;
  const pools: readonly { Gateway?: string | undefined; Subnet?: string | undefined }[] =
    network.IPAM?.Config ?? [];
  const addresses = pools.flatMap((pool) => pool.Gateway?.split('/')[0] || firstOf(pool.Subnet) || []);
  return addresses.find((a) => !a.includes(':')) ?? addresses[0];
}

/** First usable address of an IPv4 subnet, which Docker gives to the bridge when nothing else is said. */
function firstOf(subnet: string | undefined): string | undefined {
  const parts = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/
    .exec(subnet ?? '')
    ?.slice(1)
    .map(Number);
  if (parts === undefined) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = parts;
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  const first = ((((a << 24) | (b << 16) | (c << 8) | d) & mask) >>> 0) + 1;
  return [24, 16, 8, 0].map((shift) => (first >>> shift) & 255).join('.');
}

function addressOf(info: ContainerInfo, state: ContainerState): string | undefined {
  if (state !== 'running' && state !== 'paused') return undefined;
  const mode = info.HostConfig?.NetworkMode ?? 'default';
  if (mode === 'host') return '127.0.0.1';
  const networks = info.NetworkSettings?.Networks ?? {};
  const own = networks[mode === 'default' ? 'bridge' : mode];
  const joined = [...(own === undefined ? [] : [own]), ...Object.values(networks)];
  const v4 = joined.find((n) => n.IPAddress)?.IPAddress;
  return v4 ?? (joined.find((n) => n.GlobalIPv6Address)?.GlobalIPv6Address || undefined);
}

/** Docker writes the year 1 for "never". */
function timeOf(text: string): number | undefined {
  const time = Date.parse(text);
  return time > 0 ? time : undefined;
}
