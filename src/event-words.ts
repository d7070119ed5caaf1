/** Events in words for people: for the terminal, for what is kept of them, and for whoever is told elsewhere. Pure. */
import { stripVTControlCharacters } from 'node:util';
import type { AgentEvent, LastWords } from './events.ts';

/** Of one line that a container printed. */
const SHOWN_CHARACTERS = 500;

export interface Telling {
  readonly debug: boolean;
  /** What has been said once and need not be said again. */
  readonly told: Set<string>;
}

/** The line of an event; undefined: nothing to say to a person. */
export function renderEvent(event: AgentEvent, { debug, told }: Telling): string | undefined {
  switch (event.kind) {
    case 'image-pulling':
      return `Pulling image ${event.image} (${event.why})`;
    case 'image-progress':
      return undefined;
    case 'image-ready':
      return `Image ${event.image} is ${shortImage(event.imageId)}`;
    case 'release-made':
      return `Component ${event.component} -> ${shortImage(event.imageId)} (release ${event.release})`;
    case 'container-created':
      return `Starting container ${short(event.container)}${debug ? ` ${event.name} (${event.why})` : ''}`;
    case 'container-started':
      return debug ? `Started container ${short(event.container)}` : undefined;
    case 'check':
      return renderCheck(event, debug);
    case 'container-ready':
      return debug ? `Container ${short(event.container)} is ready` : undefined;
    case 'health-changed':
      // What its first checks find well is what everybody expects.
      if (event.was === 'unknown' && event.now === 'healthy' && !debug) return undefined;
      return `Container ${short(event.container)} is ${event.now}: ${event.why}`;
    case 'switched':
      return renderSwitch(event);
    case 'canary-started':
      return `Trying release ${event.release} out with ${event.percent} % of the new requests until ${new Date(event.until).toISOString()}`;
    case 'canary-promoted':
      return `Release ${event.release} is promoted: ${event.why}`;
    case 'release-proven':
      return debug ? `Release ${event.release} serves` : undefined;
    case 'release-failed':
      told.add(lastWordsOf(event.container));
      return [`Release ${event.release} failed: ${event.why}`, ...lastWords(event.lastWords)].join('\n');
    case 'stop-started':
      return event.status === 'stopped' ? 'Draining all containers...' : undefined;
    case 'drain-started':
      return `Draining container ${short(event.container)}`;
    case 'signals-sent':
      return event.verdicts.map((v) => `Termination signal ${v.check}: ${v.saw}`).join('\n') || undefined;
    case 'drain-cut':
      return renderCut(event);
    case 'container-stopping':
      return `Shutting down container: ${short(event.container)}${debug ? ` (${event.why})` : ''}`;
    case 'container-killed':
      return `Killing container ${short(event.container)}`;
    case 'container-removed':
      return debug ? `Removed container ${short(event.container)} (${event.why})` : undefined;
    case 'container-failed':
      if (told.has(lastWordsOf(event.container))) return undefined;
      return [`Container ${short(event.container)} failed: ${event.why}`, ...lastWords(event.lastWords)].join(
        '\n',
      );
    case 'mass-failure':
      return `${event.failed} of ${event.instances} containers failed together, one is replaced at a time: ${event.why}`;
    case 'waiting':
      return renderWaiting(event, told);
    case 'trouble':
      return `Trouble: ${event.message}${event.hint === undefined ? '' : ` ${event.hint}`}`;
    case 'monitoring':
      return `Starting monitoring of component: ${event.component}`;
    case 'rollout-step':
      return renderStep(event, debug);
    case 'rollout-decided':
      return renderDecision(event);
    case 'cluster':
      return event.connected ? 'etcd answers again' : `etcd does not answer: ${event.why}`;
    case 'run-changed':
      return `Run ${event.run} is ${event.state}${event.why === '' ? '' : `: ${event.why}`}`;
    case 'schedule-ticked':
      return `Schedule ${event.schedule}, ${event.instant}: ${event.run ?? event.why}`;
    case 'exec-started':
      return `${event.by} runs ${printable(event.program)} in container ${short(event.container)}`;
    case 'exec-ended':
      return renderExecEnd(event, debug);
    case 'desired-changed':
      return `Component ${event.component} is to be ${event.status}: ${event.why}`;
    default:
      return unknownEvent(event);
  }
}

/** What is told even to those who want bad news alone. */
export function isBadNews(event: AgentEvent): boolean {
  if (event.kind === 'health-changed') return event.now !== 'healthy';
  if (event.kind === 'rollout-decided') return event.decision === 'taken-back' || event.decision === 'paused';
  return ['release-failed', 'container-failed', 'mass-failure', 'drain-cut', 'trouble'].includes(event.kind);
}

