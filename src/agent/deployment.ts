/**
 * One release on its way, as the command that made it sees it: it serves and the old ones are gone, it failed,
 * somebody wanted something newer, or the command is interrupted. What happens is the plan's business; this
 * tells when it is over, and takes the release back when it must not go on.
 */
import { GantryError, isGantryError, messageOf } from '../errors.ts';
import { pause } from '../poke.ts';
import type { Agent, View } from './agent.ts';
import { runsAlone } from './plan/standing.ts';
import type { Release } from './plan/state.ts';
import { withFailedRelease } from './record.ts';

/** How a command ended that did not fail. */
export type Outcome = 'done' | 'draining' | 'not-running';

export interface FollowOptions {
  /** Do not stay for connections that hold the old containers. */
  readonly detach: boolean;
  readonly now: () => number;
}

/** A detached command stays this long after the switch: most old containers are free by then, and go. */
const DETACH_PATIENCE_MS = 500;
/** How long a withdrawn release may take to leave, on top of its stopTimeout. */
const WITHDRAW_MS = 20_000;
/** How long the engine may be away while a release is withdrawn, and how often it is tried. */
const ENGINE_BACK_MS = 5_000;
const ENGINE_PAUSE_MS = 200;

/** Runs the loop until the release is settled. Throws release-failed, superseded, interrupted, or what a round throws. */
export async function follow(
  agent: Agent,
  release: Release,
  options: FollowOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const isLeftAlone = options.detach ? patience(options.now) : () => false;
  try {
    const view = await agent.run((v) => isOver(v, release) || v.plan.length === 0 || isLeftAlone(v), signal);
    if (!isOver(view, release)) return view.plan.length === 0 ? 'done' : 'draining';
    throw await whyOver(agent, view, release);
  } catch (error) {
    if (isGantryError(error, 'release-failed') || isGantryError(error, 'superseded')) throw error;
    return withdraw(agent, release, error, signal.aborted);
  }
}

export function superseded(name: string, view: View): GantryError {
  const now = view.desired.status === 'ready' ? `release ${view.record.release}` : view.desired.status;
  return new GantryError('superseded', `Another command changed ${name} meanwhile: it is to be ${now}`, {
    hint: 'That command goes on; nothing is left to do for this one.',
  });
}

/** Says yes once nothing but connections has held the old containers for the patience's time. */
function patience(now: () => number): (view: View) => boolean {
  let since: number | undefined;
  return (view) => {
    const onlyHeld = view.desired.release?.proven === true && view.plan.every((a) => a.kind === 'wait');
    since = onlyHeld ? (since ?? now()) : undefined;
    return since !== undefined && now() - since >= DETACH_PATIENCE_MS;
  };
}

/** The record no longer wants this release. */
function isOver(view: View, release: Release): boolean {
  return view.desired.status !== 'ready' || view.record.release !== release.number;
}

/** Because it failed, or because somebody wants something newer. */
async function whyOver(agent: Agent, view: View, release: Release): Promise<GantryError> {
  const { name } = release.component;
  const failed = view.record.reason !== undefined && view.record.releases.at(-1)?.number === release.number;
  if (!failed) return superseded(name, view);
  const removed = await isRemoved(agent, release);
  const ready = view.desired.status === 'ready';
  const serves = ready ? `release ${view.record.release} serves on` : 'nothing served before it';
  const message = `Release ${release.number} of ${name} failed: ${view.record.reason}`;
  const left = removed ? 'Its containers are removed' : 'The next command on it removes its containers';
  return new GantryError('release-failed', message, { hint: `${left}; ${serves}.` });
}

/** Something went wrong or Ctrl-C came. Before the switch the release is taken back, after it only the drain is left. */
async function withdraw(agent: Agent, release: Release, error: unknown, aborted: boolean): Promise<Outcome> {
  const { name } = release.component;
  const proven = await takeBack(agent, release, aborted ? 'interrupted' : messageOf(error));
  if (proven && aborted) return 'draining';
  if (proven) throw hinted(error, `The new containers of ${name} serve; the next command on it goes on.`);
  const removed = await isRemoved(agent, release);
  const left = removed
    ? 'Its new containers are removed'
    : 'The next command on it removes its new containers';
  const standing = `${left}; what served before serves on.`;
  if (!aborted) throw hinted(error, `The update of ${name} is given up. ${standing}`);
  const message = `The update of ${name} was interrupted before the switch`;
  throw new GantryError('interrupted', message, { hint: standing });
}

/** Answers whether the release has served: then it stays. */
async function takeBack(agent: Agent, release: Release, reason: string): Promise<boolean> {
  let proven = false;
  await agent.change((record) => {
    proven = record.releases.some((r) => r.number === release.number && r.proven);
    return proven ? record : withFailedRelease(record, release.number, reason);
  }, AbortSignal.timeout(WITHDRAW_MS));
  return proven;
}

/** Whether its containers are gone in the end. An engine that is away is given a moment to come back. */
async function isRemoved(agent: Agent, release: Release): Promise<boolean> {
  const bound = AbortSignal.timeout(ENGINE_BACK_MS);
  for (;;) {
    try {
      await untilGone(agent, release);
      return true;
    } catch (error) {
      if (bound.aborted || !isGantryError(error) || !error.retryable) return false;
      await pause(ENGINE_PAUSE_MS, bound);
    }
  }
}

/** Nothing of it is left, and what had to end for it to begin (`stop-first`) serves again. */
async function untilGone(agent: Agent, release: Release): Promise<void> {
  const alone = runsAlone(release);
  const { stopTimeoutMs, readyTimeoutMs } = release.component;
  const bound = AbortSignal.timeout(WITHDRAW_MS + stopTimeoutMs + (alone ? readyTimeoutMs : 0));
  const isGone = ({ observed }: View) => observed.containers.every((c) => c.release !== release.number);
  await agent.run((view) => isGone(view) && (!alone || servesIfWanted(view)), bound);
}

function servesIfWanted({ desired, observed }: View): boolean {
  return desired.status !== 'ready' || observed.containers.some((c) => c.routed);
}

/** The error with how things stand now, behind what it says itself. */
function hinted(error: unknown, standing: string): unknown {
  if (!isGantryError(error)) return error;
  const { code, message, hint, retryable, cause } = error;
  const whole = hint === undefined ? standing : `${hint.replace(/[^.!?]$/, '$&.')} ${standing}`;
  return new GantryError(code, message, { hint: whole, retryable, cause });
}
