/**
 * What a campaign does to gantryd: operators drawn by a seed, as several people and faults at once would. Each does one
 * thing, says so, and answers when it is over. `web` is never stopped on purpose; `side` is whatever it is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, directly, getText, releaseOf, type Shop, variable, version } from '../e2e/shop.ts';
import { dockerCall, type ObservedContainer } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Dice } from './dice.ts';
import type { Excuse } from './judge.ts';

export const HOST = 'box';
const EFFECT_MS = 30_000;
const LONGEST_COMMAND_MS = 90_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const;

export interface Field {
  readonly shop: Shop;
  readonly dice: Dice;
  say(text: string): void;
  /** Something that must never happen. */
  problem(text: string): void;
  excuse(excuse: Excuse): void;
  monitors: Set<Command>;
  /** Keeps what a command told, to find out afterwards who did what. */
  keep(name: string, told: string): void;
}

type Operator = (field: Field) => Promise<void>;

/** Each with its share. */
const OPERATORS: readonly (readonly [share: number, operator: Operator])[] = [
  [6, (field) => toItsEnd(field, 'update', next(field))],
  [4, (field) => toItsEnd(field, 'update', [...next(field), '--detach'])],
  [6, (field) => interrupted(field, 'update', next(field))],
  [3, (field) => toItsEnd(field, 'update', [...next(field), ...variable('EXIT_AT_START', 3)])],
  [2, (field) => toItsEnd(field, 'update', neverReady(field))],
  [2, (field) => interrupted(field, 'update', neverReady(field))],
  [4, startMonitor],
  [3, stopMonitor],
  [3, breakOne],
  [2, pauseOne],
  [1, killOne],
  [2, (field) => toItsEnd(field, 'update side', side(field))],
  [2, (field) => interrupted(field, 'update side', side(field))],
  [2, (field) => toItsEnd(field, 'start side', side(field))],
  [2, (field) => toItsEnd(field, 'stop side', [])],
  [1, (field) => interrupted(field, 'stop side', [])],
  [1, (field) => toItsEnd(field, 'kill side', [])],
  [1, killSide],
];

export function draw(dice: Dice): Operator {
  let at = dice.below(OPERATORS.reduce((sum, [share]) => sum + share, 0));
  for (const [share, operator] of OPERATORS) {
    if (at < share) return operator;
    at -= share;
  }
  throw new Error('the shares do not add up');
}

/** Waits for a command that ends by itself, and judges how it ended. */
async function over(field: Field, name: string, command: Command): Promise<void> {
  const late = delay(LONGEST_COMMAND_MS, 'late' as const, { ref: false });
  const isLate = (await Promise.race([command.ended, late])) === 'late';
  if (isLate) {
    field.problem(`${name} did not end within ${LONGEST_COMMAND_MS} ms: ${lastOf(command)}`);
    command.signal('SIGKILL');
  }
  await ended(field, name, command);
}

async function ended(field: Field, name: string, command: Command): Promise<void> {
  const result = await command.ended;
  const said = `${result.stdout}${result.stderr}`;
  field.keep(name, said);
  field.say(`${name} ended with ${result.code ?? result.signal} ${reasonIn(said)}`);
  if (/"internal"|Unexpected/.test(said)) field.problem(`${name} met a defect: ${said.slice(-800)}`);
  if (result.code !== undefined && result.code > 1)
    field.problem(`${name} exited with ${result.code}: ${said}`);
}

async function toItsEnd(field: Field, action: string, args: readonly string[]): Promise<void> {
  const { name, command } = begun(field, action, args);
  await over(field, name, command);
}

async function interrupted(field: Field, action: string, args: readonly string[]): Promise<void> {
  const { name, command } = begun(field, action, args);
  const how = field.dice.of(SIGNALS);
  await delay(field.dice.below(2_500));
  field.say(`${how} to ${name}`);
  end(command, how);
  await over(field, name, command);
}

async function startMonitor(field: Field): Promise<void> {
  if (field.monitors.size > 1) return;
  const { name, command } = begun(field, 'start', ['-m', ...next(field)]);
  field.monitors.add(command);
  void ended(field, name, command).finally(() => field.monitors.delete(command));
  await delay(500);
}

