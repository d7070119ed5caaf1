/**
 * What gantryd tells about what it does: one union, for the terminal, --json, logs and tests alike.
 * Every event is a transition that happened, with why; only `waiting` comes again, as what is waited for grows older.
 */
import type { Health, Verdict } from './checks/check.ts';

/** What a container leaves behind when it fails. */
export interface LastWords {
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** The engine's words when it could not run. */
  readonly error?: string;
  /** The last lines it printed, at most 20. */
  readonly logs: readonly string[];
}

type Fact =
  | { readonly kind: 'image-pulling'; readonly image: string; readonly why: string }
  | {
      readonly kind: 'image-progress';
      readonly image: string;
      readonly layers: number;
      readonly done: number;
      readonly bytes: number;
      readonly totalBytes: number;
    }
  | { readonly kind: 'image-ready'; readonly image: string; readonly imageId: string }
  | {
      readonly kind: 'release-made';
      readonly release: number;
      readonly image: string;
      readonly imageId: string;
    }
  | {
      readonly kind: 'container-created';
      readonly container: string;
      readonly name: string;
      readonly release: number;
      readonly why: string;
    }
  | { readonly kind: 'container-started'; readonly container: string; readonly release: number }
  | {
      readonly kind: 'check';
      readonly container: string;
      readonly purpose: 'ready' | 'health' | 'termination';
      readonly verdict: Verdict;
    }
  /** Its ready checks pass. A container without any is ready once it is started, and only that is told. */
  | { readonly kind: 'container-ready'; readonly container: string }
  | {
      readonly kind: 'health-changed';
      readonly container: string;
      readonly was: Health;
      readonly now: Health;
      /** What the check saw. */
      readonly why: string;
    }
  | {
      readonly kind: 'switched';
      readonly release: number | undefined;
      readonly containers: readonly string[];
      readonly was: readonly string[];
      readonly why: string;
    }
  /** These containers of the release get this share of the new work, until this time. */
  | {
      readonly kind: 'canary-started';
      readonly release: number;
      readonly containers: readonly string[];
      readonly percent: number;
      readonly until: number;
      readonly why: string;
    }
  | { readonly kind: 'canary-promoted'; readonly release: number; readonly why: string }
  | { readonly kind: 'release-proven'; readonly release: number }
  | {
      readonly kind: 'release-failed';
      readonly release: number;
      readonly container: string;
      readonly why: string;
      readonly verdict?: Verdict;
      readonly lastWords: LastWords;
      readonly serving: number | undefined;
    }
  | { readonly kind: 'stop-started'; readonly status: 'stopped' | 'killed' }
  | { readonly kind: 'drain-started'; readonly container: string; readonly why: string }
  | { readonly kind: 'signals-sent'; readonly container: string; readonly verdicts: readonly Verdict[] }
  | {
      readonly kind: 'drain-cut';
      readonly container: string;
      readonly connections: number;
      readonly why: string;
    }
  | { readonly kind: 'container-stopping'; readonly container: string; readonly why: string }
  | { readonly kind: 'container-killed'; readonly container: string; readonly why: string }
  | { readonly kind: 'container-removed'; readonly container: string; readonly why: string }
  | {
      readonly kind: 'container-failed';
      readonly container: string;
      readonly why: string;
      readonly lastWords: LastWords;
    }
  /** More than half do not serve, and not because somebody asked for it: one is replaced at a time. Once, until all serve. */
  | {
      readonly kind: 'mass-failure';
      readonly failed: number;
      readonly instances: number;
      /** What became of the first few. */
      readonly why: string;
    }
  | {
      readonly kind: 'waiting';
      readonly for: string;
      readonly why: string;
      readonly until: number | undefined;
    }
  | { readonly kind: 'trouble'; readonly code: string; readonly message: string; readonly hint?: string }
  | { readonly kind: 'monitoring' }
  /** A host of a fleet went a step towards what is wanted. */
  | {
      readonly kind: 'rollout-step';
      readonly step: string;
      readonly release: number | undefined;
      readonly generation: number | undefined;
      readonly why: string;
    }
  /** This host decided for the fleet, in a transaction that no other won: it is told once, wherever it is told. */
  | {
      readonly kind: 'rollout-decided';
      /**
       * `completed`: all hosts serve it; `returned`: so, and it was a rollback; `taken-back`: it failed and all hosts go
       * back; `paused`: it failed and waits for somebody.
       */
      readonly decision: 'completed' | 'returned' | 'taken-back' | 'paused';
      readonly release: number;
      /** What is gone back to; absent: nothing was, or there is none. */
      readonly to?: number;
      readonly generation: number;
      readonly why: string;
    }
  /** etcd answers again, or no longer. */
  | { readonly kind: 'cluster'; readonly connected: boolean; readonly why: string }
  /** A run of a job went on. `state`: of the run. */
  | {
      readonly kind: 'run-changed';
      readonly run: string;
      readonly state: string;
      readonly attempt: number;
      readonly why: string;
    }
  /** A tick of a schedule was dealt with; `run`: what it made, absent when it was passed by. */
  | {
      readonly kind: 'schedule-ticked';
      readonly schedule: string;
      readonly instant: string;
      readonly run?: string;
      readonly why: string;
    }
  /** Somebody runs a command in a container. `program`: the first of its words. */
  | {
      readonly kind: 'exec-started';
      readonly container: string;
      readonly by: string;
      readonly program: string;
    }
  /** `left`: who asked for it is gone, it could not be ended, and may run on. */
  | {
      readonly kind: 'exec-ended';
      readonly container: string;
      readonly by: string;
      readonly program: string;
      readonly exitCode?: number;
      readonly left?: true;
      /** '': nothing special. */
      readonly why: string;
    }
  | {
      readonly kind: 'desired-changed';
      readonly status: string;
      readonly release: number | undefined;
      readonly why: string;
    };

/** `at`: epoch milliseconds. */
export type AgentEvent = Fact & { readonly component: string; readonly at: number };

/** Tells one fact; whoever made the function adds component and time. */
export type Tell = (fact: Fact) => void;
