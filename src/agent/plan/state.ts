/**
 * The two things a plan is made from: what the operator wants of one component on this host
 * (Desired) and what is there now (Observed). Plain values; where they come from is the business of
 * record.ts (desired) and observe.ts (observed).
 */
import type { Component, HealthPolicy } from '../../config/project.ts';
import type { CanarySplit, Listener } from '../../proxy/tables/routes.ts';
import type { CanaryAnswers } from './canary.ts';

export type ContainerId = string;

export type DesiredStatus = 'ready' | 'stopped' | 'killed';

/** A numbered, immutable snapshot of everything that decides how a component runs. Made by `update`. */
export interface Release {
  readonly number: number;
  /** As the config names it: `repo:tag`. */
  readonly image: string;
  /** What that name meant when the release was made; nothing else is ever run for it. */
  readonly imageId: string;
  /** `repo@sha256:…`: what a registry has that very image by, wherever its tag has moved; absent: not known. */
  readonly digest?: string;
  readonly component: Component;
  /** Where clients reach it: the component's ports and its links. */
  readonly listeners: readonly Listener[];
  /** `{ALIAS}_CLINK…` variables of the links it requires. */
  readonly linkEnvironment: Readonly<Record<string, string>>;
  /** ISO time. */
  readonly at: string;
  /** All its containers have been ready and routed together once: from then on failures are healed, not rolled back. */
  readonly proven: boolean;
}

export interface Desired {
  readonly project: string;
  readonly component: string;
  readonly status: DesiredStatus;
  /**
   * undefined: never deployed. Kept through stop and kill. Its component has as many instances as are to be on this
   * host now, which may be none.
   */
  readonly release: Release | undefined;
  /** As `release`. The proven release that was wanted before it, whatever its number: where a failed release returns to. */
  readonly previous: Release | undefined;
  /** How long its containers stay warm once the desired release has been switched to; 0: they leave at once. */
  readonly keepOldMs: number;
  /** How far the trial of the desired release is; absent: it has not begun, or there is none. */
  readonly canary?: CanaryProgress | undefined;
}

export interface CanaryProgress {
  /** Epoch milliseconds from when on it has had its share of the work. */
  readonly since: number;
  /** It went well: the release may have all of the work. */
  readonly promoted: boolean;
}

/** `late`: its release's readyTimeout passed before it was ready. */
export type Readiness = 'pending' | 'ready' | 'late';

export interface Drain {
  /** Epoch milliseconds. */
  readonly since: number;
  /** The termination signals have been sent, or there are none. */
  readonly signalled: boolean;
  /** Every termination check passes now. */
  readonly mayStop: boolean;
  /** What holds it, as `2 connections, the oldest for 13 s`. */
  readonly heldBy: string;
  /** Open connections the proxy counts. */
  readonly connections: number;
  /** Epoch milliseconds; undefined: no bound. */
  readonly deadline: number | undefined;
}

/** What no check has seen yet. */
export const NOT_ASKED = 'no check has answered yet';

export interface ObservedContainer {
  readonly id: ContainerId;
  readonly name: string;
  readonly release: number;
  readonly state: 'created' | 'running' | 'exited';
  readonly readiness: Readiness;
  readonly health: 'unknown' | 'healthy' | 'unhealthy';
  /** Its release's: what being unhealthy means for it. */
  readonly healthPolicy: HealthPolicy;
  /** The last thing a check saw, for a sentence. */
  readonly saw: string;
  /** Epoch milliseconds until which it may become ready. */
  readonly readyBy: number;
  /** The proxy's table sends it traffic now. */
  readonly routed: boolean;
  /** It has had traffic at some time. */
  readonly served: boolean;
  /**
   * Epoch milliseconds until which it is to stay warm: unrouted, and of the release before, which may be wanted again.
   * May have passed. undefined: it need not.
   */
  readonly warmUntil: number | undefined;
  /** Open ones, that the proxy counts. */
  readonly connections: number;
  /** undefined: its drain has not begun. */
  readonly drain: Drain | undefined;
  /** A stop or removal that this process began is still under way. */
  readonly busy: boolean;
}

export interface Observed {
  /** Epoch milliseconds. */
  readonly now: number;
  /** The engine has the desired release's image. */
  readonly imagePresent: boolean;
  readonly containers: readonly ObservedContainer[];
  /** The listeners the proxy has for the component now. */
  readonly listeners: readonly Listener[];
  /** Which of them the kernel leads, and why not others, in words; absent: nobody wants it to. */
  readonly planes?: readonly string[];
  /** How the proxy splits new work now; absent: it does not. */
  readonly split?: CanarySplit | undefined;
  /** What it counted of that split. */
  readonly answers?: CanaryAnswers | undefined;
  /** Epoch milliseconds before which no container is started: the backoff after failures. */
  readonly startAfter: number;
  /** Of the release's containers, in a row: what the backoff grows with. */
  readonly failures: number;
  /** Health checks run here: only who runs them knows which of too many containers may go. */
  readonly heals: boolean;
  /** A desired release that is not proven may be brought further: in a fleet, it is this host's turn. */
  readonly mayAdvance: boolean;
}