async function stopMonitor(field: Field): Promise<void> {
  const [monitor] = field.monitors;
  if (monitor === undefined) return;
  const how = field.dice.of(SIGNALS);
  field.say(`${how} to the monitor ${monitor.pid}`);
  end(monitor, how);
  await monitor.ended;
}

/** Answers every request but fails its health checks: nothing may be lost, whoever heals. */
async function breakOne(field: Field): Promise<void> {
  const container = await oneOf(field, 'web');
  if (container === undefined) return;
  field.say(`break ${container.name}`);
  await getText(await directly(container.id), '/break').catch(() => undefined);
}

async function pauseOne(field: Field): Promise<void> {
  const container = await oneOf(field, 'web');
  if (container === undefined) return;
  const ms = 200 + field.dice.below(3_000);
  field.say(`pause ${container.name} for ${ms} ms`);
  await dockerCall('POST', `/containers/${container.id}/pause`, undefined, [204, 404, 409, 500]);
  await delay(ms);
  await dockerCall('POST', `/containers/${container.id}/unpause`, undefined, [204, 404, 409, 500]);
}

/** Only while somebody watches, and never the last that serves: what follows from that is no fault of gantryd. */
async function killOne(field: Field): Promise<void> {
  const container = await oneOf(field, 'web');
  const serving = (await field.shop.list().catch(() => [])).filter((row) => row.status === 'running');
  if (container === undefined || field.monitors.size === 0 || serving.length < 2) return;
  const { id, name } = container;
  field.say(`docker kill ${name} (${id.slice(0, 12)})`);
  let over = Number.POSITIVE_INFINITY;
  const what = `docker kill ${name}`;
  field.excuse({
    ...{ what, host: HOST, container: id, from: Date.now() },
    get until() {
      return over;
    },
  });
  await dockerCall('POST', `/containers/${id}/kill`, undefined, [204, 404, 409]);
  const isDead = async () =>
    !(await field.shop.containers()).some((c) => c.id === id && c.state === 'running');
  await until(isDead, { timeoutMs: EFFECT_MS, what: `${name} to be dead` });
  over = Date.now();
}

async function killSide(field: Field): Promise<void> {
  const container = await oneOf(field, 'side');
  if (container === undefined) return;
  field.say(`docker kill ${container.name}`);
  await dockerCall('POST', `/containers/${container.id}/kill`, undefined, [204, 404, 409]);
}

async function oneOf({ shop, dice }: Field, component: string): Promise<ObservedContainer | undefined> {
  const running = (await shop.containers(component)).filter((c) => c.state === 'running');
  const sorted = [...running].sort((a, b) => releaseOf(a) - releaseOf(b) || a.name.localeCompare(b.name));
  return sorted.length === 0 ? undefined : dice.of(sorted);
}

let updates = 0;

function next({ dice }: Field): readonly string[] {
  updates += 1;
  return [...version(`web${updates}`), '--set', `instances=${1 + dice.below(3)}`];
}

function neverReady(field: Field): readonly string[] {
  return [...next(field), ...variable('READY_AFTER_MS', 600_000), '--set', 'readyTimeout=1500'];
}

function side({ dice }: Field): readonly string[] {
  return [...version('side'), '--set', `instances=${1 + dice.below(2)}`];
}

function begun(field: Field, action: string, args: readonly string[]) {
  const command = field.shop.begin(action, ...args);
  const plain = args.filter((arg) => arg !== '--set').map((arg) => arg.replace('environmentVariables.', ''));
  const name = `[${command.pid}] ${action} ${plain.join(' ')}`;
  field.say(name);
  return { name, command };
}

/** To the whole group, as a terminal does it; it may have ended already. */
function end(command: Command, how: NodeJS.Signals): void {
  try {
    command.interrupt(how);
  } catch {
    command.signal(how);
  }
}

function reasonIn(said: string): string {
  return /"message":"((?:[^"\\]|\\.)*)"[^\n]*\n?$/.exec(said.trim())?.[1]?.slice(0, 200) ?? '';
}

function lastOf(command: Command): string {
  return command.stdout.trim().split('\n').slice(-3).join('\n');
}
