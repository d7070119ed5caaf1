/** Hosts made on one machine must be hosts: reach each other, lose packets and power as told, leave nothing. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { busyboxImage, removeImage } from '../docker/images.ts';
import { dockerCall } from './docker.ts';
import { tempFolder, until } from './harness.ts';
import { type Fleet, type Host, type Place, skipWithoutHosts, startHosts } from './hosts.ts';
import { type Running, run, start } from './processes.ts';
import { registry, skipWithoutRegistry } from './registry.ts';

const WAIT_MS = 20_000;
/** What is lost is not there after this. What is awaited has longer, on a machine that is busy. */
const SILENCE_MS = 1_000;
const IMAGE = 'hosts-test:v1';
/** Nobody else sleeps as long. */
const SECONDS = `${1_000_000 + process.pid}`;
const CGROUPS = '/sys/fs/cgroup';

/** Says its host's name to everyone who connects, and then every line it gets. */
const SERVER = `
  const { createServer } = require('node:net');
  for (const port of process.argv.slice(1))
    createServer((socket) => socket.on('error', () => {}).pipe(socket).write(require('node:os').hostname() + '\\n'))
      .listen(Number(port), () => console.log('listens on', port));`;
/**
 * Prints what the server at ADDRESS PORT says first, or why it says nothing within MS. A host that was looked for in vain
 * counts as unreachable for a while after it is back: whoever asks goes on asking.
 */
const CLIENT = `
  const [host, port, ms] = process.argv.slice(1);
  const end = (text) => { console.log(String(text).trim()); process.exit(); };
  const failed = ({ code }) => (code === 'EHOSTUNREACH' ? setTimeout(ask, 50) : end(code));
  const ask = () => require('node:net').connect({ host, port }).once('data', end).once('error', failed);
  setTimeout(end, Number(ms), 'nothing');
  ask();`;

