/**
 * An update must get the image it needs, from a real registry; when it cannot, or is interrupted meanwhile, what
 * served serves on.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isOneMessage } from '../cli/cases.ts';
import { dockerCall } from '../ground/docker.ts';
import { freePort, until } from '../ground/harness.ts';
import { registry, skipWithoutRegistry, stalledRegistry } from '../ground/registry.ts';
import { type Event, exitedWith, jsonLines, openShop, type Shop, tells, WAIT_MS } from './shop.ts';

const skip = skipWithoutRegistry;
const USER = { username: 'ann', password: 'se:cret' };
/** Far less than the silence after which a pull gives up by itself. */
const INTERRUPT_MS = 15_000;
/** Ends when told to, which the first process of a container does only with a trap. */
const IDLE = ['sh', '-c', 'trap "exit 0" TERM; sleep 3600 & wait'];

test('an update must get the image it needs', { skip }, async (t) => {
  const { address, publish } = await registry(t);
  const repo = `${address}/app`;
  const shop = await openShop(t, { web: idle(repo, 'v1') });
  const first = await publish(t, 'app', 'v1');

  await t.test('start pulls what is absent, and tells of it', async () => {
    const told = jsonLines(await shop.must('start', '--json'));
    const image = `${repo}:v1`;
    const { why } = toldOnce(told, 'image-pulling', { image });
    assert.equal(why, 'this host does not have it');
    toldOnce(told, 'image-ready', { image, imageId: first });
    isProgress(told.filter((event) => event.kind === 'image-progress' && event.image === image));
    const kinds = told.map((event) => event.kind);
    assert.ok(kinds.indexOf('image-ready') < kinds.indexOf('release-made'), kinds.join());
    assert.equal(await imageInUse(shop), first);
  });

  await t.test('a tag that has moved is fetched with --pull, and only then', async () => {
    const second = await publish(t, 'app', 'v1');
    await dockerCall('POST', `/images/${first}/tag?repo=${repo}&tag=v1`);
    const local = jsonLines(await shop.must('update', '--json'));
    assert.deepEqual(
      local.filter((event) => event.kind.startsWith('image-')),
      [],
    );
    assert.equal(await imageInUse(shop), first);
    const told = jsonLines(await shop.must('update', '--pull', '--json'));
    assert.equal(toldOnce(told, 'image-pulling', {}).why, 'asked for');
    toldOnce(told, 'image-ready', { imageId: second });
    assert.equal(await imageInUse(shop), second);
  });

  await t.test('a tag or a repository that the registry lacks changes nothing', async (t) => {
    for (const lack of ['tag=v9', `repo=${address}/other`])
      for (const pull of [[], ['--pull']])
        await t.test([lack, ...pull].join(' '), () =>
          changesNothing(shop, async () => {
            const result = await shop.gantry('update', '--set', lack, ...pull);
            exitedWith(1, result);
            isOneMessage(result);
            const [name, value] = lack.split('=');
            const image = name === 'tag' ? `${repo}:${value}` : `${value}:v1`;
            assert.ok(result.stderr.includes(`The registry has no ${image}: `), result.stderr);
            assert.match(result.stderr, /\n {2}Check repo and tag of the component\./);
            assert.doesNotMatch(result.stdout, /Starting container/);
          }),
        );
  });

  await t.test('Ctrl-C while the registry is silent ends it at once', async (t) => {
    const stalled = await stalledRegistry(t);
    await changesNothing(shop, async () => {
      const update = shop.begin('update', '--set', `repo=${stalled.address}/app`);
      await tells(update, 'image-pulling');
      await until(() => stalled.connections > 0, { timeoutMs: WAIT_MS, what: 'the engine to ask it' });
      update.interrupt();
      const ended = () => update.events('error')[0];
      const error = await until(ended, { timeoutMs: INTERRUPT_MS, what: 'the interrupted update to end' });
      assert.deepEqual([error.code, error.hint], ['interrupted', 'Nothing has changed.']);
      exitedWith(1, await update.ended);
    });
  });

  await t.test('a registry that is gone fails only what needs it', async () => {
    const gone = `127.0.0.1:${await freePort()}`;
    await changesNothing(shop, async () => {
      const result = await shop.gantry('update', '--set', `repo=${gone}/app`);
      exitedWith(1, result);
      isOneMessage(result);
      assert.match(
        result.stderr,
        /The pull of .*\/app:v1 failed: .*connection refused.*\n {2}Check the network/,
      );
    });
  });
});

