/**
 * What every Engine promises, as tests that the fake and the real engine pass alike.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Component } from '../../src/config/project.ts';
import type { Piece } from '../../src/docker/demux.ts';
import type { Container, ContainerHealth, Engine, EngineEvent } from '../../src/docker/engine.ts';
import type { ExecSession } from '../../src/docker/exec-session.ts';
import type { ContainerSpec, SpecInput } from '../../src/docker/spec.ts';
import { codeOf, type ErrorCode, isGantryError } from '../../src/errors.ts';
import { specOf } from './components.ts';
import { until } from './until.ts';

/** What differs between a fake and a real world. */
export interface Ground {
  /** undefined: the suite runs. Else the reason why it does not. */
  readonly skip?: string;
  setUp(): Promise<void>;
  tearDown(): Promise<void>;
  open(): Engine;
  /** An image that the engine has, by tag; and one that nobody has. */
  readonly image: string;
  readonly absentImage: string;
  readonly commands: {
    /** Runs until SIGTERM, then prints `got TERM` and exits with 3. */
    readonly polite: readonly string[];
    /** Ignores SIGTERM. */
    readonly stubborn: readonly string[];
    /** Prints `line 1` … `line 5`, odd ones to stdout, even ones to stderr, and exits with 7. */
    readonly talks: readonly string[];
    /** Names a program that the image lacks. */
    readonly missing: readonly string[];
    /** For exec: prints `out` and `err`, exits with 4. */
    readonly inside: readonly string[];
    /** For exec: exits with 0. */
    readonly well: readonly string[];
    /** For exec: does not end. */
    readonly hangs: readonly string[];
    /** For exec: prints what it reads. */
    readonly echoes: readonly string[];
  };
  /** A running container from the same image, made by somebody else. */
  addForeign(name: string): Promise<string>;
  removeForeign(id: string): Promise<void>;
  foreignRuns(id: string): Promise<boolean>;
}