describe('hosts on one machine', { skip: skipWithoutHosts }, () => {
  let fleet: Fleet;
  const fleetEnds: (() => Promise<void> | void)[] = [];

  before(async () => {
    fleet = await startHosts(
      { after: (end) => fleetEnds.push(end) },
      { hosts: ['a', 'b', 'c'], places: ['etcd', 'registry'] },
    );
  });
  after(async () => {
    for (const end of fleetEnds) await end();
  });

  test('a server on one is reached by the others and by the test', async (t) => {
    t.after(() => fleet.clear());
    const { a, b, etcd } = machines();
    await serve(a, 7000);
    await serve(etcd, 2379);
    const seen = [asks(b, a, 7000), asks(etcd, a, 7000), asks(b, etcd, 2379), asks(here(t), a, 7000)];
    assert.deepEqual(await Promise.all(seen), ['a', 'a', 'etcd', 'a']);
    const { stdout } = await b.run('sh', ['-c', 'hostname; echo $DOCKER_HOST']);
    assert.equal(stdout, `b\n${b.docker}\n`);
  });

  test('a cut loses the packets of one service or one machine, and no others', async (t) => {
    t.after(() => fleet.clear());
    const { a, b, c, etcd } = machines();
    for (const machine of [a, b, c]) await serve(machine, 7000);
    await serve(etcd, 2379, 2380);

    await a.cutOff({ address: etcd.address, port: 2379 });
    const service = [lost(a, etcd, 2379), asks(a, etcd, 2380), asks(b, etcd, 2379), asks(a, b, 7000)];
    assert.deepEqual(await Promise.all(service), ['nothing', 'etcd', 'etcd', 'b']);

    await a.cutOff(b);
    const machine = [lost(a, b, 7000), lost(b, a, 7000), asks(a, c, 7000), asks(here(t), a, 7000)];
    assert.deepEqual(await Promise.all(machine), ['nothing', 'nothing', 'c', 'a']);

    await a.heal();
    const healed = [asks(a, etcd, 2379), asks(a, b, 7000), asks(b, a, 7000)];
    assert.deepEqual(await Promise.all(healed), ['etcd', 'b', 'a']);
  });

  test('a connection lives through a short cut', async (t) => {
    t.after(() => fleet.clear());
    const { a, etcd } = machines();
    await serve(etcd, 2379);
    const talk = `const socket = require('node:net').connect(2379, '${etcd.address}').setEncoding('utf8');
      socket.on('data', (text) => console.log('heard', text)).on('close', () => console.log('closed'));
      process.on('SIGUSR2', () => socket.write('still here'));
      socket.once('data', () => console.log('connected'));`;
    const client = a.spawn(process.execPath, ['-e', talk]);
    await client.says('connected', WAIT_MS);
    await a.cutOff({ address: etcd.address, port: 2379 });
    client.signal('SIGUSR2');
    assert.equal(await lost(a, etcd, 2379), 'nothing');
    assert.doesNotMatch(client.stdout, /still here|closed/);
    await a.heal();
    await client.says('heard still here', WAIT_MS);
  });

  test('an isolated host sees nobody, also after another start, until it is healed', async (t) => {
    t.after(() => fleet.clear());
    const { a, b, c } = machines();
    await serve(b, 7000);
    await serve(c, 7000);
    await serve(a, 7000);
    const seen = (ask = asks) => Promise.all([ask(a, b, 7000), ask(b, a, 7000), ask(here(t), a, 7000)]);
    await a.isolate();
    assert.deepEqual(await seen(lost), ['nothing', 'nothing', 'nothing']);
    await a.kill();
    await a.start();
    await serve(a, 7000);
    assert.deepEqual(await seen(lost), ['nothing', 'nothing', 'nothing']);
    assert.deepEqual(await Promise.all([asks(a, a, 7000), asks(b, c, 7000)]), ['a', 'c']);
    await a.heal();
    assert.deepEqual(await seen(), ['b', 'a', 'a']);
  });

  test('a host whose power goes is gone at once, and comes back with its disk', async (t) => {
    t.after(() => fleet.clear());
    const { a, b } = machines();
    const [id] = await fleet.images([{ tag: IMAGE, env: { VERSION: 'v1' } }]);
    for (const { docker } of fleet.hosts)
      assert.equal((await engine(docker, 'GET', `/images/${IMAGE}/json`)).Id, id);
    const box = await runContainer(a, { Image: IMAGE, HostConfig: { NetworkMode: 'host' } });
    const command = await serve(a, 7000);
    await until(async () => (await fetch(`http://${a.address}:8080/health`)).ok, {
      timeoutMs: WAIT_MS,
      what: 'the application on its host',
    });

    await a.cutOff(b);
    await a.kill();
    assert.equal((await command.ended).signal, 'SIGKILL');
    await assert.rejects(engine(a.docker, 'GET', '/_ping'), /ECONN|EPIPE|hang up/); // some on a kept connection
    assert.equal(await lost(b, a, 8080), 'nothing');
    assert.deepEqual([a.up, (await a.run('true', [])).code], [false, 1]);

    await a.start();
    assert.deepEqual(
      (await a.containers()).map((container) => [container.id, container.state]),
      [[box, 'exited']],
    );
    await engine(a.docker, 'POST', `/containers/${box}/start`);
    await until(async () => (await fetch(`http://${a.address}:8080/health`)).ok, {
      timeoutMs: WAIT_MS,
      what: 'the application on its host again',
    });
    assert.equal(await lost(a, b, 22), 'nothing', 'the cut is the network’s');
  });

  test('a host pulls from a registry on a place', { skip: skipWithoutRegistry }, async (t) => {
    t.after(() => fleet.clear());
    const { a, b } = machines();
    const { address, prefix } = fleet.place('registry');
    const images = await registry(t, undefined, { address, prefix, docker: a.docker });
    const id = await images.publish(t, 'pulled', 'v1');
    const name = `${images.address}/pulled:v1`;
    t.after(() => removeImage(b.docker, name));
    await engine(b.docker, 'GET', `/images/${name}/json`, undefined, [404]);
    assert.equal((await b.run('docker', ['pull', '--quiet', name])).code, 0);
    assert.equal((await engine(b.docker, 'GET', `/images/${name}/json`)).Id, id);
  });

  test('gantryd serves on a host, and clearing leaves nothing of it', async (t) => {
    t.after(() => fleet.clear());
    const { a, b, etcd } = machines();
    await fleet.images([{ tag: IMAGE, env: { VERSION: 'v1' } }], ['a']);
    const file = join(await tempFolder(t), 'project.json');
    await writeFile(file, JSON.stringify(PROJECT));
    const [program = '', ...words] = [...etcd.prefix, process.execPath, '-e', SERVER, '2379'];
    const staying = start(t, program, words);
    await staying.says('listens', WAIT_MS);
    const agent = a.agent(['local', 'start', file, 'web', '-m']);
    const served = async () => (await fetch(`http://${a.address}:7080/version`)).text();
    assert.equal(await until(served, { timeoutMs: WAIT_MS, what: 'version 1' }), 'v1\n', agent.stderr);
    assert.equal((await a.containers()).length, 1);
    assert.equal((await a.gantryd(['proxy', 'status'])).code, 0);

    await fleet.clear();
    assert.equal((await agent.ended).signal, 'SIGKILL');
    assert.deepEqual([await a.containers(), readdirSync(a.stateDir)], [[], []]);
    assert.deepEqual([await asks(b, a, 7080), await asks(b, etcd, 2379)], ['ECONNREFUSED', 'etcd']);
  });

  function machines() {
    const host = (name: string) => fleet.host(name);
    return { a: host('a'), b: host('b'), c: host('c'), etcd: fleet.place('etcd') };
  }
});

