/**
 * A command in a container of a component, wherever in the fleet that is: which container, by what the hosts say of
 * themselves, and the connection to the agent that has it.
 */
import type { Duplex } from 'node:stream';
import type { StatusContainer, StatusValue } from '../../cluster/values.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import { short } from '../../event-words.ts';
import { type Fleet, hostsOf, statusesOf } from '../../fleet/intents/look.ts';
import { lookAtOne } from '../../fleet/reports/why-look.ts';
import { pause } from '../../poke.ts';
import { peerOf } from '../peers.ts';
import { dialExec } from './exec-client.ts';

/** A container may be replaced, or an agent start anew, between the look and the call. */
const TRIES = 3;
const RETRY_MS = 300;

export interface FleetExecAsked {
  readonly project: string;
  readonly component: string;
  /** Absent: any. */
  readonly host?: string;
  /** The beginning of its id. Absent: one that serves. */
  readonly container?: string;
  readonly by: string;
}

export interface Chosen {
  readonly host: string;
  /** The whole id. */
  readonly container: string;
  /** Of so many. */
  readonly of: number;
}

export interface FleetExec extends Chosen {
  /** Speaks EXEC_PROTOCOL. */
  readonly socket: Duplex;
}

/**
 * Throws project-unknown, component-unknown, usage for a host that does not run it or a container that is not unique,
 * no-hosts when none does, container-gone when no container runs, and output-gone when the agent does not answer.
 */
export async function fleetExec(
  fleet: Fleet,
  asked: FleetExecAsked,
  signal: AbortSignal,
): Promise<FleetExec> {
  for (let tries = 1; ; tries++) {
    try {
      return await tried(fleet, asked, signal);
    } catch (error) {
      if (tries === TRIES || !isGantryError(error) || !error.retryable || signal.aborted) throw error;
      await pause(RETRY_MS, signal);
    }
  }
}

async function tried(fleet: Fleet, asked: FleetExecAsked, signal: AbortSignal): Promise<FleetExec> {
  const { project, by } = asked;
  const { component } = await lookAtOne(fleet, { project, component: [asked.component] });
  const hosts = await hostsOf(fleet, project);
  const live = hosts.filter((h) => h.components.includes(component)).map(({ host }) => host);
  const statuses = await statusesOf(fleet, project, component);
  const chosen = choose({ component, live, statuses }, asked);
  const has = `the container ${short(chosen.container)} of ${component}`;
  const peer = await peerOf(fleet, { project, host: chosen.host, has });
  const socket = await dialExec(peer, { component, container: chosen.container, by }, signal);
  return { ...chosen, socket };
}

interface Here extends StatusContainer {
  readonly host: string;
}

export interface Known {
  readonly component: string;
  /** Hosts whose agents run it. */
  readonly live: readonly string[];
  readonly statuses: readonly StatusValue[];
}

/** The one that has been there longest of those that serve, on the first host by name. Pure. */
export function choose(
  { component, live, statuses }: Known,
  asked: Pick<FleetExecAsked, 'host' | 'container'>,
): Chosen {
  if (live.length === 0) throw nobodyRuns(component);
  if (asked.host !== undefined && !live.includes(asked.host)) throw hostUnknown(asked.host, component, live);
  const hosts = live.filter((host) => asked.host === undefined || host === asked.host);
  const there: readonly Here[] = statuses
    .filter(({ host }) => hosts.includes(host))
    .flatMap(({ host, containers }) => containers.map((each) => ({ ...each, host })))
    .sort((a, b) => (`${a.host} ${a.startedAt}` < `${b.host} ${b.startedAt}` ? -1 : 1));
  const fitting = asked.container === undefined ? preferred(there) : named(there, asked.container, component);
  const [first] = fitting;
  if (first === undefined) throw noneRuns(component, asked.host);
  return { host: first.host, container: first.id, of: fitting.length };
}

/** Those that serve; else those that may be looked at to find out why they do not. */
function preferred(there: readonly Here[]): readonly Here[] {
  const of = (...states: Here['state'][]) => there.filter(({ state }) => states.includes(state));
  return (
    [of('serving'), of('ready'), of('starting'), of('draining', 'warm')].find((all) => all.length > 0) ?? []
  );
}

function named(there: readonly Here[], id: string, component: string): readonly Here[] {
  const found = there.filter((each) => each.id.startsWith(id));
  if (found.length === 1) return found;
  const all = (found.length > 0 ? found : there).map((each) => `${each.host}/${short(each.id)}`);
  const message =
    found.length > 0
      ? `${found.length} containers of ${component} begin with ${id}`
      : `${component} has no container ${id}${didYouMean(
          id,
          there.map((each) => short(each.id)),
        )}`;
  throw new GantryError('usage', message, {
    hint: all.length === 0 ? 'It has none at all.' : `There are: ${all.join(', ')}.`,
  });
}

function nobodyRuns(component: string): GantryError {
  return new GantryError('no-hosts', `No live host runs ${component}`, {
    hint: 'An agent of the project must run: gantryd run PROJECT.',
  });
}

function hostUnknown(host: string, component: string, names: readonly string[]): GantryError {
  return new GantryError('usage', `${component} runs on no live host ${host}${didYouMean(host, names)}`, {
    hint: `It runs on: ${names.join(', ')}.`,
  });
}

function noneRuns(component: string, host: string | undefined): GantryError {
  const where = host === undefined ? '' : ` on ${host}`;
  return new GantryError('container-gone', `${component} has no container that runs${where}`, {
    hint: 'gantryd why PROJECT -c COMPONENT tells why.',
  });
}
