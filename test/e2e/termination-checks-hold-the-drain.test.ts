/** A container that is to go must stay until all its termination checks pass, whatever their kind. */
import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { directly, exitedWith, getText, openShop, type Shop, version, WAIT_MS } from './shop.ts';

const INTERVAL_MS = 100;

test('an http check holds the drain until it passes', { skip: skipWithoutEngine }, async (t) => {
  const check = { kind: 'http', path: '/health', port: 8080, interval: INTERVAL_MS };
  const shop = await openShop(t, { web: { terminationChecks: [check] } });
  await shop.must('start', ...version('v1'));
  const old = await only(shop);
  const inside = await directly(old);
  await getText(inside, '/break');
  const update = shop.begin('update', ...version('v2'));
  await refused(update);
  await shop.untilContainers([old, await serving(shop)]);
  await getText(inside, '/mend');
  exitedWith(0, await update.ended);
  await shop.untilContainers([await serving(shop)]);
});

test('an exec check holds the drain until it passes, also over two commands', {
  skip: skipWithoutEngine,
}, async (t) => {
  const passes = `process.exit(require('fs').existsSync('/gate/open') ? 0 : 1)`;
  const check = { kind: 'exec', command: ['/bin/node', '-e', passes], interval: INTERVAL_MS };
  const web = { terminationChecks: [check, { kind: 'connection' }] };
  const shop = await openShop(t, { web });
  const gate = join(shop.box.folder, 'gate');
  await mkdir(gate);
  await chmod(gate, 0o755);
  const bindings = JSON.stringify([{ external: gate, volume: '/gate', readOnly: true }]);
  await shop.must('start', '--set', `bindings=${bindings}`);
  const old = await only(shop);
  const first = shop.begin('stop');
  await refused(first);
  first.interrupt('SIGKILL');
  await first.ended;
  const second = shop.begin('stop');
  await refused(second);
  assert.equal(await only(shop), old);
  await writeFile(join(gate, 'open'), '');
  exitedWith(0, await second.ended);
  await shop.untilContainers([]);
});

async function refused(command: ReturnType<Shop['begin']>): Promise<void> {
  const failed = () =>
    command.events('check').some(({ purpose, verdict }) => {
      return purpose === 'termination' && (verdict as { ok: boolean }).ok === false;
    });
  await until(failed, { timeoutMs: WAIT_MS, what: 'a termination check that fails' });
}

async function only(shop: Shop): Promise<string> {
  const [container, ...more] = await shop.containers();
  assert.ok(container !== undefined && more.length === 0);
  return container.id;
}

async function serving(shop: Shop): Promise<string> {
  const [row] = (await shop.list()).filter(({ status }) => status === 'running');
  assert.ok(row !== undefined);
  return row.id;
}