test('a fleet leaves nothing, and another one beside it has a network of its own', {
  skip: skipWithoutHosts,
}, async (t) => {
  const ends: (() => Promise<void> | void)[] = [];
  const options = { hosts: [], places: ['one'] };
  const fleet = await startHosts({ after: (end) => ends.push(end) }, options);
  const other = await startHosts(t, options);
  assert.notEqual(fleet.subnet, other.subnet);
  const folder = dirname(fleet.place('one').folder);
  await serve(fleet.place('one'), 7000);
  assert.equal(await asks(other.place('one'), fleet.place('one'), 7000), 'ENETUNREACH');
  for (const end of ends) await end();
  assert.deepEqual(tracesOf(folder, fleet.address), []);
});

test('what a killed run left of its fleet is removed by the next', { skip: skipWithoutHosts }, async (t) => {
  const env = { ...process.env, TMPDIR: await tempFolder(t) };
  const script = (text: string) => ['--input-type=module', '-e', text];
  const opening = `const { openFleet } = await import('${moduleAt('hosts.mjs')}');
    const { folder, address, machines } = await openFleet({ hosts: ['a'], places: ['etcd'] });
    console.log(JSON.stringify({ folder, address, docker: machines[0].docker }), 'open');
    setInterval(() => {}, 1000);`;
  const killed = start(t, process.execPath, script(opening), { env });
  await killed.says('open\n', WAIT_MS);
  const { folder, address, docker } = JSON.parse(killed.stdout.replace(/open\s*$/, '')) as Opened;
  await busyboxImage(docker, IMAGE);
  const { Id } = await engine(docker, 'POST', '/containers/create', {
    Image: IMAGE,
    Cmd: ['sleep', SECONDS],
  });
  await engine(docker, 'POST', `/containers/${Id}/start`);
  killed.signal('SIGKILL');
  await killed.ended;
  const before = tracesOf(folder, address);
  for (const trace of ['folder', 'interface', 'control group', 'process dockerd', `process sleep ${SECONDS}`])
    assert.ok(
      before.some((seen) => seen.startsWith(trace)),
      `${trace} in ${before}`,
    );

  const removing = `console.log(await (await import('${moduleAt('leftovers.mjs')}')).removeLeftovers())`;
  const removed = await run(t, process.execPath, script(removing), { env });
  assert.equal(removed.stdout.trim(), '1', removed.stderr);
  // The kernel takes a namespace's interfaces away a little after its last process.
  await until(() => tracesOf(folder, address).length === 0, { timeoutMs: WAIT_MS, what: 'no trace' }).catch(
    (error) => assert.fail(`${error.message}: ${tracesOf(folder, address)}`),
  );
});

