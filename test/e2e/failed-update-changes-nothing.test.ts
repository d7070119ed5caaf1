/**
 * An update whose containers do not come up must end with 1 and say why, remove what it made, and never
 * disturb what serves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutEngine } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import { exitedWith, getText, lostNothing, openShop, variable, version } from './shop.ts';

const skip = skipWithoutEngine;
const KEPT_LINES = 20;

interface Failure {
  readonly name: string;
  readonly args: readonly string[];
  /** What the operator must be told, on stdout or stderr. */
  readonly says: readonly RegExp[];
}

const FAILURES: readonly Failure[] = [
  {
    name: 'never ready',
    args: [...variable('READY_AFTER_MS', 600_000), '--set', 'readyTimeout=4000'],
    says: [/not ready within 4000 ms/, /answered 503 .*starting/, /\| example app bad listens on 8080/],
  },
  {
    name: 'exits at once',
    args: variable('EXIT_AT_START', 3),
    says: [/exit code 3/, /\| cannot start: EXIT_AT_START=3/],
  },
  {
    name: 'prints much and exits',
    args: [
      '--set',
      `command=${JSON.stringify(['/bin/node', '-e', 'for (let n = 1; n <= 50; n++) console.log("line " + n + "."); process.exitCode = 7'])}`,
    ],
    says: [/exit code 7/, /\| line 31\./, /\| line 50\./],
  },
  {
    name: 'a command that is not there',
    args: ['--set', `command=${JSON.stringify(['/no/such/program'])}`],
    says: [/\/no\/such\/program/],
  },
];

test('a failed update leaves all as it was, under load', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('good'));
  const before = await shop.list();
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 500, easing: EASED });
  for (const failure of FAILURES) {
    const result = await shop.gantry('update', ...version('bad'), ...failure.args);
    exitedWith(1, result);
    tellsAll(failure, `${result.stdout}${result.stderr}`);
    await shop.untilContainers(before.map((row) => row.id));
    assert.deepEqual((await shop.list()).map(essence), before.map(essence));
    assert.equal(await getText(shop.http, '/version'), 'good');
  }
  await shop.must('update', '--detach', ...version('better'));
  assert.equal(await getText(shop.http, '/version'), 'better');
  await lostNothing(load);
});

test('a first start that fails leaves nothing behind', { skip }, async (t) => {
  const shop = await openShop(t, { web: { instances: 2 } });
  for (const failure of FAILURES.slice(1, 3)) {
    const result = await shop.gantry('start', ...version('bad'), ...failure.args);
    exitedWith(1, result);
    tellsAll(failure, `${result.stdout}${result.stderr}`);
    assert.deepEqual(await shop.containers(), [], failure.name);
    await assert.rejects(getText(shop.http, '/version'), failure.name);
    assert.match(await shop.must('list'), /Component web is not running/);
  }
  await shop.must('start', ...version('good'));
  assert.equal(await getText(shop.http, '/version'), 'good');
});

test('one instance that fails fails the release, and the one that was ready goes', { skip }, async (t) => {
  const shop = await openShop(t, { web: { instances: 2 } });
  await shop.must('start', ...version('good'));
  const before = (await shop.containers()).map((container) => container.id);
  const bindings = JSON.stringify([{ external: shop.box.folder, volume: '/shared' }]);
  const command = JSON.stringify(['/bin/node', '-e', ONLY_ONE]);
  const args = [...version('bad'), '--set', `bindings=${bindings}`, '--set', `command=${command}`];
  const result = await shop.gantry('update', ...args);
  exitedWith(1, result);
  assert.match(result.stdout, /\| there is one already/);
  await shop.untilContainers(before);
  assert.equal(await getText(shop.http, '/version'), 'good');
});

/** Runs the application in the first container that comes, and fails in the second. */
const ONLY_ONE = `
  try {
    require('fs').mkdirSync('/shared/one');
    import('/app/server.mjs');
  } catch {
    console.error('there is one already');
    process.exitCode = 5;
  }
`;

function tellsAll(failure: Failure, said: string): void {
  for (const pattern of failure.says) assert.match(said, pattern, failure.name);
  const lines = said.split('\n').filter((line) => line.startsWith('  | ')).length;
  assert.ok(lines <= KEPT_LINES, `${failure.name}: ${lines} log lines`);
}

function essence({ id, status }: { readonly id: string; readonly status: string }) {
  return { id, status };
}
