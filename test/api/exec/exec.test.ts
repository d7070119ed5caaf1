/** Commands in containers, from a fake engine through the real server of an agent to who asked for them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { dialExec } from '../../../src/api/exec/exec-client.ts';
import {
  EXEC_PROTOCOL,
  ExecFrames,
  execFrame,
  INPUT_WINDOW_BYTES,
  takenOf,
} from '../../../src/api/exec/exec-wire.ts';
import { choose } from '../../../src/api/exec/fleet-exec.ts';
import type { Route } from '../../../src/api/route.ts';
import { type ErrorCode, GantryError, isGantryError } from '../../../src/errors.ts';
import type { FakeExec } from '../../docker/fake-exec.ts';
import { container, status } from '../../fleet/intents/intents-ground.ts';
import { until } from '../../ground/harness.ts';
import { apiGround } from '../api-ground.ts';
import { ExecGround, KEYS, Told } from './exec-ground.ts';

const SOON = { timeoutMs: 5_000, what: 'the command' };

async function refused(asked: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(asked, (error) => {
    assert.ok(isGantryError(error, code), String(error));
    assert.match(`${error.message}\n${error.hint}`, message);
    return true;
  });
}

/** It prints more than fits on the way to who does not read it. */
async function stuck(session: FakeExec): Promise<void> {
  const bytes = Buffer.alloc(1024 * 1024);
  for (let n = 0; n < 64; n++) session.print({ source: 'stdout', bytes });
  let before = 0;
  const stands = () => {
    const isSame = session.unread === before;
    before = session.unread;
    return isSame;
  };
  await until(stands, SOON);
  assert.ok(session.unread > 0);
}

