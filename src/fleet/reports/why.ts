/** What a component on its hosts waits for, or what went wrong with it, in plain words. Pure. */
import { instancesOf, instancesWords } from '../../agent/scale.ts';
import type {
  Death,
  DesiredValue,
  Failure,
  HostValue,
  ReleaseValue,
  RolloutValue,
  ScaleValue,
  SharesValue,
  StatusValue,
  TurnValue,
} from '../../cluster/values.ts';
import { isUnfinished } from '../intents/look.ts';
import { lateIn } from '../scale/shares.ts';
import { hostRows, lastCheck, statusWord } from './report.ts';

export interface WhyInput {
  readonly component: string;
  readonly desired: DesiredValue | undefined;
  readonly rollout: RolloutValue | undefined;
  readonly scale?: ScaleValue | undefined;
  /** How its total is spread, if it has one. */
  readonly shares?: SharesValue | undefined;
  /** The desired one. */
  readonly release: ReleaseValue | undefined;
  /** In the order of the queue. */
  readonly turns: readonly TurnValue[];
  /** Of the hosts that were asked for. */
  readonly statuses: readonly StatusValue[];
  readonly hosts: readonly HostValue[];
  /** Epoch milliseconds. */
  readonly now: number;
}

const TAIL = 20;
/** Most names that are worth reading in one sentence. */
const SHOWN = 3;

/** Lines, those about a host indented below its name. */
export function whyLines(input: WhyInput): readonly string[] {
  const { component, desired, statuses, hosts } = input;
  const rows = hostRows(component, desired, statuses, hosts);
  const told = rows.flatMap(({ host, why }) => {
    const status = statuses.find((s) => s.host === host);
    return status === undefined ? [`${host}: ${why}`] : hostLines(status, input);
  });
  const none =
    rows.length === 0 ? [`No agent runs ${component} on any live host: gantryd run starts one.`] : [];
  return [...rolloutWords(input), ...none, ...told];
}

/** What is wanted and how its rollout goes, without the hosts. */
export function rolloutWords(input: WhyInput): readonly string[] {
  return [...wantedLines(input), ...scaleLines(input), ...sharesLines(input), ...rolloutLines(input)];
}

function wantedLines({ component, desired, rollout, release, now }: WhyInput): readonly string[] {
  if (desired === undefined) return [`Nothing was asked of ${component} yet: gantryd update deploys it.`];
  const image = release === undefined ? '' : ` (${release.image.name}, ${shortImage(release.image.id)})`;
  const asked = `asked for by ${desired.by} ${ago(desired.at, now)}`;
  const word = statusWord(desired, rollout);
  if (desired.status !== 'ready') {
    const kept = desired.release === 0 ? '' : `; release ${desired.release}${image} is kept`;
    return [`${component} is to be ${desired.status}, ${asked}${kept}.`];
  }
  return [`${component} is to run release ${desired.release}${image}, ${asked}: ${word}.`];
}

function scaleLines({ scale, release, now }: WhyInput): readonly string[] {
  if (scale === undefined || scale.config === true) return [];
  const own = release === undefined ? '' : `; its release says ${instancesWords(instancesOf(release.spec))}`;
  const number =
    typeof scale.instances === 'number' ? `${scale.instances} on each host` : instancesWords(scale.instances);
  return [`It is scaled to ${number}, asked for by ${scale.by} ${ago(scale.at, now)}${own}.`];
}

/** Whom others wait for, and for whom they have the rest. */
function sharesLines({ shares, scale, release, desired }: WhyInput): readonly string[] {
  const own = release === undefined ? undefined : instancesOf(release.spec);
  const wanted = scale === undefined || scale.config === true ? own : scale.instances;
  if (shares === undefined || typeof wanted !== 'object' || desired?.status !== 'ready') return [];
  const { next, late = {} } = shares;
  const growing = lateIn(shares).map((host) => `${host} (${next?.[host] ?? 0})`);
  const less = Object.entries(late).map(([host, has]) => `${host} (${has})`);
  return [
    ...(growing.length === 0
      ? []
      : [`Not all there yet: ${names(growing)}; nobody gives up anything before.`]),
    ...(less.length === 0
      ? []
      : [`Could not have more in time: ${names(less)}; the others have the rest until it is tried again.`]),
  ];
}

function rolloutLines({ desired, rollout, turns, release, now }: WhyInput): readonly string[] {
  if (rollout === undefined || desired === undefined) return [];
  const { kind, state, attempt, reason, failure, after } = rollout;
  const isCurrent = rollout.generation === desired.generation;
  if (!isUnfinished(rollout) && failure === undefined) return [];
  if (!isCurrent && state !== 'failed') return [];
  const what = kind === 'rollback' ? `rollback to release ${rollout.release}` : 'rollout';
  const is = state === 'failed' ? 'failed' : `is ${state}`;
  const tries = attempt > 1 ? ` (attempt ${attempt})` : '';
  const because = reason === undefined ? '' : `: ${reason}`;
  const maxParallel = release?.spec.update.maxParallel ?? 1;
  return [
    `The ${what}, begun ${ago(rollout.at, now)}, ${is}${tries}${because}.`,
    ...(after.length > 0 && state === 'preparing'
      ? [`Before it switches, ${names(after.map((a) => a.component))} must be done.`]
      : []),
    ...(isUnfinished(rollout) && kind === 'update' ? turnLines(rollout, turns, maxParallel) : []),
    ...(state === 'paused' ? ['gantryd rollout resume lets it go on; update or rollback replaces it.'] : []),
    ...(failure === undefined ? [] : failureLines(failure)),
  ];
}

