/**
 * Commands at random, several at a time, some interrupted or killed, beside a monitor: whatever comes of each,
 * no request fails, no connection is cut, and one last command leaves what it was asked for and nothing else.
 * GANTRYD_E2E_CHAOS_MS makes it longer; GANTRYD_E2E_SEED repeats one run's choices.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { skipWithoutEngine } from '../ground/harness.ts';
import { EASED, type Load, startLoad } from '../ground/load.ts';
import {
  type Command,
  exitedWith,
  getText,
  lostNothing,
  openShop,
  type Shop,
  variable,
  version,
} from './shop.ts';

const CHAOS_MS = Number(process.env.GANTRYD_E2E_CHAOS_MS ?? 10_000);
const SEED = Number(process.env.GANTRYD_E2E_SEED ?? Date.now() % 1_000_000);
const LONGEST_MS = 3_000;
const DEADLY = ['SIGINT', 'SIGKILL', 'SIGTERM'] as const;
const FATES = [...DEADLY, 'left'] as const;
const HEALTH = { kind: 'http', path: '/health', port: 8080, interval: 500 };

test('commands at random lose nothing', {
  skip: skipWithoutEngine,
  timeout: CHAOS_MS + 120_000,
}, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const shop = await openShop(t, { web: { instances: 2, readyTimeout: 5_000, healthChecks: [HEALTH] } });
  await shop.must('start', ...version('v0'));
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 500, easing: EASED });
  const end = Date.now() + CHAOS_MS;
  const seeds = [SEED, SEED + 1, SEED + 2];
  const ends = await Promise.all(seeds.map((seed, n) => commander(shop, load, `c${n}`, random(seed), end)));
  tell(t, ends.flat());
  await load.closeStreams();
  exitedWith(0, await shop.begin('update', ...version('last')).ended);
  assert.equal(await getText(shop.http, '/version'), 'last');
  const rows = await shop.list();
  assert.deepEqual(
    rows.map(({ status }) => status),
    ['running', 'running'],
  );
  await shop.untilContainers(rows.map(({ id }) => id));
  await lostNothing(load);
});

/** One operator, who has no patience. */
async function commander(
  shop: Shop,
  load: Load,
  name: string,
  next: () => number,
  end: number,
): Promise<readonly string[]> {
  const told: string[] = [];
  for (let n = 0; Date.now() < end; n++) {
    const words = line(`${name}-${n}`, next());
    const command = shop.begin(...words);
    const fate = pick(next(), words.includes('--detach') ? FATES : DEADLY);
    await Promise.race([command.ended, delay(next() * LONGEST_MS)]);
    if (fate !== 'left') tryToEnd(command, fate);
    const { code, signal } = await command.ended;
    told.push(`${fate}: ${code ?? signal} ${command.events('error').map(({ code: error }) => error)}`);
    const { failed, cut, errors } = load.report();
    assert.equal(failed + cut, 0, `after ${name}-${n}, ${told.at(-1)}: ${errors.join('\n')}`);
  }
  return told;
}

function line(name: string, chance: number): [string, ...string[]] {
  return pick(chance, [
    ['update', '--detach', ...version(name)],
    ['update', ...version(name), '--set', 'instances=3'],
    ['update', '--detach', ...version(name), '--set', 'instances=1'],
    ['start', '-m'],
    ['update', '--detach', ...version(name), ...variable('EXIT_AT_START', 9)],
    ['update', '--detach', ...version(name), ...variable('READY_AFTER_MS', 600_000)],
  ]);
}

/** It may have ended by itself. */
function tryToEnd(command: Command, fate: NodeJS.Signals): void {
  try {
    command.interrupt(fate);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function tell(t: TestContext, ends: readonly string[]): void {
  const counts = new Map<string, number>();
  for (const end of ends) counts.set(end, (counts.get(end) ?? 0) + 1);
  for (const [end, count] of [...counts].sort()) t.diagnostic(`${count} × ${end}`);
}

function pick<T>(chance: number, of: readonly [T, ...T[]]): T {
  return of[Math.floor(chance * of.length)] ?? of[0];
}

/** Numbers in [0, 1), the same for the same seed: a linear congruential generator. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