const PROJECT = {
  project: 'hosts',
  components: [
    {
      name: 'web',
      repo: 'hosts-test',
      tag: 'v1',
      ports: [{ external: 7080, container: 8080, kind: 'http' }],
      readyChecks: [{ kind: 'http', path: '/health' }],
    },
  ],
};

interface Opened {
  readonly folder: string;
  readonly address: string;
  readonly docker: string;
}

/** What there is of a fleet on this machine. */
function tracesOf(folder: string, address: string): string[] {
  const name = basename(folder);
  const interfaces = Object.entries(networkInterfaces());
  const groups = ['', ...readdirSync(CGROUPS)].map((hierarchy) => join(CGROUPS, hierarchy, name));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [
    ...[folder].filter(existsSync).map(() => `folder ${folder}`),
    ...interfaces.filter(([, at]) => at?.some((a) => a.address === address)).map(([it]) => `interface ${it}`),
    ...groups.filter(existsSync).map((group) => `control group ${group}`),
    ...mounts.filter((line) => line.includes(name)).map((line) => `mount ${line}`),
    ...processesWith(name).map((command) => `process ${command}`),
  ];
}

/** Those that name the ground, and the container's. */
function processesWith(ground: string): string[] {
  const all = readdirSync('/proc').filter((file) => /^\d+$/.test(file));
  return all
    .filter((pid) => pid !== `${process.pid}`)
    .map((pid) => ({ command: procFile(pid, 'cmdline'), env: procFile(pid, 'environ') }))
    .filter(({ command, env }) => env.includes(ground) || command === `sleep ${SECONDS}`)
    .map(({ command }) => command);
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // ended meanwhile
  }
}

function moduleAt(name: string): string {
  return pathToFileURL(join(PACKAGE_ROOT, 'test', 'ground', name)).href;
}

async function serve(place: Place, ...ports: number[]): Promise<Running> {
  const server = place.spawn(process.execPath, ['-e', SERVER, ...ports.map(String)]);
  for (const port of ports) await server.says(`listens on ${port}`, WAIT_MS);
  return server;
}

type Asking = Pick<Place, 'run'>;

function here(t: Parameters<typeof run>[0]): Asking {
  return { run: (file, args, options) => run(t, file, args, options) };
}

type Asked = Pick<Place, 'address'>;

async function asks(from: Asking, to: Asked, port: number, timeoutMs = WAIT_MS): Promise<string> {
  const asked = await from.run(process.execPath, ['-e', CLIENT, to.address, `${port}`, `${timeoutMs}`]);
  return asked.stdout.trim() || asked.stderr;
}

function lost(from: Asking, to: Asked, port: number): Promise<string> {
  return asks(from, to, port, SILENCE_MS);
}

async function runContainer(host: Host, spec: unknown): Promise<string> {
  const { Id } = await engine(host.docker, 'POST', '/containers/create', spec);
  await engine(host.docker, 'POST', `/containers/${Id}/start`);
  return Id;
}

async function engine(
  docker: string,
  method: string,
  path: string,
  body?: unknown,
  accepted?: readonly number[],
): Promise<{ Id: string }> {
  return (await dockerCall(method, path, body, accepted, docker)) as { Id: string };
}
