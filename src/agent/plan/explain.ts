/** A plan in words: one line an action. The log line, the --dry-run output and the expected value in tests. */
import { type Action, type Plan, short } from './plan.ts';

export function explain(actions: Plan): string {
  return actions.map(explainAction).join('\n');
}

export function explainAction(action: Action): string {
  return `${action.component}: ${what(action)} (${action.why})`;
}

function what(action: Action): string {
  switch (action.kind) {
    case 'pull-image':
      return `pull ${action.image}`;
    case 'create-container':
      return `start a new container of release ${action.release}`;
    case 'start-container':
      return `start ${short(action.container)}`;
    case 'route':
      return routed(action);
    case 'promote-release':
      return `promote release ${action.release}`;
    case 'prove-release':
      return `settle on release ${action.release}`;
    case 'fail-release':
      return `give up release ${action.release}`;
    case 'drain':
      return `drain ${short(action.container)}`;
    case 'send-signals':
      return `send the termination signals to ${short(action.container)}`;
    case 'stop-container':
      return `stop ${short(action.container)}`;
    case 'kill-container':
      return `kill ${short(action.container)}`;
    case 'remove-container':
      return `remove ${short(action.container)}`;
    case 'remove-failed':
      return `keep the last words of ${short(action.container)} and remove it`;
    case 'wait':
      return `wait for ${action.for}`;
    default:
      return unknownAction(action);
  }
}

function routed({ containers, canary }: Extract<Action, { kind: 'route' }>): string {
  if (containers.length === 0) return 'route nothing';
  if (canary === undefined) return `route to ${containers.map(short).join(', ')}`;
  const others = containers.filter((id) => !canary.backends.includes(id));
  return `route to ${others.map(short).join(', ')}, and ${canary.percent} % to ${canary.backends.map(short).join(', ')}`;
}

function unknownAction(action: never): never {
  throw new TypeError(`no words for ${JSON.stringify(action)}`);
}
