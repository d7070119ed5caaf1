/**
 * An update that is interrupted or killed, at whatever moment, must lose nothing: before the switch all is as
 * before, after it the new release serves, and the next command leaves no trace of it.
 * GANTRYD_E2E_MOMENTS adds interrupts at that many moments spread over an update.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cleanup, skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, type Load, startLoad } from '../ground/load.ts';
import {
  type Command,
  exitedWith,
  getText,
  lostNothing,
  openShop,
  type Shop,
  tells,
  variable,
  version,
  WAIT_MS,
} from './shop.ts';

const MOMENTS = Number(process.env.GANTRYD_E2E_MOMENTS ?? 0);
const NEVER_READY = variable('READY_AFTER_MS', 600_000);

interface Stage {
  readonly name: string;
  /** Resolves when the update is there. */
  reached(update: Command): Promise<unknown>;
  readonly args?: readonly string[];
  /** What a Ctrl-C then must end with; undefined: either, but in agreement with what serves. */
  readonly exit?: 0 | 1;
}

const STAGES: readonly Stage[] = [
  { name: 'before anything was made', reached: (update) => tells(update, 'release-made'), exit: 1 },
  { name: 'while containers are made', reached: (update) => tells(update, 'container-created'), exit: 1 },
  { name: 'while containers get ready', reached: refusedOnce, args: NEVER_READY, exit: 1 },
  { name: 'at the switch', reached: passedOnce },
  { name: 'after the switch', reached: (update) => tells(update, 'switched') },
  { name: 'while the old drain', reached: (update) => tells(update, 'release-proven'), exit: 0 },
];

test('Ctrl-C at every stage of an update', { skip: skipWithoutEngine }, async (t) => {
  const { shop, load } = await servingUnderLoad(t);
  const stages = [...STAGES, ...moments()];
  for (const [n, stage] of stages.entries()) {
    const was = await getText(shop.http, '/version');
    const before = await names(shop);
    const update = shop.begin('update', ...version(`i${n}`), ...(stage.args ?? []));
    await stage.reached(update);
    update.interrupt();
    const { code } = await update.ended;
    t.diagnostic(`${stage.name}: ${code}`);
    if (stage.exit !== undefined) exitedWith(stage.exit, await update.ended);
    const serves = await getText(shop.http, '/version');
    assert.equal(serves, code === 0 ? `i${n}` : was, `${stage.name}: exit ${code}`);
    if (code === 1) await untouched(shop, update, before, stage);
    assert.equal(load.report().failed, 0, stage.name);
  }
  await cleanEnd(shop, load);
});

test('SIGKILL at every stage of an update, and another command', { skip: skipWithoutEngine }, async (t) => {
  const { shop, load } = await servingUnderLoad(t);
  for (const [n, stage] of [...STAGES.slice(1, -1), ...moments()].entries()) {
    const was = await getText(shop.http, '/version');
    const update = shop.begin('update', ...version(`k${n}`), ...(stage.args ?? []));
    await stage.reached(update);
    update.interrupt('SIGKILL');
    await update.ended;
    const serves = await getText(shop.http, '/version');
    assert.ok([was, `k${n}`].includes(serves), `${stage.name}: ${serves} serves`);
    await shop.must('update', '--detach', ...version(`n${n}`));
    assert.equal(await getText(shop.http, '/version'), `n${n}`);
    const statuses = new Set((await shop.list()).map((row) => row.status));
    assert.deepEqual([...statuses].sort(), ['draining', 'running'], stage.name);
    assert.equal(load.report().failed, 0, `${stage.name}: ${load.report().errors.join('\n')}`);
  }
  await cleanEnd(shop, load);
});

async function servingUnderLoad(t: Cleanup): Promise<{ shop: Shop; load: Load }> {
  const shop = await openShop(t, { web: { instances: 2 } });
  await shop.must('start', ...version('first'));
  return { shop, load: await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 500, easing: EASED }) };
}

/** Nothing is left of it, and its one message says what happened. */
async function untouched(
  shop: Shop,
  update: Command,
  before: readonly string[],
  stage: Stage,
): Promise<void> {
  const errors = update.events('error').map(({ code, message }) => `${code}: ${message}`);
  assert.equal(errors.length, 1, `${stage.name}: ${errors.join('; ')}`);
  assert.match(
    errors[0] ?? '',
    /^interrupted: .*interrupted (before the switch|at its beginning)/,
    stage.name,
  );
  const added = (await names(shop)).filter((name) => !before.includes(name));
  assert.deepEqual(added, [], `${stage.name}: containers left behind`);
}

/** After one more command nothing but what serves is there. */
async function cleanEnd(shop: Shop, load: Load): Promise<void> {
  await load.closeStreams();
  const last = shop.begin('update', ...version('last'));
  exitedWith(0, await last.ended);
  const rows = await shop.list();
  assert.deepEqual(
    rows.map((row) => row.status),
    ['running', 'running'],
  );
  await shop.untilContainers(rows.map((row) => row.id));
  await lostNothing(load);
  await shop.must('stop');
  await shop.untilContainers([]);
}

async function names(shop: Shop): Promise<readonly string[]> {
  return (await shop.containers()).map((container) => container.name);
}

function refusedOnce(update: Command): Promise<unknown> {
  return until(() => readyChecks(update).includes(false), {
    timeoutMs: WAIT_MS,
    what: 'a refused ready check',
  });
}

function passedOnce(update: Command): Promise<unknown> {
  return until(() => readyChecks(update).includes(true), {
    timeoutMs: WAIT_MS,
    what: 'a passed ready check',
  });
}

function readyChecks(update: Command): readonly boolean[] {
  return update.events('check').map((event) => (event.verdict as { ok: boolean }).ok);
}

/** A pause here is not a wait for something, it is the moment itself. */
function moments(): readonly Stage[] {
  return Array.from({ length: MOMENTS }, (_, n) => {
    const ms = Math.round(200 + (2_000 * n) / MOMENTS);
    return { name: `after ${ms} ms`, reached: () => delay(ms) };
  });
}
