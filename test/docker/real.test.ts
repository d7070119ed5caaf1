/** What only a real engine can show: that each field of a spec has its effect, and how logs really look. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Component } from '../../src/config/project.ts';
import type { Engine, EngineEvent } from '../../src/docker/engine.ts';
import type { ContainerSpec, SpecInput } from '../../src/docker/spec.ts';
import { specOf } from './components.ts';
import { fails } from './contract.ts';
import { busyboxImage, removeImage, uniqueTag } from './images.ts';
import { api, ENGINE_ADDRESS, NO_ENGINE, openRealEngine, shell } from './real-ground.ts';
import { until } from './until.ts';

const FOREVER = shell('trap "exit 0" TERM; while :; do sleep 0.05; done');

describe('on a real engine', { skip: NO_ENGINE ?? false }, () => {
  const project = `r${randomBytes(4).toString('hex')}`;
  const tag = uniqueTag();
  let engine: Engine;
  let imageId: string;
  let count = 0;

  before(async () => {
    imageId = await busyboxImage(ENGINE_ADDRESS, tag);
    engine = openRealEngine();
  });
  afterEach(async () => {
    for (const container of await engine.containers({ project })) await engine.remove(container.id);
  });
  after(async () => {
    engine.close();
    await removeVolumes(project);
    await removeImage(ENGINE_ADDRESS, tag);
  });

  const spec = (component: Partial<Component>, input: Partial<SpecInput> = {}): ContainerSpec =>
    specOf(component, { project, imageId, suffix: String(++count).padStart(4, '0'), ...input });
  const run = async (component: Partial<Component>, input: Partial<SpecInput> = {}): Promise<string> => {
    const id = await engine.create(spec({ command: FOREVER, ...component }, input));
    await engine.start(id);
    return id;
  };
  /** What a command prints in a container of this component. */
  const inside = async (component: Partial<Component>, script: string, input: Partial<SpecInput> = {}) => {
    const { exitCode, output } = await engine.exec(await run(component, input), shell(script), 10_000);
    return `${output.trim()}${exitCode === 0 ? '' : ` (exit ${exitCode})`}`;
  };
  const ended = (id: string) =>
    until('it exits', async () => {
      const report = await engine.exit(id);
      return report?.exitCode === undefined ? undefined : report;
    });

  test('environment: link variables win over the own ones', async () => {
    const environment = [
      { name: 'DB_CLINK', value: 'own' },
      { name: 'MODE', value: 'a b=c' },
    ];
    const said = await inside({ environment }, 'echo $DB_CLINK; echo "$MODE"', {
      linkEnvironment: { DB_CLINK: 'link' },
    });
    assert.equal(said, 'link\na b=c');
  });

  test('hostname, extra hosts and user are applied', async () => {
    const component = { hostname: 'box-1', extraHosts: ['db.test:10.9.8.7'], user: '1234:99' };
    assert.equal(
      await inside(component, 'hostname; grep -c "10.9.8.7.*db.test" /etc/hosts; id -u; id -g'),
      'box-1\n1\n1234\n99',
    );
  });

  test('readOnly: the root file system cannot be written', async () => {
    assert.match(await inside({ readOnly: true }, 'touch /x'), /Read-only file system.*\(exit 1\)/s);
    assert.equal(await inside({}, 'touch /x'), '');
  });

  test('capDrop, capAdd and privileged decide what root may do', async () => {
    const effective = "grep CapEff /proc/self/status | awk '{print $2}'";
    assert.equal(await inside({ capDrop: ['ALL'] }, effective), '0000000000000000');
    assert.equal(await inside({ capDrop: ['ALL'], capAdd: ['NET_ADMIN'] }, effective), '0000000000001000');
    // Created only: not every machine that runs tests may start it.
    const id = await engine.create(spec({ privileged: true }));
    const { HostConfig } = await api.json<{ HostConfig: Record<string, unknown> }>(
      'GET',
      `/containers/${id}/json`,
    );
    assert.equal(HostConfig.Privileged, true);
  });

  test('ulimits, memory and cpus arrive', async () => {
    const component = {
      // Not nofile: the container runtime itself sometimes raises its soft limit for commands run inside.
      ulimits: [{ name: 'core', soft: 1024, hard: 2048 }],
      memoryBytes: 32 * 2 ** 20,
      cpus: 0.5,
    };
    const id = await run(component);
    const { output } = await engine.exec(id, shell('grep "core file" /proc/self/limits'), 10_000);
    assert.match(output, /\b1024 +2048 +bytes/);
    const { HostConfig } = await api.json<{ HostConfig: Record<string, unknown> }>(
      'GET',
      `/containers/${id}/json`,
    );
    assert.equal(HostConfig.Memory, 32 * 2 ** 20);
    assert.equal(HostConfig.NanoCpus, 5e8);
  });

  test('a program that takes too much memory is told of at once, and reported as killed for it', async () => {
    const told: EngineEvent[] = [];
    const stop = new AbortController();
    engine.watch((event) => told.push(event), stop.signal);
    await until('the watch stands', () => told[0]?.kind === 'reconnected');
    // The shell outlives it for a moment: the engine may miss the kill of a container's only process.
    const id = await run({
      memoryBytes: 8 * 2 ** 20,
      command: shell('sleep 0.2; dd if=/dev/zero of=/dev/null bs=64M count=1; code=$?; sleep 1; exit $code'),
    });
    await until('it is told', () => told.some((event) => event.kind === 'oom' && event.container === id));
    const report = await ended(id);
    assert.equal(report.exitCode, 137);
    assert.equal(report.oomKilled, true);
    stop.abort();
  });

  test("bindings: the container's name is filled in, and read-only ones are", async () => {
    const volume = `${project}-{container_id}`;
    const id = await run({
      bindings: [
        { external: volume, volume: '/data', readOnly: false },
        { external: `${project}-ro`, volume: '/ro', readOnly: true },
      ],
    });
    const name = (await engine.containers({ project }))[0]?.name;
    try {
      assert.equal((await engine.exec(id, shell('echo kept > /data/file; touch /ro/x'), 10_000)).exitCode, 1);
      await api.json('GET', `/volumes/${project}-${name}`);
    } finally {
      await engine.remove(id);
      for (const v of [`${project}-${name}`, `${project}-ro`]) await api.send('DELETE', `/volumes/${v}`);
    }
  });

  test('volumesFrom mounts what another container has, and its absence is told', async () => {
    const volume = `${project}-shared`;
    const store = await run({ bindings: [{ external: volume, volume: '/shared', readOnly: false }] });
    const name = (await engine.containers({ project }))[0]?.name ?? '';
    try {
      await engine.exec(store, shell('echo hello > /shared/file'), 10_000);
      assert.equal(await inside({ volumesFrom: [name] }, 'cat /shared/file'), 'hello');
      await fails(engine.create(spec({ volumesFrom: [`${project}-nobody`] })), 'engine-failed');
    } finally {
      for (const container of await engine.containers({ project })) await engine.remove(container.id);
      await api.send('DELETE', `/volumes/${volume}`);
    }
  });

  test('remove takes the anonymous volumes along and leaves the named ones', async () => {
    const wanted = spec({ bindings: [{ external: `${project}-named`, volume: '/named', readOnly: false }] });
    const id = await engine.create({ ...wanted, body: { ...wanted.body, Volumes: { '/anonymous': {} } } });
    const { Mounts } = await api.json<{ Mounts: { Name: string; Destination: string }[] }>(
      'GET',
      `/containers/${id}/json`,
    );
    const anonymous = Mounts.find((m) => m.Destination === '/anonymous')?.Name;
    await engine.remove(id);
    assert.equal((await api.send('GET', `/volumes/${anonymous}`)).status, 404);
    assert.equal((await api.send('DELETE', `/volumes/${project}-named`)).status, 204);
  });

  test('network: address and gateway are those of the named network', async () => {
    const network = `${project}-net`;
    const config = { Name: network, Driver: 'bridge', CheckDuplicate: true };
    const { Id } = await api.json<{ Id: string }>('POST', '/networks/create', config);
    try {
      const id = await run({ network });
      const gateway = (await engine.gateway(network)) ?? '';
      const address = (await engine.containers({ project }))[0]?.address ?? '';
      assert.equal(address.split('.').slice(0, 2).join('.'), gateway.split('.').slice(0, 2).join('.'));
      const { output } = await engine.exec(id, shell('hostname -i; ip route'), 10_000);
      assert.ok(output.includes(address) && output.includes(`via ${gateway}`), output);
      await engine.remove(id);
    } finally {
      await api.send('DELETE', `/networks/${Id}`);
    }
  });

  test('network: on the host network the address is the loopback, on none there is none', async () => {
    await run({ network: 'host', name: 'a' });
    await run({ network: 'none', name: 'b' });
    assert.equal((await engine.containers({ project, component: 'a' }))[0]?.address, '127.0.0.1');
    assert.equal((await engine.containers({ project, component: 'b' }))[0]?.address, undefined);
  });

  test('network: an unknown one fails the start with its name, not as a container that is gone', async () => {
    const id = await engine.create(spec({ network: `${project}-nowhere` })).catch((error) => error);
    if (typeof id === 'string') await fails(engine.start(id), 'engine-failed');
    await fails(engine.gateway(`${project}-nowhere`), 'engine-failed');
  });

  test('logs: what looks like JSON stays text, framed or from a terminal', async () => {
    const wanted = spec({ command: shell('echo \'{"a":1}\'') });
    const tty = { ...spec({}), body: { ...wanted.body, Tty: true } };
    for (const each of [wanted, tty]) {
      const id = await engine.create(each);
      await engine.start(id);
      await ended(id);
      assert.deepEqual(await engine.logs(id, 10), ['{"a":1}']);
    }
  });

  test('logs: a long line is cut, many lines are counted from the end, an unended one is kept', async () => {
    const script =
      'for i in $(seq 2000); do echo line $i; done; head -c 200000 /dev/zero | tr "\\0" x; echo; printf end';
    const id = await run({ command: shell(script) });
    await ended(id);
    const lines = await engine.logs(id, 500);
    assert.equal(lines.at(-1), 'end');
    assert.equal(lines.at(-2)?.length, 64 * 1024);
    assert.equal(lines.at(-3), 'line 2000');
  });

  test('logs: a driver that cannot read gives no lines', async () => {
    const id = await run({ command: shell('echo x'), logging: { driver: 'none', options: {} } });
    await ended(id);
    assert.deepEqual(await engine.logs(id, 10), []);
  });

  test('exec: output is cut at 64 KiB, and a missing program is an exit code, not an error', async () => {
    const id = await run({});
    const { exitCode, output } = await engine.exec(id, shell('yes | head -c 1000000; exit 5'), 20_000);
    assert.equal(exitCode, 5);
    assert.equal(output.length, 64 * 1024);
    const missing = await engine.exec(id, ['/no/such/program'], 10_000);
    assert.ok(missing.exitCode === 126 || missing.exitCode === 127, String(missing.exitCode));
    assert.match(missing.output, /no such file/i);
  });

  test('many stops at once do not hold up the short calls', async () => {
    const stubborn = shell('trap "" TERM; while :; do sleep 1; done');
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await run({ command: stubborn }));
    const stops = ids.flatMap((id) => Array.from({ length: 8 }, () => engine.stop(id, 2000)));
    const early = await Promise.race([
      engine.containers({ project }),
      Promise.all(stops).then(() => 'stopped'),
    ]);
    assert.notEqual(early, 'stopped');
    await Promise.all(stops);
    assert.ok((await engine.containers({ project })).every((c) => c.state === 'exited'));
  });

  test('two removals at once both succeed', async () => {
    const id = await run({});
    await Promise.all([engine.remove(id), engine.remove(id), engine.kill(id), engine.stop(id, 1000)]);
    assert.equal(await engine.exists(id), false);
  });
});

/** What a test that failed early has left. */
async function removeVolumes(prefix: string): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ name: [`^${prefix}-`] }));
  const { Volumes } = await api.json<{ Volumes: { Name: string }[] | null }>(
    'GET',
    `/volumes?filters=${filters}`,
  );
  const names = (Volumes ?? []).map((volume) => volume.Name).filter((name) => name.startsWith(`${prefix}-`));
  for (const name of names) await api.send('DELETE', `/volumes/${name}`);
}
