/**
 * An update that the engine, the registry or a port refuses must end with 1 and one message that says why and
 * how things stand; what serves goes on, and nothing of the attempt stays.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { isOneMessage, lastJson } from '../cli/cases.ts';
import { freePort, skipWithoutEngine } from '../ground/harness.ts';
import { exitedWith, getText, openShop, variable, version } from './shop.ts';

const skip = skipWithoutEngine;
const SERVES_ON = 'what served before serves on';

interface Refusal {
  readonly name: string;
  readonly set: readonly string[];
  readonly says: readonly (string | RegExp)[];
}

const REFUSALS: readonly Refusal[] = [
  {
    name: 'a registry that is not there',
    set: ['repo=127.0.0.1:1/shop'],
    says: ['127.0.0.1:1/shop', 'connection refused', 'Check the network and the registry'],
  },
  {
    name: 'a file bound over a folder',
    set: ['bindings.{FILE}=/app'],
    says: ['{FILE}', SERVES_ON],
  },
  {
    name: 'volumes of a container that is not there',
    set: ['volumesFrom=no-such-container'],
    says: ['no-such-container', SERVES_ON],
  },
  {
    name: 'an unknown network',
    set: ['network=no-such-network'],
    says: ['no-such-network', SERVES_ON],
  },
  { name: 'an unknown user', set: ['user=nosuch'], says: ['nosuch', SERVES_ON] },
  {
    name: 'an unknown log driver',
    set: ['logging.driver=nosuch'],
    says: ['nosuch', SERVES_ON],
  },
  {
    name: 'a check on a port nothing listens on',
    set: ['readyChecks.http.port=4444', 'readyTimeout=1000'],
    says: [/nothing listens on \S+:4444/, 'not ready within 1000 ms', /release \d+ serves on/],
  },
  {
    name: 'too little memory',
    set: ['resources.memory=8m', 'readyTimeout=10000'],
    says: ['exited before', /release \d+ serves on/],
  },
];

test('an update that is refused', { skip }, async (t) => {
  const shop = await openShop(t);
  const bound = join(shop.box.folder, 'bound');
  await writeFile(bound, '');
  const real = (text: string) => text.replaceAll('{FILE}', bound);
  await shop.must('start', ...version('good'));
  const before = (await shop.containers()).map((c) => c.id);
  for (const { name, set, says } of REFUSALS)
    await t.test(name, async () => {
      const result = await shop.gantry('update', ...set.flatMap((s) => ['--set', real(s)]));
      exitedWith(1, result);
      isOneMessage(result);
      for (const words of says) {
        const told =
          typeof words === 'string' ? result.stderr.includes(real(words)) : words.test(result.stderr);
        assert.ok(told, `${words} in:\n${result.stderr}`);
      }
      await shop.untilContainers(before);
      assert.equal(await getText(shop.http, '/version'), 'good');
    });

  await t.test('a refusal is the last JSON line with --json, and stderr is empty', async () => {
    const { code, stdout, stderr } = await shop.gantry('update', '--json', '--set', 'user=nosuch');
    assert.deepEqual([code, stderr], [1, '']);
    const error = lastJson(stdout);
    assert.deepEqual([error.kind, error.code], ['error', 'engine-failed']);
    assert.match(String(error.hint), /what served before serves on/);
  });

  await t.test('a huge line with control characters neither steers nor floods the terminal', async () => {
    const program = `process.stdout.write('\\x1b[2J\\x07' + 'x'.repeat(200000) + '\\n', () => process.exit(5))`;
    const command = `command=${JSON.stringify(['/bin/node', '-e', program])}`;
    const { stdout } = await shop.gantry('update', '--set', command);
    assert.match(stdout, /\| x{500}… \(\d+ more characters\)/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
    assert.doesNotMatch(stdout, /[\x00-\x08\x0b-\x1f]/);
  });

  await t.test('a port of a foreign process is named with its pid, before anything starts', async () => {
    const server = createServer().listen(0, '0.0.0.0');
    t.after(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const result = await shop.gantry('update', '--set', `ports.${port}=8080`);
    exitedWith(1, result);
    isOneMessage(result);
    assert.match(result.stderr, new RegExp(`port ${port} of web is taken: process ${process.pid} `));
    assert.doesNotMatch(result.stdout, /Starting container/);
    assert.equal(await getText(shop.http, '/version'), 'good');
  });

  await t.test("another project's port is named with that project", async () => {
    const other = {
      project: `${shop.box.project}-other`,
      components: [{ name: 'api', repo: 'none', ports: [] }],
    };
    const [component] = other.components;
    const repo = `gantryd-e2e-${shop.box.project}`;
    const ports = [{ external: shop.http.port, container: 8080 }];
    const file = await shop.box.config(
      { ...other, components: [{ ...component, repo, tag: 'app', ports }] },
      'other.json',
    );
    const result = await shop.box.gantry([file, 'start', 'api']);
    exitedWith(1, result);
    isOneMessage(result);
    for (const words of [`${other.project}/api`, `${shop.box.project}/web`, String(shop.http.port)])
      assert.ok(result.stderr.includes(words), result.stderr);
  });

  await t.test('start refuses what runs, also when it is only asked what it would do', async () => {
    for (const more of [[], ['--dry-run']]) {
      const result = await shop.gantry('start', ...more);
      exitedWith(1, result);
      assert.match(result.stderr, /Component web is already running\n {2}Use update/);
    }
  });

  await t.test('a release may move to another port, and the old one is closed', async () => {
    const port = await freePort();
    const config = { ...JSON.parse(await shop.must('list', '--json')) };
    assert.equal(config.component, 'web');
    await shop.must('update', ...version('moved'), '--set', `ports.${port}=8080`);
    assert.equal(await getText({ host: '127.0.0.1', port }, '/version'), 'moved');
    await shop.must('update', ...version('back'));
    await assert.rejects(getText({ host: '127.0.0.1', port }, '/version'));
    assert.equal(await getText(shop.http, '/version'), 'back');
  });
});

test('a start that fails leaves a stopped component stopped', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  await shop.must('stop');
  for (const args of [variable('EXIT_AT_START', 3), ['--set', 'user=nosuch']]) {
    exitedWith(1, await shop.gantry('start', ...args));
    await shop.untilContainers([]);
    assert.match(await shop.must('list'), /^Component web is not running\n$/);
  }
  for (const action of ['stop', 'kill'])
    assert.equal(await shop.must(action), 'Component web is not running\n');
});