export function engineContract(name: string, ground: Ground): void {
  describe(`${name} keeps the engine contract`, { skip: ground.skip ?? false }, () => {
    const project = `t${randomBytes(4).toString('hex')}`;
    let engine: Engine;
    let imageId: string;
    let count = 0;

    const spec = (component: Partial<Component> = {}, input: Partial<SpecInput> = {}): ContainerSpec => {
      const suffix = String(++count).padStart(4, '0');
      return specOf(component, { project, imageId, suffix, host: 'h1', ...input });
    };
    const started = async (component: Partial<Component>): Promise<string> => {
      const id = await engine.create(spec(component));
      await engine.start(id);
      return id;
    };
    const find = async (id: string): Promise<Container | undefined> =>
      (await engine.containers({ project })).find((c) => c.id === id);
    const exited = (id: string) =>
      until('the container exits', async () => (await find(id))?.state === 'exited' && engine.exit(id));
    const logged = (id: string, line: string) =>
      until(`it prints ${line}`, async () => (await engine.logs(id, 10)).includes(line));

    before(() => ground.setUp());
    beforeEach(async () => {
      engine = ground.open();
      const image = await engine.image(ground.image);
      imageId = image?.id ?? assert.fail('the ground has no image');
    });
    afterEach(async () => {
      for (const container of await engine.containers({ project })) await engine.remove(container.id);
      engine.close();
    });
    after(() => ground.tearDown());

    test('info tells an API version', async () => {
      assert.match((await engine.info()).apiVersion, /^1\.\d+$/);
    });

    test('room: the disk under its data', async () => {
      const room = await engine.room();
      assert.match(room?.path ?? '', /^\//);
      assert.ok((room?.freeBytes ?? 0) > 0, JSON.stringify(room));
    });

    test('image: present by tag and by id, absent is undefined', async () => {
      const image = await engine.image(ground.image);
      assert.deepEqual(image?.tags, [ground.image]);
      assert.deepEqual(await engine.image(imageId), image);
      assert.equal(await engine.image(ground.absentImage), undefined);
    });

    test('pull: an id cannot be pulled, and an aborted pull is interrupted', async () => {
      await fails(engine.pull(`sha256:${'0'.repeat(64)}`), 'image-not-found');
      await fails(engine.pull(ground.absentImage, { signal: AbortSignal.abort() }), 'interrupted');
    });

    test('create makes, start runs; the container is found with all that its labels say', async () => {
      const wanted = spec({ command: ground.commands.polite });
      const id = await engine.create(wanted);
      const created = await find(id);
      assert.equal(created?.state, 'created');
      assert.equal(created?.address, undefined);
      await engine.start(id);
      const container = (await find(id)) ?? assert.fail('not listed');
      assert.equal(container.name, wanted.name);
      assert.equal(container.project, project);
      assert.equal(container.component, 'web');
      assert.equal(container.release, 7);
      assert.equal(container.specHash, wanted.hash);
      assert.equal(container.host, 'h1');
      assert.equal(container.imageId, imageId);
      assert.equal(container.state, 'running');
      assert.match(container.status, /^Up /);
      assert.match(container.address ?? '', /^\d+\.\d+\.\d+\.\d+$/);
      assert.ok(Math.abs(container.createdAt - Date.now()) < 60_000, String(container.createdAt));
    });

    test('containers: project, component and host narrow the list', async () => {
      const one = await engine.create(spec({ name: 'web' }));
      const two = await engine.create(spec({ name: 'api' }, { host: 'h2' }));
      const ids = async (filter: Parameters<Engine['containers']>[0]) =>
        (await engine.containers(filter)).map((c) => c.id).sort();
      assert.deepEqual(await ids({ project }), [one, two].sort());
      assert.deepEqual(await ids({ project, component: 'api' }), [two]);
      assert.deepEqual(await ids({ project, host: 'h1' }), [one]);
      assert.deepEqual(await ids({ project, component: 'web', host: 'h2' }), []);
      assert.deepEqual(await ids({ project: `${project}x` }), []);
      assert.ok((await ids({})).includes(one));
    });

    test('a foreign container is seen to exist, but never listed, stopped, killed or removed', async () => {
      const name = `${project}-web-r7-foreign`;
      const foreign = await ground.addForeign(name);
      try {
        assert.ok(await engine.exists(name));
        assert.ok(await engine.exists(foreign));
        assert.ok(!(await engine.containers({})).some((c) => c.id === foreign));
        await fails(engine.remove(foreign), 'engine-failed');
        await fails(engine.stop(foreign, 0), 'engine-failed');
        await fails(engine.kill(name), 'engine-failed');
        assert.ok(await ground.foreignRuns(foreign));
      } finally {
        await ground.removeForeign(foreign);
      }
      assert.equal(await engine.exists(name), false);
    });

    test('create: a name in use is name-taken, an absent image image-not-found', async () => {
      const wanted = spec();
      await engine.create(wanted);
      await fails(engine.create(wanted), 'name-taken');
      await fails(engine.create(spec({}, { imageId: ground.absentImage })), 'image-not-found');
    });

    test('start: running already is success, gone is container-gone', async () => {
      const id = await started({ command: ground.commands.polite });
      await engine.start(id);
      await engine.remove(id);
      await fails(engine.start(id), 'container-gone');
    });

    test('start: a program that is missing fails, and the exit report has the words', async () => {
      const id = await engine.create(spec({ command: ground.commands.missing }));
      await fails(engine.start(id), 'engine-failed');
      const report = await engine.exit(id);
      assert.equal(report?.exitCode, 127);
      assert.notEqual(report?.error, '');
    });

    test('stop: SIGTERM first, and what the program does about it counts', async () => {
      const id = await started({ command: ground.commands.polite });
      await logged(id, 'ready');
      await engine.stop(id, 20_000);
      assert.equal((await engine.exit(id))?.exitCode, 3);
      assert.deepEqual(await engine.logs(id, 1), ['got TERM']);
      await engine.stop(id, 1000);
    });

    test('stop: SIGKILL after the timeout', async () => {
      const id = await started({ command: ground.commands.stubborn });
      await logged(id, 'ready');
      await engine.stop(id, 1000);
      assert.equal((await engine.exit(id))?.exitCode, 137);
    });

    test('kill ends it at once; kill and stop of what has stopped or gone succeed', async () => {
      const id = await started({ command: ground.commands.stubborn });
      await engine.kill(id);
      assert.equal((await exited(id)).exitCode, 137);
      await engine.kill(id);
      await engine.remove(id);
      await engine.kill(id);
      await engine.stop(id, 1000);
    });

    test('remove takes a running container away; gone is success and all questions have an answer', async () => {
      const id = await started({ command: ground.commands.stubborn });
      await engine.remove(id);
      await engine.remove(id);
      assert.equal(await find(id), undefined);
      assert.equal(await engine.exists(id), false);
      assert.equal(await engine.exit(id), undefined);
      assert.deepEqual(await engine.logs(id, 5), []);
    });

    test('removeStopped leaves one that runs alone, and takes away what was created, has ended or is gone', async () => {
      const created = await engine.create(spec({ command: ground.commands.polite }));
      assert.equal(await engine.removeStopped(created), true);
      assert.equal(await find(created), undefined);
      const id = await started({ command: ground.commands.stubborn });
      assert.equal(await engine.removeStopped(id), false);
      assert.equal((await find(id))?.state, 'running');
      await engine.kill(id);
      await exited(id);
      assert.equal(await engine.removeStopped(id), true);
      assert.equal(await engine.removeStopped(id), true);
      assert.equal(await find(id), undefined);
    });

    test('pid: that of a container that runs, and none afterwards', async () => {
      const id = await started({ command: ground.commands.polite });
      const first = await engine.pid(id);
      assert.ok(Number(first) > 1, `${first}`);
      assert.equal(await engine.pid(id), first);
      await engine.stop(id, 1000);
      assert.equal(await engine.pid(id), undefined);
      await engine.remove(id);
      assert.equal(await engine.pid(id), undefined);
    });

    test('exit: nothing to report while it runs, then code and times', async () => {
      const running = await started({ command: ground.commands.polite });
      const early = await engine.exit(running);
      assert.equal(early?.exitCode, undefined);
      assert.equal(early?.finishedAt, undefined);
      assert.ok(early?.startedAt);
      const id = await started({ command: ground.commands.talks });
      const report = await exited(id);
      assert.equal(report.exitCode, 7);
      assert.equal(report.oomKilled, false);
      assert.equal(report.error, '');
      assert.ok((report.startedAt ?? 0) <= (report.finishedAt ?? 0));
      assert.equal((await find(id))?.address, undefined);
    });

    test('logs: the last lines, stdout and stderr in the order they were written', async () => {
      const id = await started({ command: ground.commands.talks });
      await exited(id);
      assert.deepEqual(await engine.logs(id, 3), ['line 3', 'line 4', 'line 5']);
      assert.equal((await engine.logs(id, 100)).length, 5);
    });

    test('exec: exit code and output of both streams', async () => {
      const id = await started({ command: ground.commands.polite });
      const { exitCode, output } = await engine.exec(id, ground.commands.inside, 10_000);
      assert.equal(exitCode, 4);
      assert.deepEqual(output.trim().split('\n').sort(), ['err', 'out']);
    });

    test('exec: a command that does not end is engine-timeout', async () => {
      const id = await started({ command: ground.commands.polite });
      await fails(engine.exec(id, ground.commands.hangs, 500), 'engine-timeout');
    });

    test('exec: a container that does not run, or is gone, is container-gone', async () => {
      const id = await engine.create(spec());
      await fails(engine.exec(id, ground.commands.inside, 5000), 'container-gone');
      await engine.remove(id);
      await fails(engine.exec(id, ground.commands.inside, 5000), 'container-gone');
    });

    test('openExec: both streams apart and the exit code; with a terminal all is stdout', async () => {
      const id = await started({ command: ground.commands.polite });
      const plain = await engine.openExec(id, { command: ground.commands.inside, input: false });
      assert.deepEqual(await printedBy(plain), { stdout: 'out\n', stderr: 'err\n' });
      assert.deepEqual(await plain.ended(never), { exitCode: 4 });
      await plain.resize({ columns: 80, rows: 24 });
      assert.equal(await plain.signal('SIGTERM'), false, 'it has ended');
      const terminal = { columns: 80, rows: 24 };
      const shown = await engine.openExec(id, { command: ground.commands.inside, input: true, terminal });
      const { stdout, stderr } = await printedBy(shown);
      assert.deepEqual([stdout.replaceAll('\r', '').split('\n').sort().join(' '), stderr], [' err out', '']);
    });

    test('openExec: what is written is read, to its end, byte for byte', async () => {
      const id = await started({ command: ground.commands.polite });
      const session = await engine.openExec(id, { command: ground.commands.echoes, input: true });
      const sent = randomBytes(3_000_000);
      const written = pipeline(
        Readable.from([sent.subarray(0, 1_000_000), sent.subarray(1_000_000)]),
        session.input,
      );
      const parts: Buffer[] = [];
      for await (const { bytes } of session.output) parts.push(bytes);
      await written;
      assert.ok(Buffer.concat(parts).equals(sent));
      assert.deepEqual(await session.ended(never), { exitCode: 0 });
    });

    test('openExec: a command that ends without reading fails the writing with EPIPE, and its output is whole', async () => {
      const id = await started({ command: ground.commands.polite });
      const session = await engine.openExec(id, { command: ground.commands.inside, input: true });
      const sent = pipeline(Readable.from(endless()), session.input).catch(codeOf);
      assert.deepEqual(await printedBy(session), { stdout: 'out\n', stderr: 'err\n' });
      assert.deepEqual(await session.ended(never), { exitCode: 4 });
      assert.equal(await sent, 'EPIPE');
    });

    test('openExec: a signal reaches the command; a container that ends takes it along', async () => {
      const id = await started({ command: ground.commands.polite });
      const one = await engine.openExec(id, { command: ground.commands.hangs, input: false });
      assert.equal(await one.signal('SIGINT'), true);
      await printedBy(one);
      assert.deepEqual(await one.ended(never), { exitCode: 130 });
      const two = await engine.openExec(id, { command: ground.commands.hangs, input: false });
      await engine.kill(id);
      await printedBy(two);
      assert.deepEqual(await two.ended(never), { exitCode: 137, containerEnded: true });
    });

    test('openExec: a program that is missing, a container that does not run, and one that is not ours', async () => {
      const id = await started({ command: ground.commands.polite });
      const session = await engine.openExec(id, { command: ground.commands.missing, input: false });
      assert.deepEqual(await printedBy(session), { stdout: '', stderr: '' });
      const { exitCode, neverRan = '' } = await session.ended(never);
      assert.deepEqual([exitCode, /not found|no such file/.test(neverRan)], [127, true], neverRan);
      await engine.kill(id);
      await exited(id);
      const asked = { command: ground.commands.inside, input: false };
      await fails(engine.openExec(id, asked), 'container-gone');
      await engine.remove(id);
      await fails(engine.openExec(id, asked), 'container-gone');
      const foreign = await ground.addForeign(`${project}-web-r7-foreign`);
      await fails(engine.openExec(foreign, asked), 'engine-failed').finally(() =>
        ground.removeForeign(foreign),
      );
    });

    test("health: what the image's own check says, as long as it runs; a change is told", async () => {
      const told: EngineEvent[] = [];
      const stop = new AbortController();
      engine.watch((event) => told.push(event), stop.signal);
      await until('the watch stands', () => told[0]?.kind === 'reconnected');
      const asked = async (command: readonly string[]) => {
        const Healthcheck = { Test: ['CMD', ...command], Interval: 50_000_000, Retries: 1 };
        const wanted = spec({ command: ground.commands.polite });
        const id = await engine.create({ ...wanted, body: { ...wanted.body, Healthcheck } });
        assert.equal((await find(id))?.health, 'none', 'it does not run');
        await engine.start(id);
        return id;
      };
      const comes = (id: string, health: ContainerHealth) =>
        until(`${id} to be ${health}`, async () => (await find(id))?.health === health);
      const [well, bad] = [await asked(ground.commands.well), await asked(ground.commands.inside)];
      await comes(well, 'healthy');
      await comes(bad, 'unhealthy');
      const changed = () => told.filter((e) => e.kind === 'health').map((e) => e.container);
      await until('both were told', () => [well, bad].every((id) => changed().includes(id)));
      stop.abort();
      await engine.kill(bad);
      assert.equal((await exited(bad)) && (await find(bad))?.health, 'none');
    });

    test("gateway: this host's address on the default bridge, none on the host network", async () => {
      assert.match((await engine.gateway(undefined)) ?? '', /^\d+\.\d+\.\d+\.\d+$/);
      assert.equal(await engine.gateway('host'), undefined);
      assert.equal(await engine.gateway('none'), undefined);
    });

    test('watch: tells when it stands, then start, die and destroy of ours, and stops when aborted', async () => {
      const events: EngineEvent[] = [];
      const stop = new AbortController();
      engine.watch((event) => events.push(event), stop.signal);
      await until('the watch stands', () => events[0]?.kind === 'reconnected');
      const id = await started({ command: ground.commands.stubborn });
      await engine.remove(id);
      const kinds = () => events.filter((e) => e.container === id).map((e) => e.kind);
      await until('all was told', () => kinds().includes('destroy'));
      assert.deepEqual(kinds(), ['start', 'die', 'destroy']);
      stop.abort();
      const told = events.length;
      await engine.remove(await started({ command: ground.commands.stubborn }));
      assert.equal(events.length, told);
    });

    test('watch: what has died, as it is told, is listed as dead', async () => {
      const stop = new AbortController();
      // Others' containers on the same engine die, too.
      const listed = new Map<string | undefined, Promise<readonly Container[]>>();
      const events: EngineEvent[] = [];
      engine.watch((event) => {
        events.push(event);
        if (event.kind === 'die') listed.set(event.container, engine.containers({ project }));
      }, stop.signal);
      await until('the watch stands', () => events[0]?.kind === 'reconnected');
      const id = await started({ command: ground.commands.stubborn });
      await engine.kill(id);
      await until('the death is told', () => listed.has(id));
      stop.abort();
      const [seen] = (await listed.get(id))?.filter((c) => c.id === id) ?? [];
      assert.equal(seen?.state, 'exited');
    });

    test('close is idempotent', () => {
      engine.close();
      engine.close();
      engine = ground.open();
    });
  });
}

const never = new AbortController().signal;

async function printedBy({ output }: ExecSession): Promise<Record<Piece['source'], string>> {
  const text = { stdout: '', stderr: '' };
  for await (const { source, bytes } of output) text[source] += bytes;
  return text;
}

function* endless(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(64 * 1024);
}

export async function fails(call: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isGantryError(error, code), `expected ${code}, got ${error}`);
    return true;
  });
}