describe('a command in a container', () => {
  test('has its streams apart and its exit code, and is noted with who asked', async (t) => {
    const ground = new ExecGround(t);
    const { engine, events, ids } = await ground.agent('a');
    const env = ['PASSWORD=hunter2'];
    const told = await ground.begin({ command: ['both', '-v'], env, user: 'app', workdir: '/srv' });
    assert.deepEqual(await told.ended, { exitCode: 4 });
    assert.deepEqual([told.stdout.text, told.stderr.text, told.began], ['out\n', 'err\n', ids[0]]);
    const { asked } = engine.sessions[0] ?? assert.fail('nothing was run');
    assert.deepEqual(asked, { command: ['both', '-v'], input: false, env, user: 'app', workdir: '/srv' });
    const [noted, ...more] = ground.audit();
    assert.deepEqual(more, []);
    assert.deepEqual([noted?.by, noted?.action, noted?.on], ['me@test', 'exec', ['web']]);
    assert.equal(noted?.detail, `a/${ids[0]?.slice(0, 12)}: both -v`);
    await until(() => events.length === 2, SOON);
    const [begun, ended] = events.map(({ at: _, ...event }) => event);
    const of = { component: 'web', container: ids[0], by: 'me@test', program: 'both' };
    assert.deepEqual(begun, { kind: 'exec-started', ...of });
    assert.deepEqual(ended, { kind: 'exec-ended', ...of, exitCode: 4, why: '' });
  });

  test('reads what is written, byte for byte, to its end', async (t) => {
    const ground = new ExecGround(t);
    await ground.agent('a');
    const told = await ground.begin({ command: ['cat'], input: true });
    const sent = randomBytes(3 * INPUT_WINDOW_BYTES + 77);
    told.stdin.end(sent);
    assert.deepEqual(await told.ended, { exitCode: 0 });
    assert.ok(told.stdout.bytes.equals(sent));
  });

  test('that cannot be run says why, with the code that shells have for it', async (t) => {
    const ground = new ExecGround(t);
    await ground.agent('a');
    const { exitCode, neverRan } = await (await ground.begin({ command: ['nosuch'] })).ended;
    assert.equal(exitCode, 127);
    assert.match(neverRan ?? '', /executable file not found/);
  });

  test('with a terminal has its size, and each size that comes after', async (t) => {
    const ground = new ExecGround(t);
    const { engine } = await ground.agent('a');
    const terminal = { columns: 80, rows: 24 };
    const told = await ground.begin({ command: ['wait'], input: true, terminal });
    await until(() => told.began !== undefined, SOON);
    told.exec.resize({ columns: 100, rows: 30 });
    await until(() => engine.sessions[0]?.sizes.length === 2, SOON);
    told.exec.signal('SIGINT');
    assert.deepEqual(await told.ended, { exitCode: 130 });
    assert.deepEqual(engine.sessions[0]?.sizes, [terminal, { columns: 100, rows: 30 }]);
  });

  test('whose container ends says so', async (t) => {
    const ground = new ExecGround(t);
    const { engine, ids } = await ground.agent('a');
    const told = await ground.begin({ command: ['wait'] });
    await until(() => told.began !== undefined, SOON);
    engine.die(ids[0] ?? '');
    assert.deepEqual(await told.ended, { exitCode: 137, containerEnded: true });
  });

  test('does not outlive who asked for it', async (t) => {
    const ground = new ExecGround(t);
    const { engine, events } = await ground.agent('a');
    const [plain, shown] = [
      await ground.begin({ command: ['wait'] }),
      await ground.begin({ command: ['wait'], terminal: { columns: 80, rows: 24 } }),
    ];
    await until(() => plain.began !== undefined && shown.began !== undefined, SOON);
    for (const told of [plain, shown]) told.channel.close();
    const ended = () => events.filter(({ kind }) => kind === 'exec-ended');
    await until(() => ended().length === 2, SOON);
    assert.deepEqual(engine.sessions.map(({ signals }) => signals).sort(), [['SIGHUP'], ['SIGTERM']]);
    assert.ok(engine.sessions.every(({ isClosed }) => isClosed));
    assert.ok(ended().every((event) => 'why' in event && event.why === 'who asked for it went away'));
    await refused(plain.ended, 'output-gone', /broke off/);
  });

  test('that cannot be signalled is left alone, and that is told', async (t) => {
    const ground = new ExecGround(t);
    const { engine, events } = await ground.agent('a');
    const told = await ground.begin({ command: ['wait'] });
    await until(() => told.began !== undefined, SOON);
    const [session] = engine.sessions;
    Object.assign(session ?? {}, { signal: async () => false });
    told.exec.signal('SIGINT');
    await until(() => told.unsignalled, SOON);
    told.channel.close();
    await until(() => events.some((event) => event.kind === 'exec-ended' && event.left === true), SOON);
    assert.equal(session?.isClosed, true);
  });

  test('ends with its agent, which says so, and takes no more', async (t) => {
    const ground = new ExecGround(t);
    const { engine, execs } = await ground.agent('a');
    const told = await ground.begin({ command: ['wait'], input: true });
    await until(() => told.began !== undefined, SOON);
    await execs.close();
    await refused(told.ended, 'interrupted', /the agent of a ends, and the command with it/);
    assert.deepEqual(engine.sessions[0]?.signals, ['SIGTERM']);
    await refused(ground.find(), 'interrupted', /the agent of a ends/);
  });

  test('ends with its agent also where nobody reads what it prints', async (t) => {
    const ground = new ExecGround(t);
    const { engine, events, execs } = await ground.agent('a');
    const { socket } = await ground.find();
    socket.write(execFrame('asked', JSON.stringify({ command: ['wait'] })));
    const session = await until(() => engine.sessions[0], SOON);
    await stuck(session);
    const closed = execs.close();
    await until(() => events.some((event) => event.kind === 'exec-ended'), SOON);
    assert.deepEqual(session.signals, ['SIGTERM']);
    socket.destroy();
    await closed;
  });

  test('tells at once how much of its input it took while nobody read that', async (t) => {
    const ground = new ExecGround(t);
    const { engine } = await ground.agent('a');
    const { socket } = await ground.find();
    socket.write(execFrame('asked', JSON.stringify({ command: ['wait'], input: true })));
    const session = await until(() => engine.sessions[0], SOON);
    await stuck(session);
    const warned: string[] = [];
    const onWarning = ({ message }: Error) => warned.push(message);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const pieces = 1_000;
    for (let n = 0; n < pieces; n++) socket.write(execFrame('input', 'x'));
    socket.write(execFrame('size', '{"columns":1,"rows":1}'));
    await until(() => session.sizes.length > 0, SOON);
    const told: number[] = [];
    const reader = new ExecFrames();
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (const frame of reader.read(chunk)) if (frame.kind === 'taken') told.push(takenOf(frame.bytes));
      if (told.reduce((sum, each) => sum + each, 0) === pieces) break;
    }
    assert.ok(told.length < pieces / 2, `${told.length} times`);
    assert.deepEqual(warned, []);
  });

  for (const [what, answers] of [
    ['no commands', () => []],
    ['another protocol', (all: readonly Route[]) => all.map((each) => ({ ...each, upgrade: 'old' }))],
  ] as const)
    test(`is refused with what is to be done by an agent of a version that knows ${what}`, async (t) => {
      const ground = new ExecGround(t);
      await ground.agent('a', 1, answers);
      await refused(
        ground.find(),
        'output-gone',
        /^a, which has the container .* of another version.*\n.*Upgrade/,
      );
    });

  test('is one of so many at once', async (t) => {
    const ground = new ExecGround(t);
    await ground.agent('a');
    const all = await Promise.all(Array.from({ length: 16 }, () => ground.begin({ command: ['wait'] })));
    await until(() => all.every(({ began }) => began !== undefined), SOON);
    await refused(ground.find(), 'too-many', /16 commands/);
    for (const told of all) told.channel.close();
  });

  test('is not run when it could not be noted', async (t) => {
    const ground = new ExecGround(t);
    const { engine } = await ground.agent('a');
    const { socket } = await ground.find();
    ground.store.commit = async () => {
      throw new GantryError('cluster-unreachable', 'no etcd member answers', { retryable: true });
    };
    await refused(new Told(socket, {}).ended, 'cluster-unreachable', /no etcd member/);
    assert.deepEqual(engine.sessions, []);
  });

  test('is asked for in frames: what is none, and more input than agreed, is refused', async (t) => {
    const ground = new ExecGround(t);
    const { engine } = await ground.agent('a');
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), execFrame('asked', '{"command":[]}')]) {
      const { socket } = await ground.find();
      socket.write(bytes);
      const answered = Buffer.concat(await socket.toArray()).toString();
      assert.match(answered, /"code":"usage"/);
    }
    assert.deepEqual(engine.sessions, []);
    const { socket } = await ground.find();
    socket.write(execFrame('asked', JSON.stringify({ command: ['wait'], input: true })));
    const stuck = async () => engine.sessions[0];
    const session = await until(stuck, SOON);
    session.input.write = () => false;
    for (let sent = 0; sent <= INPUT_WINDOW_BYTES; sent += 65_536)
      socket.write(execFrame('input', Buffer.alloc(65_536)));
    assert.match(Buffer.concat(await socket.toArray()).toString(), /"code":"too-large"/);
    await until(() => session.signals.length > 0, SOON);
  });
});

