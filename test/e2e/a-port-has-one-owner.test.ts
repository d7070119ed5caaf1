/** A port that another project or a foreign process has must be refused by name, before anything is started. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { type Cleanup, freePort, skipWithoutEngine } from '../ground/harness.ts';
import { exitedWith, getText, openShop, version } from './shop.ts';

const skip = skipWithoutEngine;

test('two projects cannot have the same port, and the refusal names both', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('first'));
  const text = await readFile(shop.file, 'utf8');
  const rival = `rival-${shop.box.project}`;
  const other = await shop.box.config(
    text.replace(/"project": "[^"]+"/, `"project": "${rival}"`),
    'rival.json',
  );
  const before = await shop.box.containers();
  const refused = await shop.box.gantry([other, 'start', 'web']);
  exitedWith(1, refused);
  for (const name of [String(shop.http.port), shop.box.project, rival]) {
    assert.ok(refused.stderr.includes(name), `${name} is named in: ${refused.stderr}`);
  }
  assert.deepEqual(await shop.box.containers(), before, 'nothing was started');
  assert.equal(await getText(shop.http, '/version'), 'first');
  await shop.must('stop');
  exitedWith(0, await shop.box.gantry([other, 'start', 'web']));
  exitedWith(0, await shop.box.gantry([other, 'stop', 'web']));
});

test("a foreign process's port is refused naming the process", { skip }, async (t) => {
  const shop = await openShop(t);
  await foreignListener(t, shop.tcp.port);
  const refused = await shop.gantry('start');
  exitedWith(1, refused);
  for (const name of [String(shop.tcp.port), String(process.pid)]) {
    assert.ok(refused.stderr.includes(name), `${name} is named in: ${refused.stderr}`);
  }
  assert.deepEqual(await shop.containers(), []);
  await assert.rejects(getText(shop.http, '/version'), 'none of its ports is open');
});

test('an update that wants a taken port changes nothing', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const before = (await shop.containers()).map(({ id }) => id);
  const taken = await freePort();
  await foreignListener(t, taken);
  const refused = await shop.gantry('update', ...version('v2'), '--set', `ports.${taken}=8080`);
  exitedWith(1, refused);
  assert.ok(refused.stderr.includes(String(taken)), refused.stderr);
  await shop.untilContainers(before);
  assert.equal(await getText(shop.http, '/version'), 'v1');
  await shop.must('update', ...version('v3'));
});

async function foreignListener(t: Cleanup, port: number): Promise<void> {
  const server = createServer().listen(port, '0.0.0.0');
  t.after(() => void server.close());
  await once(server, 'listening');
}
