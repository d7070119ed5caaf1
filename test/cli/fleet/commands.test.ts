/**
 * The commands on a fleet against a real etcd: what they print, what they leave in etcd, how they end. Hosts are
 * played by writing what an agent would tell; real agents are followed in test/e2e.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { Store } from '../../../src/cluster/store.ts';
import { type RolloutValue, readDesired, readRelease, readRollout } from '../../../src/cluster/values.ts';
import { busyboxImage, removeImage, uniqueTag } from '../../docker/images.ts';
import { host, status } from '../../fleet/intents/intents-ground.ts';
import { type Etcd, skipWithoutEtcd, startEtcd } from '../../ground/etcd.ts';
import { type Cleanup, engineAddress, skipWithoutEngine, tempFolder, until } from '../../ground/harness.ts';
import { type Cli, cli, type Running, type RunResult } from '../../ground/processes.ts';
import { isOneMessage, lastJson } from '../cases.ts';

const WAIT_MS = 20_000;

describe('the commands on a fleet', { skip: skipWithoutEtcd || skipWithoutEngine }, () => {
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.unshift(clean) };
  let etcd: Etcd;
  let store: Store;
  let commands: Cli;
  let folder: string;
  let tag: string;
  let id: string;
  let projects = 0;

  before(async () => {
    folder = await tempFolder(cleanup);
    etcd = await startEtcd(cleanup);
    commands = cli(cleanup, join(folder, 'state'), { GANTRYD_ETCD: etcd.endpoints.join(',') });
    store = openStore({ endpoints: etcd.endpoints });
    cleanup.after(() => store.close());
    tag = uniqueTag();
    cleanup.after(() => removeImage(engineAddress(), tag));
    id = (await busyboxImage(engineAddress(), tag)).replace('sha256:', '').slice(0, 12);
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  /** A project of its own, with its config set; commands are lines of which `P` is the project. */
  async function shop(...names: readonly string[]) {
    const project = `shop${++projects}`;
    const file = join(folder, `${project}.json`);
    const [repo = '', version = ''] = tag.split(':');
    const components = names.map((name) => ({ name, repo, tag: version }));
    await writeFile(file, JSON.stringify({ components }));
    const at = keys().project(project);
    const line = (text: string) => text.split(' ').map((word) => (word === 'P' ? project : word));
    const gantryd = (text: string, ...more: readonly string[]) => commands.gantryd([...line(text), ...more]);
    const says = async (text: string, ...more: readonly string[]) => {
      const { code, stdout, stderr } = await gantryd(text, ...more);
      assert.deepEqual([code, stderr], [0, ''], `${text}: ${stdout}`);
      return stdout;
    };
    await says('setconfig P', file);
    return {
      ...{ project, at, file, gantryd, says },
      start: (text: string): Running => commands.start('gantryd', line(text)),
      put: (key: string, value: object) =>
        store.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]),
      rollout: async (): Promise<RolloutValue> => {
        const value = readRollout(await store.get(at.rollout('web')));
        assert.ok(value);
        return value;
      },
    };
  }

  type Shop = Awaited<ReturnType<typeof shop>>;

  /** As its agent would: here, and so far. */
  async function plays({ project, at, put }: Shop, name: string, over: Parameters<typeof status>[1]) {
    await put(keys().host(project, name), host(name, { project }));
    await put(at.status('web', name), status(name, over));
  }

  test('speak the words of the first gantryd', async () => {
    const { says, file, at } = await shop('web', 'api');
    assert.equal(await says('setconfig P', file), 'Configuration updated\n');
    assert.deepEqual(rows(await says('list P')), [
      ['COMPONENT', 'STATUS', 'IMAGE ID'],
      ['web', 'unknown'],
      ['api', 'unknown'],
    ]);
    const updated = await says('update P -c web --note first');
    assert.equal(updated, `Updating the image IDs on components\nComponent web -> ${id} (release 1)\n`);
    assert.deepEqual(rows(await says('list P'))[1], ['web', 'updating', id]);
    const stopped = await says('stop P -c web');
    assert.equal(stopped, 'Marking components as stopped\nComponent web -> stopped (release 1 is kept)\n');
    assert.deepEqual(rows(await says('list P'))[1], ['web', 'stopped', id], 'the id is kept');
    assert.match(
      await says('kill P'),
      /^Marking components as killed\n.* -> killed .*\n.*api was never deployed\n$/,
    );
    const release = readRelease(await store.get(at.release('web', 1)));
    assert.deepEqual([release?.image.name, release?.note], [tag, 'first']);
    assert.match(release?.by ?? '', /^[\w-]+@\S+$/);
    assert.match(
      await says('history P -c web'),
      new RegExp(`^1 \\* +${id} +${tag} .* superseded +first$`, 'm'),
    );
    assert.equal((await says('getconfig P')).includes('"repo"'), true);
  });

  test('tell programs one document each', async () => {
    const { says, project, gantryd } = await shop('web');
    const document = async (text: string) =>
      JSON.parse(await says(text, '--json')) as Record<string, unknown>;
    const [change] = (await document('update P')).components as { release: number; image: object }[];
    assert.equal(change?.release, 1);
    assert.deepEqual(Object.keys(change?.image ?? {}), ['name', 'id', 'digests']);
    assert.equal((await document('list P')).project, project);
    assert.deepEqual((await document('list P --hosts')).hosts, []);
    const { releases } = await document('history P -c web');
    assert.equal((releases as { outcome: string }[])[0]?.outcome, 'preparing');
    assert.equal(((await document('why P -c web')).desired as { release: number }).release, 1);
    assert.equal((await document('rollout pause P -c web')).state, 'paused');
    assert.equal((await document('rollout resume P -c web')).attempt, 2);
    assert.deepEqual((await document('rollout status P -c web')).hosts, []);
    assert.deepEqual((await document('getconfig P')).project, project);
    const { code, stdout } = await gantryd('rollback P -c web --json');
    assert.deepEqual([code, lastJson(stdout).code], [2, 'release-unknown']);
  });

  test('say what is not there', async () => {
    const { gantryd, put, at, says } = await shop('web', 'api');
    const refused = async (text: string, code: number, ...words: readonly string[]) => {
      const result = await gantryd(text);
      assert.equal(result.code, code, result.stdout);
      isOneMessage(result);
      for (const word of words) assert.ok(result.stderr.includes(word), result.stderr);
    };
    await refused('list nosuch', 2, 'No config was set for a project nosuch', 'setconfig nosuch FILE');
    await refused('update P -c wbe', 2, 'did you mean "web"?', 'web, api');
    await refused('stop P -c wbe', 2, 'did you mean "web"?');
    await refused('rollback P -c web', 2, 'It has none: update makes one');
    await refused('rollout pause P -c web', 1, 'it has had none');
    await refused('why P -c web --host h1', 2, 'web runs on no live host h1');
    await says('update P -c web');
    await put(at.status('web', 'h1'), status('h1'));
    await refused('why P -c web --host h2', 2, 'did you mean "h1"?', 'It runs on: h1');
  });

  test('change nothing when the image is nowhere', async () => {
    const { gantryd, project, file, says, at } = await shop('web');
    const components = [{ name: 'web', repo: '127.0.0.1:1/nosuch' }];
    await writeFile(file, JSON.stringify({ components }));
    await says(`setconfig ${project}`, file);
    const { code, stderr } = await gantryd('update P');
    assert.equal(code, 1);
    assert.match(stderr, /^Error: .*127\.0\.0\.1:1/);
    assert.equal(await store.get(at.desired('web')), undefined);
  });

  test('list --hosts, why and rollout status tell what hosts said', async () => {
    const all = await shop('web');
    await all.says('update P');
    const over = {
      phase: 'preparing',
      serving: 0,
      settled: 0,
      why: 'the registry\u001b[2J is away',
    } as const;
    await plays(all, 'h1', { ...over, logs: ['first line', 'second line'] });
    const [head, row] = rows(await all.says('list P --hosts'));
    assert.deepEqual(head, ['COMPONENT', 'HOST', 'RELEASE', 'PHASE', 'CONNECTIONS', 'AGE', 'LAST CHECK']);
    assert.deepEqual(row?.slice(0, 5), ['web', 'h1', '-', 'preparing', '0']);
    const why = await all.says('why P -c web --host h1');
    assert.match(
      why,
      /^web is to run release 1 .*: updating\.\n.*is preparing\.\nh1: preparing .*\n {2}the registry is away\n/,
    );
    assert.match(why, / {2}\| first line\n {2}\| second line\n$/);
    assert.match(await all.says('rollout status P -c web'), /is preparing\.\n\nCOMPONENT +HOST/);
  });

  test('list --watch tells what changes, and ends when told', async () => {
    const all = await shop('web');
    const watching = all.start('list P --watch');
    await watching.says(/web +unknown/);
    await all.says('update P');
    await watching.says(/web +updating/);
    await all.says('stop P');
    await watching.says(/web +stopped/);
    watching.signal('SIGTERM');
    const { code, stderr } = await watching.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });

  describe('--wait', () => {
    test('without a host ends with 4', async () => {
      const all = await shop('web');
      const { code, stderr } = await all.gantryd('update P --wait');
      assert.equal(code, 4, stderr);
      assert.match(stderr, /No live host runs web; the first agent that comes will run release 1/);
      assert.equal((await all.gantryd('stop P --wait')).code, 4);
    });

    test('ends with 0 when every host serves the release', async () => {
      const all = await shop('web');
      for (const h of ['h1', 'h2'])
        await plays(all, h, { settled: 0, serving: 0, generation: 0, phase: 'idle' });
      const waiting = all.start('update P --wait');
      await waiting.says('h2: web idle');
      await plays(all, 'h1', { generation: 1 });
      await waiting.says('h1: web serving, release 1 serves, as wanted');
      await all.put(all.at.rollout('web'), { ...(await all.rollout()), state: 'done' });
      await plays(all, 'h2', { generation: 1 });
      const { code, stdout } = await waiting.ended;
      assert.equal(code, 0);
      assert.match(stdout, /web: release 1 serves on all 2 hosts\n$/);
      const stopping = all.start('stop P --wait');
      await stopping.says('-> stopped');
      for (const h of ['h1', 'h2']) await plays(all, h, { generation: 2, serving: 0, phase: 'stopped' });
      assert.equal((await stopping.ended).code, 0);
    });

    test('ends with 1 when the release is taken back, with all that is known of why', async () => {
      const all = await shop('web');
      await plays(all, 'h1', { settled: 0, serving: 0, generation: 0 });
      const waiting = all.start('update P --wait');
      await waiting.says('the rollout of release 1 is preparing');
      const failure = {
        ...{
          host: 'h1',
          release: 1,
          why: 'its ready checks did not pass',
          check: 'answered 503',
          exitCode: 3,
        },
        ...{ logs: ['no database'], at: new Date().toISOString() },
      };
      const desired = readDesired(await store.get(all.at.desired('web')));
      await all.put(all.at.desired('web'), { ...desired, status: 'stopped', generation: 2 });
      await all.put(all.at.rollout('web'), {
        ...(await all.rollout()),
        state: 'failed',
        reason: 'h1: no',
        failure,
      });
      const { code, stderr } = await waiting.ended;
      assert.equal(code, 1);
      isOneMessage(await waiting.ended);
      for (const words of [
        'nothing served before it',
        'failed on h1: its ready checks',
        'last check: answered 503',
        'exit code 3',
        '| no database',
      ])
        assert.ok(stderr.includes(words), `${words} in ${stderr}`);
    });

    test('ends with 1 when it is paused or somebody wants something else', async () => {
      const all = await shop('web');
      await plays(all, 'h1', { settled: 0, serving: 0, generation: 0 });
      const paused = all.start('update P --wait --json');
      await paused.says('"rollout-changed"');
      await all.says('rollout pause P -c web');
      const first = await paused.ended;
      assert.deepEqual([first.code, lastJson(first.stdout).code], [1, 'rollout-paused']);
      const overtaken = all.start('update P --wait --json');
      await overtaken.says('"release":2,"state":"preparing"');
      await all.says('stop P');
      const second = await overtaken.ended;
      assert.deepEqual([second.code, lastJson(second.stdout).code], [1, 'superseded']);
    });

    test('ends with 3 when the time is over, and what was asked for goes on', async () => {
      const all = await shop('web');
      await plays(all, 'h1', { settled: 0, serving: 0, generation: 0, why: 'fetching the image' });
      const { code, stderr } = await all.gantryd('update P --wait --timeout 1');
      assert.equal(code, 3, stderr);
      assert.match(
        stderr,
        /The time is over\. web: release 1 serves on 0 of 1 hosts; h1: fetching the image/,
      );
      assert.equal((await all.rollout()).state, 'preparing');
    });

    for (const signal of ['SIGTERM', 'SIGKILL'] as const)
      test(`that is ended by ${signal} changes nothing`, async () => {
        const all = await shop('web');
        await plays(all, 'h1', { settled: 0, serving: 0, generation: 0 });
        const waiting = all.start('update P --wait');
        await waiting.says('the rollout of release 1 is preparing');
        const before = await store.list(all.at.followed());
        waiting.signal(signal);
        const ended = await waiting.ended;
        if (signal === 'SIGTERM') assert.match(ended.stderr, /what was asked for goes on/);
        assert.equal(ended.code === 0, false);
        assert.deepEqual((await store.list(all.at.followed())).entries, before.entries);
      });
  });

  test('wait for an etcd that is away while they follow, and refuse new intent meanwhile', async (t) => {
    const own = await startEtcd(t);
    const line = cli(t, join(folder, 'other'), { GANTRYD_ETCD: own.endpoints.join(',') });
    await line.gantryd(['setconfig', 'shop', join(folder, 'shop1.json')]);
    const its = openStore({ endpoints: own.endpoints });
    t.after(() => its.close());
    const at = keys().project('shop');
    const put = (key: string, value: object) =>
      its.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
    await put(at.status('web', 'h1'), status('h1', { settled: 0, generation: 0, serving: 0 }));
    const waiting = line.start('gantryd', ['update', 'shop', '-c', 'web', '--wait']);
    await waiting.says('the rollout of release 1 is preparing');
    await own.pause();
    await waiting.says('etcd is away; the hosts go on without it', WAIT_MS);
    const refused = await line.gantryd(['stop', 'shop', '--json']);
    assert.deepEqual([refused.code, lastJson(refused.stdout).code], [1, 'cluster-unreachable']);
    own.resume();
    await waiting.says('etcd answers again', WAIT_MS);
    const rollout = await until(async () => readRollout(await its.get(at.rollout('web'))), {
      ...{ timeoutMs: WAIT_MS, what: 'etcd to answer' },
    });
    await put(at.rollout('web'), { ...rollout, state: 'done' });
    await put(at.status('web', 'h1'), status('h1'));
    assert.equal((await waiting.ended).code, 0);
  });

  describe('with TLS and users', () => {
    const made = async (t: TestContext) => {
      const own = await startEtcd(t, { tls: 'clients' });
      await own.addUser('ann', 'secret', '/teams/ann');
      const pem = own.certificates;
      assert.ok(pem);
      const files = ['--etcd-ca', pem.ca, '--etcd-cert', pem.client.cert, '--etcd-key', pem.client.key];
      const where = ['--etcd', own.endpoints.join(','), '--etcd-prefix', '/teams/ann', ...files];
      const password = join(folder, 'password');
      await writeFile(password, 'secret\n');
      const run = (env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<RunResult> =>
        commands.gantryd([...args, '--json'], { env: { GANTRYD_ETCD: '', ...env } });
      return { own, pem, where, password, run };
    };

    test('are let in with certificate and password, and told when not', async (t) => {
      const { where, password, run, own, pem } = await made(t);
      const file = join(folder, 'shop1.json');
      const user = ['--etcd-user', 'ann'];
      const set = await run(
        {},
        'setconfig',
        'shop',
        file,
        ...where,
        ...user,
        '--etcd-password-file',
        password,
      );
      assert.equal(set.code, 0, set.stdout);
      const list = await run(
        { GANTRYD_ETCD_PASSWORD: 'secret' },
        'list',
        'shop',
        '--hosts',
        ...where,
        ...user,
      );
      assert.equal(list.code, 0, list.stdout);
      const code = ({ stdout }: RunResult) => lastJson(stdout).code;
      const wrong = await run({ GANTRYD_ETCD_PASSWORD: 'guess' }, 'list', 'shop', ...where, ...user);
      assert.deepEqual([wrong.code, code(wrong)], [1, 'cluster-refused']);
      assert.doesNotMatch(wrong.stdout, /guess/);
      const nobody = await run({}, 'list', 'shop', ...where);
      assert.equal(code(nobody), 'cluster-refused');
      const elsewhere = ['--etcd-prefix', '/teams/bob'];
      const line = [...where.filter((word) => !['--etcd-prefix', '/teams/ann'].includes(word)), ...elsewhere];
      const other = await run({ GANTRYD_ETCD_PASSWORD: 'secret' }, 'list', 'shop', ...line, ...user);
      assert.equal(code(other), 'cluster-refused');
      const plain = await run({}, 'list', 'shop', '--etcd', own.endpoints.join(','), '--etcd-ca', pem.ca);
      assert.ok(['cluster-refused', 'cluster-unreachable'].includes(String(code(plain))), plain.stdout);
      const strange = [...where.slice(0, 4), '--etcd-ca', pem.stranger.cert];
      const untrusted = await run({}, 'list', 'shop', ...strange);
      assert.ok(
        ['cluster-refused', 'cluster-unreachable'].includes(String(code(untrusted))),
        untrusted.stdout,
      );
    });
  });
});

/** A table's cells. */
function rows(text: string): readonly (readonly string[])[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
}