describe('which container', () => {
  test('the one that has served longest, on the first host; or as asked', async (t) => {
    const ground = new ExecGround(t);
    const [b, a] = [await ground.agent('b', 1), await ground.agent('a', 2)];
    const found = await ground.find();
    assert.deepEqual([found.host, a.ids.includes(found.container), found.of], ['a', true, 3]);
    const there = await ground.find({ host: 'b' });
    assert.deepEqual([there.host, there.container, there.of], ['b', b.ids[0], 1]);
    const named = await ground.find({ container: a.ids[1]?.slice(0, 12) ?? '' });
    assert.deepEqual([named.host, named.container], ['a', a.ids[1]]);
    for (const { socket } of [found, there, named]) socket.destroy();
  });

  test('one that serves before one that starts or drains, and these when there is no other', () => {
    const at = (state: 'serving' | 'starting' | 'draining' | 'failed', id: string) =>
      container(1, { state, id });
    const of = (...containers: ReturnType<typeof at>[]) =>
      choose({ component: 'web', live: ['a'], statuses: [status('a', { containers })] }, {}).container;
    assert.equal(of(at('draining', '1'), at('starting', '2'), at('serving', '3')), '3');
    assert.equal(of(at('draining', '1'), at('starting', '2')), '2');
    assert.equal(of(at('draining', '1'), at('failed', '2')), '1');
    assert.throws(() => of(at('failed', '2')), /web has no container that runs/);
  });

  test('none: says what there is', async (t) => {
    const ground = new ExecGround(t);
    await refused(ground.find(), 'no-hosts', /No live host runs web/);
    const { ids, engine } = await ground.agent('alpha');
    await refused(ground.find({ project: 'bakery' }), 'project-unknown', /bakery/);
    await refused(ground.find({ component: 'wbe' }), 'component-unknown', /did you mean "web"\?/);
    await refused(
      ground.find({ host: 'alpa' }),
      'usage',
      /no live host alpa; did you mean "alpha"\?\nIt runs on: alpha/,
    );
    await refused(ground.find({ container: 'fff' }), 'usage', /web has no container fff\nThere are: alpha\//);
    engine.die(ids[0] ?? '');
    await refused(ground.find(), 'container-gone', /no container \w+ of web runs on alpha/);
    ground.cluster.commit([], [{ kind: 'delete', key: KEYS.project('shop').peer('alpha') }]);
    await refused(ground.find(), 'output-gone', /the agent of alpha does not answer commands/);
  });

  test('an agent that is not there, or does not know who asks, is told', async (t) => {
    const ground = new ExecGround(t);
    const { api, ids } = await ground.agent('a');
    const peer = { host: 'a', address: '127.0.0.1', port: api.port, token: 'another one' };
    const place = { component: 'web', container: ids[0] ?? '', by: 'me@test' };
    const never = new AbortController().signal;
    await refused(dialExec(peer, place, never), 'output-gone', /the token is not the one of this agent/);
    await refused(
      dialExec({ ...peer, port: 1 }, place, never),
      'output-gone',
      /does not answer at 127.0.0.1:1/,
    );
  });
});

test('programs run commands over the public API: an admin may, and is noted by his token', async (t) => {
  const api = await apiGround(t);
  const ground = new ExecGround(t, api.around.store.cluster);
  const { ids } = await ground.agent('a');
  const [admin, deploy, other] = [
    await api.token('admin', ['shop']),
    await api.token('deploy'),
    await api.token('admin', ['bakery']),
  ];
  const path = '/v1/projects/shop/components/web/exec';
  const plain = await api.ask('GET', path, { token: admin });
  assert.deepEqual([plain.status, plain.headers.get('upgrade')], [400, EXEC_PROTOCOL]);
  assert.equal((await api.ask('GET', path, { token: deploy })).status, 403);
  assert.equal((await api.ask('GET', path, { token: other })).status, 403);
  assert.equal((await api.ask('GET', `${path}?host=b`, { token: admin })).body.code, 'usage');
  const told = new Told(await upgraded(api.url, path, admin), { command: ['cat'], input: true });
  const sent = randomBytes(INPUT_WINDOW_BYTES * 2);
  told.stdin.end(sent);
  assert.deepEqual(await told.ended, { exitCode: 0 });
  assert.ok(told.stdout.bytes.equals(sent));
  assert.deepEqual(
    ground.audit().map(({ by, detail }) => [by, detail]),
    [['token:t1', `a/${ids[0]?.slice(0, 12)}: cat`]],
  );
  const cut = new Told(await upgraded(api.url, path, admin), { command: ['wait'] });
  await until(() => cut.began !== undefined, SOON);
  await api.api.close();
  await refused(cut.ended, 'output-gone', /broke off/);
});

async function upgraded(url: string, path: string, token: string) {
  const { request } = await import('node:http');
  return new Promise<import('node:stream').Duplex>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: EXEC_PROTOCOL };
    const made = request(`${url}${path}`, { headers, agent: false }).once('error', reject).end();
    made.once('upgrade', (_, socket) => resolve(socket));
    made.once('response', ({ statusCode }) => reject(new Error(`answered ${statusCode}`)));
  });
}
