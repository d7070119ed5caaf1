/**
 * A release with a canary must get its share of the work first and then, by itself, all of it or none: under load,
 * and no client loses anything but what the bad release itself answers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutEngine } from '../ground/harness.ts';
import { type Load, startLoad } from '../ground/load.ts';
import { exitedWith, getText, openShop, type Shop, tells, variable, version } from './shop.ts';

const CANARY = { percent: 20, minutes: 0.05 };
const TEST_MS = 240_000;

test('a canary is promoted when it is as good as the release before, and taken back when it is not', {
  skip: skipWithoutEngine,
  timeout: TEST_MS,
}, async (t) => {
  const shop = await openShop(t, { web: { instances: 2, update: { canary: CANARY } } });
  await shop.must('start', ...version('v1'));
  const load = await startLoad(t, { http: shop.http, slowMs: 500 });
  await goodOne(shop, load);
  await load.closeStreams();
  await unfinishedOnes(shop, load);
  await badOne(shop, load);
});

async function goodOne(shop: Shop, load: Load): Promise<void> {
  const update = shop.begin('update', '--detach', ...version('v2'));
  const begun = await tells(update, 'canary-started');
  const [release, containers, percent] = [begun.release, begun.containers as string[], begun.percent];
  assert.deepEqual([release, containers.length, percent], [2, 1, CANARY.percent]);
  const rows = await shop.list();
  assert.deepEqual(
    rows.map((row) => `${row.release} ${row.status}`).sort(),
    ['1 running', '1 running', '2 running'],
    'both releases serve',
  );
  exitedWith(0, await update.ended);
  const [promoted, switched] = [update.events('canary-promoted')[0], update.events('switched').at(-1)];
  assert.match(String(promoted?.why), /^0 of \d+ requests failed; release 1: 0 of \d+$/);
  assert.ok(Number(promoted?.at) >= Number(begun.until), 'it had all of its time');
  const { containers: all = [] } = (switched ?? {}) as { readonly containers?: readonly string[] };
  assert.deepEqual([switched?.release, all.length], [2, 2]);
  for (let n = 0; n < 10; n++) assert.equal(await getText(shop.http, '/version'), 'v2');
  const { failed, cut, errors } = load.report();
  assert.equal(failed + cut, 0, errors.join('\n'));
}

/** Whoever brings it about is interrupted, or killed: what serves is the release before, also to the next command. */
async function unfinishedOnes(shop: Shop, load: Load): Promise<void> {
  const long = ['--set', 'update.canary.minutes=5'];
  const interrupted = shop.begin('update', ...version('v3'), ...long);
  await tells(interrupted, 'canary-started');
  interrupted.interrupt();
  exitedWith(1, await interrupted.ended);
  assert.deepEqual(await releases(shop), [2, 2]);

  const killed = shop.begin('update', ...version('v4'), ...long);
  await tells(killed, 'canary-started');
  killed.interrupt('SIGKILL');
  await killed.ended;
  const next = shop.begin('update', ...version('v5'));
  exitedWith(0, await next.ended);
  assert.match(String(next.events('canary-promoted')[0]?.why), /; release 2: 0 of \d+$/);
  assert.deepEqual(await releases(shop), [5, 5]);
  assert.equal(load.report().failed, 0, load.report().errors.join('\n'));
}

/** Of the containers that serve. */
async function releases(shop: Shop): Promise<readonly number[]> {
  return (await shop.list()).filter((row) => row.status === 'running').map((row) => row.release);
}

async function badOne(shop: Shop, load: Load): Promise<void> {
  const update = shop.begin('update', ...version('v6'), ...variable('FAIL_EVERY', 3));
  await tells(update, 'canary-started');
  exitedWith(1, await update.ended);
  const [failed] = update.events('release-failed');
  assert.match(String(failed?.why), /^\d+ of \d+ requests failed \(\d+ %\), release 5: 0 of \d+$/);
  assert.equal(failed?.serving, 5);
  assert.deepEqual(update.events('canary-promoted'), []);
  assert.equal(update.events('container-created').length, 1, 'only the canary was started');
  assert.deepEqual(await releases(shop), [5, 5]);
  for (let n = 0; n < 10; n++) assert.equal(await getText(shop.http, '/version'), 'v5');
  const { tallies, cut } = await load.stop();
  const failures = tallies.flatMap((tally) => tally.failures.map(({ why }) => why));
  assert.ok(failures.length > 0);
  assert.deepEqual(
    failures.filter((why) => !why.includes('answered 500: FAIL_EVERY')),
    [],
    'nothing failed but what the application answered itself',
  );
  assert.equal(cut, 0);
}
