/** The steps a plan is made of: one union, every kind with its executor, its words and its effect in a forecast. */
import type { Listener } from '../proxy/routes.ts';
import type { ContainerId } from './state.ts';

export type Action =
  | { readonly kind: 'pull-image'; readonly component: string; readonly image: string; readonly why: string }
  | {
      readonly kind: 'create-container';
      readonly component: string;
      readonly release: number;
      readonly why: string;
    }
  | OnContainer<'start-container'>
  | {
      /** Replaces what the proxy does for the component. No release: no listeners either. */
      readonly kind: 'route';
      readonly component: string;
      readonly containers: readonly ContainerId[];
      readonly release: number | undefined;
      readonly listeners: readonly Listener[];
      readonly why: string;
    }
  | {
      readonly kind: 'prove-release';
      readonly component: string;
      readonly release: number;
      readonly why: string;
    }
  | {
      /** Points desired back at the previous release, for good. */
      readonly kind: 'fail-release';
      readonly component: string;
      readonly release: number;
      readonly container: ContainerId;
      readonly why: string;
    }
  | OnContainer<'drain'>
  | OnContainer<'send-signals'>
  | OnContainer<'stop-container'>
  | OnContainer<'kill-container'>
  | OnContainer<'remove-container'>
  | OnContainer<'remove-failed'>
  | {
      readonly kind: 'wait';
      readonly component: string;
      readonly for: 'ready' | 'drain' | 'backoff' | 'busy' | 'turn' | 'warm';
      readonly container?: ContainerId;
      /** Epoch milliseconds when it ends even if nothing happens; undefined: only an event ends it. */
      readonly until: number | undefined;
      readonly why: string;
    };

interface OnContainer<Kind extends string> {
  readonly kind: Kind;
  readonly component: string;
  readonly container: ContainerId;
  readonly why: string;
}

export type Plan = readonly Action[];

/** The first twelve characters of a container's id, as Docker shows it. */
export function short(id: ContainerId): string {
  return id.slice(0, 12);
}

/** `2 containers`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
