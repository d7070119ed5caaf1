import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Step } from '../../../src/config/job.ts';
import { openJobEngine } from '../../../src/docker/dockerode.ts';
import { GantryError } from '../../../src/errors.ts';
import { execute } from '../../../src/jobs/execution/execution.ts';
import { mountedSecrets } from '../../../src/secrets/mounted.ts';
import { EngineApi } from '../../docker/api.ts';
import { ENGINE_ADDRESS, NO_ENGINE } from '../../docker/real-ground.ts';
import { until } from '../../docker/until.ts';
import { engineAddress } from '../../ground/harness.ts';
import { registry, skipWithoutRegistry } from '../../ground/registry.ts';
import { type Relay, relay } from '../../ground/relay.ts';
import {
  bytesOf,
  ExecutionGround,
  executed,
  type Going,
  inline,
  logOf,
  outputBytes,
} from './execution-ground.ts';

const SMALL_DISK = '2m';
const NO_ROOT = process.getuid?.() === 0 ? undefined : 'only root may mount a small disk';

describe('an execution on a bad day', { skip: NO_ENGINE ?? false, concurrency: 4 }, () => {
  const ground = new ExecutionGround();
  let folder = '';
  const api = new EngineApi(ENGINE_ADDRESS);
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'gantryd-bad-day-'));
    await ground.setUp();
  });
  after(async () => {
    await ground.tearDown();
    rmSync(folder, { recursive: true, force: true });
  });

  /** An engine behind a relay of its own, which can go away. */
  async function fragile(t: TestContext, name: string) {
    const own = join(folder, name);
    mkdirSync(own);
    const way = await relay(t, own, engineAddress());
    const engine = openJobEngine({ address: way.address });
    t.after(() => engine.close());
    return { engine, way };
  }
  const saysThatItWaits = (going: Going) =>
    until('it waits for the engine', () =>
      going.printed.some(({ bytes }) => bytes.toString().includes('waiting for')),
    );
  const told = (going: Going, words: string) =>
    until(`it prints ${words}`, () => Buffer.concat(going.printed.map((p) => p.bytes)).includes(words));

  async function awayFor(way: Relay, going: Going, meanwhile: () => Promise<unknown>): Promise<void> {
    await way.cut();
    await saysThatItWaits(going);
    await meanwhile();
    await way.mend();
  }

  test('goes on when the engine is back: nothing is missed or doubled', async (t) => {
    const { engine, way } = await fragile(t, 'back');
    const gates = mkdtempSync(join(folder, 'gates-'));
    const mounts = [{ source: gates, target: '/gates', readOnly: true }];
    const open = (gate: number) => writeFileSync(join(gates, String(gate)), '');
    const script = `i=0; while [ $i -lt 40 ]; do echo $i; echo $i >&2; i=$((i+1))
      while [ $((i % 20)) = 0 ] && [ ! -e /gates/$i ]; do sleep 0.02; done
    done`;
    const going = ground.going(ground.run({ steps: [ground.step(script, { mounts })] }), { engine });
    const ending = execute(going.input);
    await told(going, '19\n');
    // It prints while nobody hears it, and ends when it is heard again.
    await awayFor(way, going, async () => open(20));
    await told(going, '39\n');
    open(40);
    assert.equal((await ending)?.exitCode, 0);
    const numbers = Array.from({ length: 40 }, (_, i) => `${i}\n`).join('');
    assert.equal((await outputBytes(going.folder)).toString(), numbers);
    assert.equal(bytesOf(await logOf(going.folder), 'stderr').toString(), numbers);
  });

  test('ends at once when it is cancelled before the engine was ever there', async (t) => {
    const { engine, way } = await fragile(t, 'never');
    await way.cut();
    const going = ground.going(ground.run({ steps: [ground.step('true')] }), { engine });
    const ending = execute(going.input);
    await saysThatItWaits(going);
    going.cancel('somebody cancelled it');
    assert.equal((await ending)?.kind, 'cancelled');
  });

  test('does not take an end for a success that came while the engine was away', async (t) => {
    const { engine, way } = await fragile(t, 'ended');
    const going = ground.going(ground.run({ steps: [ground.step('echo here; sleep 0.5')] }), { engine });
    const ending = execute(going.input);
    await told(going, 'here');
    const ended = async () => (await ground.containers(going.input.run))[0]?.running === false;
    await awayFor(way, going, () => until('it ended', ended));
    const end = await ending;
    assert.equal(end?.kind, 'output');
    assert.match(end?.why ?? '', /^Step 1 ended while the Docker engine was away/);
  });

  test('ends a step whose input the engine had, and may have lost: it might wait for it for ever', async (t) => {
    const { engine, way } = await fragile(t, 'input');
    const input = inline(Buffer.alloc(5_000_000));
    const run = ground.run(
      { steps: [ground.step('trap "exit 0" TERM; echo here; sleep 60 & wait; wc -c')] },
      { input },
    );
    const going = ground.going(run, { engine });
    const ending = execute(going.input);
    await told(going, 'here');
    await awayFor(way, going, async () => {});
    assert.equal((await ending)?.kind, 'input');
  });

  test('begins when the engine is there', async (t) => {
    const { engine, way } = await fragile(t, 'begins');
    await way.cut();
    const going = ground.going(ground.run({ steps: [ground.step('echo here')] }), { engine });
    const ending = execute(going.input);
    await saysThatItWaits(going);
    await way.mend();
    assert.equal((await ending)?.exitCode, 0);
  });

  for (const answer of ['engine-timeout', 'engine-unreachable'] as const) {
    test(`runs a step once though the answer to its start was lost (${answer})`, async () => {
      let starts = 0;
      const start = async (id: string) => {
        await ground.engine.start(id);
        if (++starts === 1) throw new GantryError(answer, 'no answer', { retryable: true });
      };
      const own = (name: string | symbol) => (name === 'start' ? start : Reflect.get(ground.engine, name));
      const engine = new Proxy(ground.engine, { get: (target, name) => own(name).bind(target) });
      const going = ground.going(ground.run({ steps: [ground.step('echo once; sleep 0.3')] }), { engine });
      assert.equal((await executed(going))?.why, '');
      assert.deepEqual([starts, (await outputBytes(going.folder)).toString()], [1, 'once\n']);
      starts = 0;
      const fed = ground.run({ steps: [ground.step('cat')] }, { input: inline('bytes') });
      assert.equal((await executed(ground.going(fed, { engine })))?.kind, 'input');
      assert.equal(starts, 1);
    });
  }

  test('fails when the disk is full, says so, and leaves nothing of it', {
    skip: NO_ROOT ?? false,
  }, async (t) => {
    const stateDir = join(folder, 'small');
    mkdirSync(stateDir);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', stateDir]);
    t.after(() => execFileSync('umount', ['-l', stateDir]));
    const going = ground.going(ground.run({ steps: [ground.step('cat /dev/zero'), ground.step('cat')] }), {
      stateDir,
    });
    const path = join(stateDir, 'runs', ground.project, going.input.run.id);
    const end = await executed(going);
    assert.equal(end?.kind, 'output');
    assert.match(end?.why ?? '', /^Step 1 failed: cannot write .*: the disk is full$/);
    assert.deepEqual(readdirSync(path).sort(), ['log.1.jsonl', 'state.json']);
    assert.deepEqual(await execute(going.input), end);
  });

  test('a container that somebody else removes ends its step', async () => {
    const going = ground.going(ground.run({ steps: [ground.step('echo here; sleep 60')] }));
    const ending = execute(going.input);
    await told(going, 'here');
    const [container] = await ground.containers(going.input.run);
    await api.send('DELETE', `/containers/${container?.id}?force=1`);
    const end = await ending;
    assert.notEqual(end?.exitCode, 0);
    assert.deepEqual(await ground.containers(going.input.run), []);
  });

  test('gives a step its secrets as files of its user, and takes them back', async (t) => {
    const shared = mkdtempSync('/dev/shm/gantryd-execution-');
    t.after(() => rmSync(shared, { recursive: true, force: true }));
    const secretFiles = mountedSecrets({
      stateDir: ground.stateDir,
      scope: 'jobs/t',
      folder: shared,
    });
    const secrets = { values: async () => new Map([['key', Buffer.from('s3cret')]]), auth: async () => ({}) };
    const script = 'cat /run/secrets/key; stat -c " %a %u:%g" /run/secrets/key';
    const step = ground.step(script, { user: '1000:1001', secrets: [{ name: 'key' }] });
    const going = ground.going(ground.run({ steps: [step] }), { secrets, secretFiles });
    assert.equal((await executed(going))?.why, '');
    assert.equal((await outputBytes(going.folder)).toString(), 's3cret 400 1000:1001\n');
    assert.deepEqual(await secretFiles.containers(), []);
  });

  test('joins every network that is named', async (t) => {
    const networks = ['a', 'b'].map((name) => `${ground.project}-${name}`);
    for (const Name of networks) await api.send('POST', '/networks/create', { Name });
    t.after(() => Promise.all(networks.map((name) => api.send('DELETE', `/networks/${name}`))));
    const going = ground.going(
      ground.run({ steps: [ground.step('ls /sys/class/net | grep -c eth', { networks })] }),
    );
    assert.equal((await executed(going))?.why, '');
    assert.equal((await outputBytes(going.folder)).toString(), '2\n');
  });

  test('pulls with the auth that came with the job, anew where it says so, and keeps no old image', {
    skip: skipWithoutRegistry,
  }, async (t) => {
    const user = { username: 'ann', password: 'se:cret' };
    const { address, publish } = await registry(t, user);
    const auth = async () => ({ ...user, serveraddress: address });
    const secrets = { values: async () => new Map(), auth };
    const image = `${address}/app:1`;
    const plain = ground.step('cat /content | wc -c', { image });
    const sealed = { ...plain, registryAuth: { sealed: 'sealed' } };
    const result = async (step: Step) => {
      const going = ground.going(ground.run({ steps: [step] }), { secrets });
      const end = await executed(going);
      return { end, notes: bytesOf(await logOf(going.folder), 'gantryd').toString() };
    };
    const first = await publish(t, 'app', '1');
    const refused = await result(plain);
    assert.equal(refused.end?.kind, 'start');
    assert.match(refused.end?.why ?? '', /refused the pull/);
    const pulled = await result(sealed);
    assert.equal(pulled.end?.why, '');
    assert.equal(pulled.notes, `pulling ${image}\npulled ${image}\n`);
    assert.equal((await result(plain)).notes, '', 'it is here');
    assert.match((await result({ ...sealed, refresh: true })).notes, /up to date\n$/);
    const second = await publish(t, 'app', '1');
    await api.send('POST', `/images/${first}/tag?repo=${address}/app&tag=1`);
    assert.equal((await result({ ...sealed, refresh: true })).end?.why, '');
    assert.equal((await ground.engine.image(image))?.id, second);
    assert.equal(await ground.engine.image(first), undefined);
  });
});