function turnLines(
  { state, generation }: RolloutValue,
  turns: readonly TurnValue[],
  maxParallel: number,
): readonly string[] {
  if (turns.length === 0) return [];
  const prepared = turns.filter((t) => t.generation === generation).map((t) => t.host);
  if (state === 'preparing') return prepared.length === 0 ? [] : [`Prepared: ${names(prepared)}.`];
  // Whoever still has a turn of an earlier rollout is before the others.
  const queue = turns.map((t) => t.host);
  const having = queue.slice(0, maxParallel);
  const waiting = queue.slice(maxParallel);
  const verb = having.length === 1 ? 'has its turn' : 'have their turn';
  const [next, ...then] = waiting;
  const rest = then.length === 0 ? '' : `, then ${names(then)}`;
  return [`${names(having)} ${verb}${next === undefined ? '' : `; ${next} is next${rest}`}.`];
}

/** How a release failed, for all who wait for it. */
export function failureLines({
  host,
  release,
  why,
  check,
  exitCode,
  oomKilled,
  logs,
}: Failure): readonly string[] {
  const exit = oomKilled === true ? `${exitCode}, out of memory` : `${exitCode}`;
  return [
    `Release ${release} failed on ${host}: ${why}`,
    ...(check === undefined || check === '' ? [] : [`  last check: ${check}`]),
    ...(exitCode === undefined ? [] : [`  exit code ${exit}`]),
    ...tail(logs),
  ];
}

function hostLines(status: StatusValue, { desired, turns, now }: WhyInput): readonly string[] {
  const {
    host,
    serving,
    phase,
    why,
    retryAt,
    since,
    settled,
    containers,
    logs,
    died,
    size,
    planes = [],
  } = status;
  const serves = serving === 0 ? 'nothing serves' : `release ${serving} serves`;
  const place = turns.findIndex((t) => t.host === host);
  const check = lastCheck(status);
  const open = containers.reduce((sum, c) => sum + c.connections, 0);
  const draining = containers.filter((c) => c.state === 'draining').length;
  const isDone = desired !== undefined && settled >= desired.generation;
  return [
    `${host}: ${phase} ${span(since, now)}, ${serves}${isDone ? ', as wanted' : ''}`,
    ...(why === '' ? [] : [`  ${why}`]),
    ...(size === undefined
      ? []
      : [`  ${containers.filter((c) => c.state === 'serving').length} of ${size.wanted} containers serve`]),
    ...(place >= 0 ? [`  place ${place + 1} in the queue for a turn`] : []),
    ...(draining > 0 ? [`  ${draining} draining, ${open} connections in all`] : []),
    ...planes.map((words) => `  ${words}`),
    ...(check === '' ? [] : [`  last check: ${check}`]),
    ...(retryAt === undefined ? [] : [`  next step ${inWords(retryAt - now)}`]),
    ...tail(logs),
    ...(died === undefined ? [] : deathLines(died, now)),
  ];
}

function deathLines(
  { container, exitCode, oomKilled, error, logs, at }: Death,
  now: number,
): readonly string[] {
  const exit =
    exitCode === undefined ? '' : `: exit code ${exitCode}${oomKilled === true ? ', out of memory' : ''}`;
  return [
    `  container ${container.slice(0, 12)} ended by itself ${ago(at, now)}${exit}`,
    ...(error === undefined ? [] : [`  the engine says: ${error}`]),
    ...tail(logs),
  ];
}

function tail(logs: readonly string[]): readonly string[] {
  const last = logs.slice(-TAIL);
  return last.length === 0 ? [] : ['  its last lines:', ...last.map((line) => `  | ${line}`)];
}

/** `3 s`, `2 min`, `5 h`, `4 d`: as coarse as it is long ago. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
}

function ago(at: string, now: number): string {
  return `${span(at, now).replace(/^for /, '')} ago`;
}

/** A host's clock may be ahead of ours: then it is now. */
function span(since: string, now: number): string {
  const begin = Date.parse(since);
  return `for ${Number.isNaN(begin) ? 'an unknown time' : duration(now - begin)}`;
}

function inWords(ms: number): string {
  return ms <= 0 ? 'now' : `in ${duration(ms)}`;
}

function names(all: readonly string[]): string {
  const rest = all.length - SHOWN;
  return rest > 0 ? `${all.slice(0, SHOWN).join(', ')} and ${rest} more` : all.join(', ');
}

function shortImage(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
