/** The steps a plan is made of: one union, every kind with its executor, its words and its effect in a forecast. */
import type { CanarySplit, Listener } from '../../proxy/tables/routes.ts';
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
      /** Only where a release is tried out. */
      readonly canary?: CanarySplit;
      readonly why: string;
    }
  | {
      /** Its trial went well: it may have all of the work. */
      readonly kind: 'promote-release';
      readonly component: string;
      readonly release: number;
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
      readonly for: 'ready' | 'drain' | 'backoff' | 'busy' | 'turn' | 'warm' | 'canary';
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

/** Whether an action settles something that another process must not settle at the same time. */
const DECIDES: Readonly<Record<Action['kind'], boolean>> = {
  'pull-image': false,
  'create-container': true,
  'start-container': true,
  route: true,
  'promote-release': true,
  'prove-release': true,
  'fail-release': true,
  drain: true,
  'send-signals': true,
  'stop-container': false,
  'kill-container': false,
  'remove-container': false,
  'remove-failed': false,
  wait: false,
};

export function decides({ kind }: Action): boolean {
  return DECIDES[kind];
}

/** In the order they are carried out: the actions of a group side by side, the groups one after the other. */
export function inGroups(actions: Plan): readonly Plan[] {
  const groups: Action[][] = [];
  for (const action of actions) {
    const last = groups.at(-1);
    if (last?.[0]?.kind === action.kind && isSideBySide(action.kind)) last.push(action);
    else groups.push([action]);
  }
  return groups;
}

function isSideBySide(kind: Action['kind']): boolean {
  return kind === 'create-container' || kind === 'start-container' || kind === 'send-signals';
}

/** The first twelve characters of a container's id, as Docker shows it. */
export function short(id: ContainerId): string {
  return id.slice(0, 12);
}

/** `2 containers`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