function renderCheck(event: Extract<AgentEvent, { kind: 'check' }>, debug: boolean): string | undefined {
  const { verdict, purpose } = event;
  // A new container is expected to fail its ready checks for a while.
  if (!verdict.ok && purpose === 'ready' && !debug) return undefined;
  return `Health check ${verdict.check}: ${verdict.saw}`;
}

/** What changes something here or for the fleet; the others are the way there. */
const TOLD_STEPS = new Set(['adopt', 'settle', 'fail', 'take-back', 'complete']);

function renderStep(
  { step, release, why }: Extract<AgentEvent, { kind: 'rollout-step' }>,
  debug: boolean,
): string | undefined {
  if (!debug && !TOLD_STEPS.has(step)) return undefined;
  return `Release ${release ?? '?'}: ${step} (${why})`;
}

function renderDecision(event: Extract<AgentEvent, { kind: 'rollout-decided' }>): string {
  const { component, release, decision, why } = event;
  if (decision === 'completed') return `Release ${release} of ${component} serves on all hosts`;
  if (decision === 'returned') return `${component} is back at release ${release} on all hosts: ${why}`;
  const then = decision === 'paused' ? 'its rollout is paused' : whereTo(event.to);
  return `The rollout of release ${release} of ${component} failed, ${then}: ${why}`;
}

function whereTo(to: number | undefined): string {
  return to === undefined ? 'and there is none to go back to' : `all hosts go back to release ${to}`;
}

function renderSwitch(event: Extract<AgentEvent, { kind: 'switched' }>): string | undefined {
  if (event.containers.length === 0)
    return event.release === undefined ? undefined : `Nothing serves: ${event.why}`;
  return `Redirecting traffic to ${event.containers.length === 1 ? 'new container' : `${event.containers.length} containers`}`;
}

/** Not always the drain timeout's doing: termination checks of one's own may pass over open connections. */
function renderCut({ container, connections, why }: Extract<AgentEvent, { kind: 'drain-cut' }>): string {
  const what = connections === 1 ? '1 connection' : `${connections} connections`;
  return `Cut ${what} of container ${short(container)}: ${why}`;
}

function renderWaiting(
  event: Extract<AgentEvent, { kind: 'waiting' }>,
  told: Set<string>,
): string | undefined {
  // What is tried out has been told by its own event.
  // Each failure has a pause of its own.
  const what = event.for === 'backoff' ? `backoff until ${event.until}` : event.for;
  if (event.for === 'busy' || event.for === 'canary' || told.has(what)) return undefined;
  told.add(what);
  return event.for === 'ready' ? 'Waiting for health checks...' : `Waiting: ${event.why}`;
}

function renderExecEnd(
  { by, program, container, exitCode, left, why }: Extract<AgentEvent, { kind: 'exec-ended' }>,
  debug: boolean,
): string | undefined {
  if (why === '' && !debug) return undefined;
  const end = left ? 'was left alone and may run on' : `ended with ${exitCode}`;
  const reason = why === '' ? '' : `: ${printable(why)}`;
  return `${printable(program)} of ${by} in container ${short(container)} ${end}${reason}`;
}

function lastWords({ exitCode, oomKilled, error, logs }: LastWords): string[] {
  const exit =
    exitCode === undefined ? [] : [`  exit code ${exitCode}${oomKilled === true ? ', out of memory' : ''}`];
  const engine = error === undefined ? [] : [`  the engine says: ${error}`];
  const tail = logs.map((l) => `  | ${printable(l)}`);
  return [
    ...exit,
    ...engine,
    ...(tail.length > 0 ? ['  its last lines:', ...tail] : ['  it printed nothing']),
  ];
}

/** A line of somebody else's output: it must not steer the terminal, nor fill it. */
export function printable(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the point
  const plain = stripVTControlCharacters(line).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '');
  const more = plain.length - SHOWN_CHARACTERS;
  return more > 0 ? `${plain.slice(0, SHOWN_CHARACTERS)}… (${more} more characters)` : plain;
}

/** What `told` calls the last words of a container, which are told once. */
function lastWordsOf(container: string): string {
  return `last words of ${container}`;
}

export function short(id: string): string {
  return id.slice(0, 12);
}

export function shortImage(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

function unknownEvent(event: never): never {
  throw new TypeError(`no words for ${JSON.stringify(event)}`);
}