test('a registry with a password', { skip }, async (t) => {
  const { address, publish } = await registry(t, USER);
  const image = idle(`${address}/app`, 'v1');
  const keyed = { ...image, name: 'keyed', registryAuth: 'auth.json' };
  const shop = await openShop(t, { web: image, others: [keyed] });
  const id = await publish(t, 'app', 'v1');
  const auth = (password: string) => Buffer.from(`${USER.username}:${password}`).toString('base64');
  const knows = (password: string) =>
    shop.box.config({ auths: { [address]: { auth: auth(password) } } }, 'auth.json');

  await t.test('refuses who has none, with a hint', () => refused('start', /registryAuth/));

  await t.test('refuses who names a file that is missing', () =>
    refused('start keyed', /auth\.json cannot be read: .*\n.*registryAuth/),
  );

  await t.test('refuses who has a wrong one, which is not shown', async () => {
    await knows('wr0ng');
    await refused('start keyed', /refused the pull of .*\n.*registryAuth/);
  });

  await t.test('lets in whom registryAuth names', async () => {
    await knows(USER.password);
    await shop.must('start keyed');
    assert.equal(await imageInUse(shop, 'keyed'), id);
  });

  async function refused(action: string, says: RegExp): Promise<void> {
    const result = await shop.gantry(action);
    exitedWith(1, result);
    isOneMessage(result);
    assert.match(result.stderr, says);
    for (const secret of ['wr0ng', auth('wr0ng')])
      assert.ok(!`${result.stdout}${result.stderr}`.includes(secret), result.stderr);
    assert.deepEqual(await shop.box.containers(), []);
  }
});

function idle(repo: string, tag: string) {
  return { repo, tag, command: IDLE, ports: [], readyChecks: [] };
}

/** Answers the only event of the kind, which must hold these fields. */
function toldOnce(told: readonly Event[], kind: string, fields: Readonly<Record<string, unknown>>): Event {
  const [event, ...more] = told.filter((one) => one.kind === kind);
  assert.ok(event !== undefined && more.length === 0, `${1 + more.length} of ${kind}`);
  assert.deepEqual(event, { ...event, ...fields });
  return event;
}

/** Never back, never more than there is, and all of it at the end. */
function isProgress(told: readonly Event[]): void {
  let [lastDone, lastBytes] = [0, 0];
  for (const event of told) {
    const { layers, done, bytes, totalBytes } = event as unknown as Readonly<Record<string, number>>;
    const seen = [lastDone, done, layers, lastBytes, bytes, totalBytes].map(Number);
    assert.ok(seen.every(Number.isSafeInteger), JSON.stringify(event));
    const [, isDone = 0, of = 0, , has = 0, total = 0] = seen;
    assert.ok(lastDone <= isDone && isDone <= of && lastBytes <= has && has <= total, JSON.stringify(event));
    [lastDone, lastBytes] = [isDone, has];
  }
  const last = told.at(-1);
  assert.deepEqual([last?.layers, last?.done, last?.bytes], [2, 2, last?.totalBytes]);
}

/** The id of the image that the only container of the component was made of. */
async function imageInUse(shop: Shop, component = 'web'): Promise<string> {
  const [container, ...more] = await shop.containers(component);
  assert.deepEqual([container?.state, more.length], ['running', 0]);
  const found = (await dockerCall('GET', `/containers/${container?.id}/json`)) as { Image: string };
  return found.Image;
}

/** What serves before `body` serves after it, and nothing else is there. */
async function changesNothing(shop: Shop, body: () => Promise<void>): Promise<void> {
  const before = await look(shop);
  await body();
  assert.deepEqual(await look(shop), before);
}

async function look(shop: Shop): Promise<unknown> {
  const { stateDir, project } = shop.box;
  const containers = (await shop.box.containers()).map(({ id, name, state }) => ({ id, name, state }));
  const { State } = (await dockerCall('GET', `/containers/${containers[0]?.id}/json`)) as { State: unknown };
  const record = await readFile(join(stateDir, 'components', project, 'web.json'), 'utf8');
  return { containers, State, record: JSON.parse(record), rows: await rows(shop) };
}

async function rows(shop: Shop): Promise<unknown> {
  return (await shop.list()).map(({ id, release, status }) => ({ id, release, status }));
}
