/** An engine that hangs, breaks off, lies or is of the wrong age: every call ends, with the right code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import util from 'node:util';
import { Connection } from '../../src/docker/connection.ts';
import { openExec } from '../../src/docker/container-exec.ts';
import { within } from '../../src/docker/deadline.ts';
import { loadDockerode, openEngine } from '../../src/docker/dockerode.ts';
import type { Engine, EngineEvent } from '../../src/docker/engine.ts';
import { pullImage } from '../../src/docker/pull.ts';
import { LABELS } from '../../src/docker/spec.ts';
import { isGantryError } from '../../src/errors.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { specOf } from './components.ts';
import { fails } from './contract.ts';
import { BREAK_OFF, type FakeDockerd, fakeDockerd, HANG, json, STALL } from './fake-dockerd.ts';
import { until } from './until.ts';

const ID = 'c'.repeat(64);
const LABELLED = {
  [LABELS.project]: 'p',
  [LABELS.component]: 'c',
  [LABELS.release]: '1',
  [LABELS.spec]: 'h',
  [LABELS.host]: 'x',
};
const RUNNING = {
  Id: ID,
  Config: { Labels: LABELLED, Tty: false },
  State: {
    Status: 'running',
    Running: true,
    Error: '',
    ExitCode: 0,
    OOMKilled: false,
    StartedAt: '',
    FinishedAt: '',
  },
};
const EXITED = { ...RUNNING, State: { ...RUNNING.State, Status: 'exited', Running: false } };
const INSPECT = `GET /containers/${ID}/json`;

const opened: { close(): void | Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function ground(version?: unknown): Promise<{ daemon: FakeDockerd; engine: Engine }> {
  const daemon = await fakeDockerd(version);
  const engine = openEngine({ address: daemon.address });
  opened.push(daemon, engine);
  return { daemon, engine };
}

test('calls that hang for long, as many as they are, keep no short call waiting', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set('POST /containers/create', HANG);
  daemon.answers.set(`POST /containers/${ID}/start`, HANG);
  daemon.answers.set('GET /containers/json', json([]));
  const hanging = Array.from({ length: 20 }, () => [engine.create(specOf()), engine.start(ID)]).flat();
  for (const each of hanging) each.catch(() => undefined);
  await until('all are asked', () => daemon.seen.filter((key) => key.startsWith('POST')).length === 40);
  assert.deepEqual(await engine.containers({}), []);
});

test('nobody answers: engine-unreachable says where it looked and what to do', async () => {
  const engine = openEngine({ address: 'unix:///nowhere/docker.sock' });
  opened.push(engine);
  await assert.rejects(engine.info(), (error) => {
    assert.ok(isGantryError(error, 'engine-unreachable'));
    assert.match(error.message, /unix:\/\/\/nowhere\/docker\.sock/);
    assert.match(error.hint ?? '', /--docker/);
    assert.equal(error.retryable, true);
    return true;
  });
});

test('DOCKER_HOST is looked at when no address is given, and not when one is', async () => {
  const { daemon, engine } = await ground();
  const before = process.env.DOCKER_HOST;
  try {
    process.env.DOCKER_HOST = daemon.address;
    const implicit = openEngine();
    opened.push(implicit);
    assert.equal((await implicit.info()).address, daemon.address);
    process.env.DOCKER_HOST = 'tcp://127.0.0.1:1';
    assert.equal((await engine.info()).address, daemon.address);
  } finally {
    if (before === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = before;
  }
});

test('an engine that came up after the first call is found by the next', async () => {
  const { daemon, engine } = await ground();
  const answer = daemon.answers.get('GET /version') ?? HANG;
  daemon.answers.set('GET /version', json({ message: 'starting' }, 503));
  await fails(engine.info(), 'engine-failed');
  daemon.answers.set('GET /version', answer);
  assert.equal((await engine.info()).apiVersion, '1.44');
});

for (const [title, version, spoken] of [
  ['as old as may be', { ApiVersion: '1.41', MinAPIVersion: '1.12' }, '1.41'],
  ['that dropped old versions', { ApiVersion: '1.52', MinAPIVersion: '1.44' }, '1.52'],
  ['newer than known, still speaking what is', { ApiVersion: '1.99', MinAPIVersion: '1.44' }, '1.52'],
  ['without a least version', { ApiVersion: '1.47' }, '1.47'],
] as const) {
  test(`API version: an engine ${title} is spoken to in ${spoken}`, async () => {
    const { daemon, engine } = await ground(version);
    daemon.answers.set('GET /containers/json', json([]));
    await engine.containers({});
    assert.equal((await engine.info()).apiVersion, spoken);
    assert.ok(daemon.urls.at(-1)?.startsWith(`/v${spoken}/containers/json?`), daemon.urls.at(-1));
  });
}

for (const [title, version, words] of [
  ['too old', { ApiVersion: '1.40', MinAPIVersion: '1.12' }, /too old.*1\.40.*1\.41/],
  ['too new', { ApiVersion: '1.70', MinAPIVersion: '1.60' }, /too new.*1\.60.*1\.52/],
  ['not one at all', { hello: 'world' }, /no Docker engine/],
] as const) {
  test(`API version: an engine ${title} is engine-unsupported`, async () => {
    const { engine } = await ground(version);
    await assert.rejects(engine.containers({}), (error) => {
      assert.ok(isGantryError(error, 'engine-unsupported'));
      assert.match(error.message, words);
      return true;
    });
  });
}

test('API version: an engine that was replaced by a newer one is asked again', async () => {
  const { daemon, engine } = await ground({ ApiVersion: '1.43' });
  const words = 'client version 1.43 is too old. Minimum supported API version is 1.44';
  daemon.answers.set('GET /containers/json', (request, response) =>
    (request.url?.startsWith('/v1.43/') ? json({ message: words }, 400) : json([]))(request, response),
  );
  daemon.answers.set('GET /version', (request, response) =>
    json({ ApiVersion: daemon.seen.length === 1 ? '1.43' : '1.45', MinAPIVersion: '1.24' })(
      request,
      response,
    ),
  );
  await fails(engine.containers({}), 'engine-failed');
  assert.deepEqual(await engine.containers({}), []);
  assert.equal((await engine.info()).apiVersion, '1.45');
});

test('a daemon that hangs ends in engine-timeout, and its connection is given up', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set(INSPECT, json(RUNNING));
  daemon.answers.set(`POST /containers/${ID}/exec`, HANG);
  await fails(engine.exec(ID, ['x'], 200), 'engine-timeout');
  await until('the connection is closed', () => daemon.open() <= 1);
});

test('a command that the engine does not begin ends in engine-timeout, and it is said that it may still come', async () => {
  const { daemon } = await ground();
  daemon.answers.set(`POST /containers/${ID}/exec`, json({ Id: 'e' }, 201));
  const head = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
  daemon.answers.set('POST /exec/e/start', (_, response) => void response.socket?.write(head));
  daemon.answers.set('GET /exec/e/json', json({ Running: false, ExitCode: null, Pid: 0 }));
  const connection = new Connection(daemon.address, loadDockerode);
  opened.push(connection);
  const asked = openExec(connection, ID, { command: ['x'], input: false }, 100);
  await assert.rejects(asked, {
    ...{ code: 'engine-timeout', message: /has not begun a command in c+ after 0.1 s/, hint: /still begin/ },
  });
});

test('an answer that stalls half-way ends in engine-timeout', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set(`POST /containers/${ID}/exec`, STALL);
  await fails(engine.exec(ID, ['x'], 200), 'engine-timeout');
});

test('a call that never settles ends all the same', async () => {
  const limit = { what: 'answer', timeoutMs: 50, address: 'nowhere' };
  await fails(
    within(limit, () => new Promise(() => {})),
    'engine-timeout',
  );
});

test('a daemon that dies after the headers: calls settle', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set('GET /containers/json', BREAK_OFF);
  daemon.answers.set(INSPECT, BREAK_OFF);
  await fails(engine.containers({}), 'engine-unreachable');
  await fails(engine.exit(ID), 'engine-unreachable');
});

test('stop ends when the container is seen to have exited, though the call itself hangs', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set(INSPECT, json(RUNNING));
  daemon.answers.set(`POST /containers/${ID}/stop`, () => daemon.answers.set(INSPECT, json(EXITED)));
  await engine.stop(ID, 60_000);
  assert.match(daemon.urls.find((url) => url.includes('/stop')) ?? '', /\?t=60$/);
});

test('stop asks in whole seconds, rounded up', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set(INSPECT, json(RUNNING));
  daemon.answers.set(`POST /containers/${ID}/stop`, json({}, 304));
  await engine.stop(ID, 1001);
  assert.match(daemon.urls.at(-1) ?? '', /\/stop\?t=2$/);
});

test('what is done already is success: 304, 404 and a removal in progress', async () => {
  const { daemon, engine } = await ground();
  const progress = json({ message: `removal of container ${ID} is already in progress` }, 409);
  daemon.answers.set(INSPECT, json(RUNNING));
  daemon.answers.set(`POST /containers/${ID}/start`, json({}, 304));
  daemon.answers.set(`POST /containers/${ID}/kill`, json({ message: `Container ${ID} is not running` }, 409));
  daemon.answers.set(`DELETE /containers/${ID}`, progress);
  await engine.start(ID);
  await engine.kill(ID);
  await engine.remove(ID);
  daemon.answers.set(`DELETE /containers/${ID}`, json({ message: `No such container: ${ID}` }, 404));
  await engine.remove(ID);
});

test('a refusal carries the engine’s words; only the engine’s own trouble is worth another try', async () => {
  const { daemon, engine } = await ground();
  const answers: [number, string, boolean][] = [
    [400, 'invalid volume specification', false],
    [500, 'no space left on device', true],
    [500, 'OCI runtime create failed: no', false],
  ];
  for (const [status, words, retryable] of answers) {
    daemon.answers.set('POST /containers/create', json({ message: words }, status));
    await assert.rejects(engine.create(specOf()), (error) => {
      assert.ok(isGantryError(error, 'engine-failed'));
      assert.ok(error.message.endsWith(words), error.message);
      assert.equal(error.retryable, retryable);
      return true;
    });
  }
});

test('labels that are not whole do not make a container ours', async () => {
  const { daemon, engine } = await ground();
  const listed = {
    Id: ID,
    Names: ['/x'],
    Image: 'i',
    ImageID: 'sha256:i',
    State: 'running',
    Status: 'Up',
    Created: 1,
  };
  const { [LABELS.spec]: _, ...partial } = LABELLED;
  daemon.answers.set('GET /containers/json', json([{ ...listed, Labels: partial }]));
  assert.deepEqual(await engine.containers({}), []);
  daemon.answers.set(INSPECT, json({ ...RUNNING, Config: { Labels: partial } }));
  await fails(engine.remove(ID), 'engine-failed');
  assert.ok(!daemon.seen.includes(`DELETE /containers/${ID}`));
});

for (const [words, code] of [
  ['manifest for x:1 not found: manifest unknown: manifest unknown', 'image-not-found'],
  ['pull access denied for x, repository does not exist or may require login', 'pull-refused'],
  ['unauthorized: authentication required', 'pull-refused'],
  ['dial tcp: lookup registry: no such host', 'pull-refused'],
  ['write /data: no space left on device', 'engine-failed'],
] as const) {
  test(`pull: "${words.slice(0, 40)}" is ${code}, as status or within a 200`, async () => {
    const { daemon, engine } = await ground();
    daemon.answers.set('POST /images/create', (_request, response) => {
      response.write('{"status":"Pulling from x","id":"1"}\r\n');
      response.end(`{"errorDetail":{"message":"x"},"error":${JSON.stringify(words)}}\r\n`);
    });
    await fails(engine.pull('registry.test/x:1'), code);
    daemon.answers.set('POST /images/create', json({ message: words }, 404));
    await assert.rejects(engine.pull('registry.test/x:1'), (error) => {
      assert.ok(isGantryError(error, code));
      assert.ok(error.message.includes(words) && error.hint, error.message);
      return true;
    });
  });
}

test('pull: always asks for one tag or digest, and tells the progress', async () => {
  const { daemon, engine } = await ground();
  const digest = `sha256:${'d'.repeat(64)}`;
  const lines = [
    { status: 'Pulling from x', id: 'latest' },
    { status: 'Pulling fs layer', id: 'a' },
    { status: 'Already exists', id: 'b' },
    { status: 'Downloading', id: 'a', progressDetail: { current: 10, total: 40 } },
    { status: 'Pull complete', id: 'a' },
  ].map((line) => `${JSON.stringify(line)}\r\n`);
  daemon.answers.set('POST /images/create', (_request, response) => {
    response.end(`not json\n${lines.join('')}`);
  });
  for (const ref of ['registry.test:5000/x', `registry.test:5000/x@${digest}`]) {
    daemon.answers.set(
      `GET /images/${ref}/json`,
      json({ Id: 'sha256:1', RepoTags: null, RepoDigests: [ref] }),
    );
  }
  const told: unknown[] = [];
  const image = await engine.pull('registry.test:5000/x', { onProgress: (p) => told.push(p) });
  assert.deepEqual(image, { id: 'sha256:1', tags: [], digests: ['registry.test:5000/x'] });
  assert.deepEqual(told.at(-2), { layers: 2, done: 1, bytes: 10, totalBytes: 40 });
  assert.deepEqual(told.at(-1), { layers: 2, done: 2, bytes: 40, totalBytes: 40 });
  await engine.pull(`registry.test:5000/x@${digest}`);
  const asked = daemon.urls
    .filter((url) => url.includes('/images/create'))
    .map((url) => new URL(url, 'http://x'));
  assert.deepEqual(
    asked.map((url) => url.searchParams.get('tag')),
    ['latest', digest],
  );
  assert.deepEqual(
    asked.map((url) => url.searchParams.get('fromImage')),
    Array(2).fill('registry.test:5000/x'),
  );
});

test('pull: an abort ends it and closes the connection; a daemon that dies is unreachable', async () => {
  const { daemon, engine } = await ground();
  const stop = new AbortController();
  daemon.answers.set('POST /images/create', (_request, response) => {
    response.write('{"status":"Pulling fs layer","id":"a"}\n');
  });
  await fails(
    engine.pull('registry.test/x:1', { signal: stop.signal, onProgress: () => stop.abort() }),
    'interrupted',
  );
  await until('the connection is closed', () => daemon.open() <= 1);
  await fails(engine.pull('registry.test/x:1', { onProgress: () => daemon.cut() }), 'engine-unreachable');
});

test('pull: an engine that falls silent is engine-timeout', async () => {
  const { daemon } = await ground();
  const connection = new Connection(daemon.address, loadDockerode);
  opened.push(connection);
  daemon.answers.set('POST /images/create', (_request, response) => {
    response.write('{"status":"Pulling fs layer","id":"a"}\n');
  });
  await fails(pullImage(connection, 'registry.test/x:1', {}, 200), 'engine-timeout');
  await until('the connection is closed', () => daemon.open() <= 1);
});

test('what dockerode drags along for builds and SSH is not loaded', async () => {
  const { engine } = await ground();
  await engine.info();
  const loaded = Object.keys(createRequire(import.meta.url).cache);
  const made = join(PACKAGE_ROOT, 'dist', 'packages', 'dockerode.cjs');
  assert.ok(!loaded.some((path) => path.includes('node_modules/dockerode')), 'loaded whole');
  const parts = [...readFileSync(made, 'utf8').matchAll(/^\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)/gm)];
  const packages = new Set(parts.map(([, name]) => name));
  assert.ok(packages.has('docker-modem'));
  for (const name of ['ssh2', '@grpc/grpc-js', 'protobufjs', 'tar-fs', '@balena/dockerignore'])
    assert.ok(!packages.has(name), name);
  assert.ok(!loaded.some((path) => /ssh2|grpc|protobuf/.test(path)));
});

test('watch: a daemon that dies and comes back is told as reconnected; events between chunks are whole', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set('GET /events', (_request, response) => {
    response.write('{"Action":"start","Actor":{"ID":"o');
    setTimeout(
      () =>
        response.write('ne"}}\n{"Action":"exec_create"}\n{"Action":"health_status: healthy","id":"two"}\n'),
      20,
    );
  });
  const events: EngineEvent[] = [];
  const stop = new AbortController();
  engine.watch((event) => events.push(event), stop.signal);
  const expected = [
    { kind: 'reconnected' },
    { kind: 'start', container: 'one' },
    { kind: 'health', container: 'two' },
  ];
  await until('the first events', () => events.length === 3);
  daemon.cut();
  await until('the second events', () => events.length === 6);
  assert.deepEqual(events, [...expected, ...expected]);
  stop.abort();
  await until('its connection is closed', () => daemon.open() <= 1);
  const filters = new URL(daemon.urls.find((url) => url.includes('/events')) ?? '', 'http://x').searchParams;
  assert.deepEqual(JSON.parse(filters.get('filters') ?? ''), {
    type: ['container'],
    label: [LABELS.project],
  });
});

test('watch: an engine that is away at first is found later, and close ends it', async () => {
  const { daemon, engine } = await ground();
  daemon.answers.set('GET /events', json({ message: 'not yet' }, 503));
  const events: EngineEvent[] = [];
  engine.watch((event) => events.push(event), new AbortController().signal);
  await until('it was asked twice', () => daemon.seen.filter((s) => s === 'GET /events').length > 1);
  daemon.answers.set('GET /events', (_request, response) => response.flushHeaders());
  await until('the watch stands', () => events.length > 0);
  engine.close();
  await until('all connections are closed', () => daemon.open() === 0);
});

test('after close every call fails at once', async () => {
  const { engine } = await ground();
  await engine.info();
  engine.close();
  await fails(engine.containers({}), 'engine-failed');
});

test('what dockerode renders of a call for its log stays short while many wait', async (t) => {
  const { daemon, engine } = await ground();
  daemon.answers.set('GET /containers/json', json([]));
  const rendered: number[] = [];
  const { inspect } = util;
  t.mock.method(util, 'inspect', (...args: Parameters<typeof inspect>) => {
    const text = inspect(...args);
    rendered.push(text.length);
    return text;
  });
  await Promise.all(Array.from({ length: 40 }, () => engine.containers({})));
  assert.ok(rendered.length >= 40, 'it renders what it sends');
  assert.ok(Math.max(...rendered) < 2_000, `${Math.max(...rendered)} characters`);
});
