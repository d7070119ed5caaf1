/** What scripts read must stay as it is: the list's columns, --json with nothing but JSON on stdout, exit codes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutEngine } from '../ground/harness.ts';
import { openTcp, openWebSocket } from '../ground/streams.ts';
import { exitedWith, jsonLines, opened, openShop, type Shop, tells, variable, version } from './shop.ts';

const skip = skipWithoutEngine;

test('list has the columns of the first gantry, and the connections', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const streams = [await opened(t, openWebSocket(shop.http)), await opened(t, openTcp(shop.tcp))];
  await shop.must('update', '--detach', ...version('v2'));
  const [head = '', ...lines] = (await shop.must('list')).trimEnd().split('\n');
  assert.deepEqual(cells(head), ['CONTAINER ID', 'UPTIME', 'IMAGE ID', 'STATUS', 'CONNECTIONS']);
  const rows = lines.map(cells);
  const containers = await shop.containers();
  const [running, draining] = rows;
  assert.deepEqual(rows.map((row) => row[0]).sort(), containers.map(({ id }) => id.slice(0, 12)).sort());
  assert.deepEqual([running?.[3], running?.[4]], ['running', '0']);
  assert.equal(draining?.[3], 'draining');
  assert.match(draining?.[4] ?? '', /^2 \(oldest \d+ s\)$/);
  for (const row of rows) assert.match(row[1] ?? '', /^Up /);
  for (const row of rows) assert.match(row[2] ?? '', /^([0-9a-f]{12}|gantryd-e2e-\w+:app)$/);
  for (const stream of streams) await stream.stop();
});

test('a container on its way up is listed as starting', { skip }, async (t) => {
  const shop = await openShop(t);
  const start = shop.begin('start', ...variable('READY_AFTER_MS', 600_000));
  await tells(start, 'container-started');
  const [row] = await shop.list();
  assert.equal(row?.status, 'starting');
  start.interrupt();
  exitedWith(1, await start.ended);
});

test('the words of the first gantry are said', { skip }, async (t) => {
  const shop = await openShop(t);
  assert.match(await shop.must('list'), /^Component web is not running$/m);
  assert.match(await shop.must('stop'), /^Component web is not running$/m);
  const started = await shop.must('start', ...variable('READY_AFTER_MS', 300));
  const [container] = await shop.containers();
  const id = container?.id.slice(0, 12);
  assert.match(started, new RegExp(`^Starting container ${id}$`, 'm'));
  assert.match(started, /^Waiting for health checks\.\.\.$/m);
  assert.match(started, /^Redirecting traffic to new container$/m);
  const again = await shop.gantry('start');
  exitedWith(1, again);
  assert.match(again.stderr, /Component web is already running/);
  const stopped = await shop.must('stop');
  assert.match(stopped, /^Draining all containers\.\.\.$/m);
  assert.match(stopped, new RegExp(`^Draining container ${id}$`, 'm'));
  assert.match(stopped, new RegExp(`^Shutting down container: ${id}$`, 'm'));
});

test('with --json every command writes JSON lines alone, also when it fails', { skip }, async (t) => {
  const shop = await openShop(t);
  const calls: [code: number, action: string, ...args: string[]][] = [
    [0, 'check'],
    [0, 'list'],
    [0, 'stop'],
    [0, 'start', '--dry-run'],
    [0, 'start'],
    [1, 'start'],
    [0, 'update', '--dry-run'],
    [0, 'update', ...version('v2')],
    [1, 'update', ...variable('EXIT_AT_START', 3)],
    [2, 'update', '--set', 'instances=none'],
    [2, 'update nothing'],
    [2, 'updaet'],
    [0, 'list'],
    [0, 'stop'],
    [0, 'kill'],
  ];
  for (const [code, action, ...args] of calls) await onlyJson(shop, code, action, args);
});

async function onlyJson(shop: Shop, code: number, action: string, args: readonly string[]): Promise<void> {
  const result = await shop.gantry(action, ...args, '--json');
  const call = `${action} ${args.join(' ')}`;
  assert.equal(result.code, code, `${call}: ${result.stdout}${result.stderr}`);
  assert.equal(result.stderr, '', call);
  if (result.stdout === '') return assert.equal(code, 0, `${call} says nothing`);
  const values = jsonLines(result.stdout);
  const errors = values.filter(({ kind }) => kind === 'error');
  assert.equal(errors.length, code === 0 ? 0 : 1, `${call}: ${result.stdout}`);
  for (const { code: name, message, retryable } of errors) {
    assert.match(String(name), /^[a-z-]+$/);
    assert.equal(typeof message, 'string');
    assert.equal(typeof retryable, 'boolean');
  }
}

function cells(line: string): string[] {
  return line.split(/ {2,}/);
}
