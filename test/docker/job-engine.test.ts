/** What only a real engine can show of containers that end: their streams, their end, their files. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import type { Step } from '../../src/config/job.ts';
import type { Piece } from '../../src/docker/demux.ts';
import { openJobEngine } from '../../src/docker/dockerode.ts';
import { JOB_LABELS, type JobContainerSpec, type JobEngine } from '../../src/docker/job-engine.ts';
import type { JobSpecInput } from '../../src/docker/job-spec.ts';
import { codeOf } from '../../src/errors.ts';
import { relay } from '../ground/relay.ts';
import { specOf } from './components.ts';
import { fails } from './contract.ts';
import { busyboxImage, removeImage, uniqueTag } from './images.ts';
import { api, ENGINE_ADDRESS, NO_ENGINE, shell } from './real-ground.ts';
import { jobSpecOf } from './steps.ts';
import { until } from './until.ts';

function open(address: string | undefined): JobEngine {
  return openJobEngine(address === undefined ? {} : { address });
}

const SOON = () => AbortSignal.timeout(20_000);

describe('jobs on a real engine', { skip: NO_ENGINE ?? false, concurrency: 4 }, () => {
  const project = `j${randomBytes(4).toString('hex')}`;
  const tag = uniqueTag();
  let engine: JobEngine;
  let imageId: string;
  let count = 0;

  before(async () => {
    imageId = await busyboxImage(ENGINE_ADDRESS, tag);
    engine = open(ENGINE_ADDRESS);
  });
  after(async () => {
    const all = await engine.jobContainers({ project });
    await Promise.all(all.map(({ id }) => engine.remove(id)));
    engine.close();
    await removeImage(ENGINE_ADDRESS, tag);
  });

  const spec = (step: Partial<Step>, input: Partial<JobSpecInput> = {}): JobContainerSpec =>
    jobSpecOf(step, { project, imageId, suffix: String(++count).padStart(4, '0'), ...input });
  const create = (script: string): Promise<string> => engine.create(spec({ command: shell(script) }));
  /** Created, attached, started. */
  const run = async (script: string) => {
    const id = await create(script);
    const attachment = await engine.attach(id);
    await engine.start(id);
    return { id, ...attachment };
  };

  test('what goes in comes out, byte for byte', async () => {
    const bytes = randomBytes(3 * 2 ** 20);
    const { id, input, output } = await run('cat');
    const feeding = pipeline([bytes], input);
    const printed = await all(output);
    await feeding;
    assert.ok(printed.stdout.equals(bytes), `${printed.stdout.length} bytes`);
    assert.equal((await engine.ended(id, SOON()))?.exitCode, 0);
  });

  test('an output without a last line end gets none, and stderr is kept apart', async () => {
    const { input, output } = await run('printf out; printf err >&2');
    input.end();
    const { stdout, stderr } = await all(output);
    assert.equal(`${stdout}`, 'out');
    assert.equal(`${stderr}`, 'err');
  });

  test('a container that ends before anything is read loses nothing', async () => {
    const { id, output } = await run('echo soon; exit 3');
    assert.equal((await engine.ended(id, SOON()))?.exitCode, 3);
    assert.equal(`${(await all(output)).stdout}`, 'soon\n');
  });

  test('a container that reads nothing makes writes wait, and fails them when it ends, with its output whole', async () => {
    const { id, input, output } = await run('sleep 0.3; seq 1 20000');
    const last = lastLine(output);
    const written = pipeline([randomBytes(2 ** 20)], input);
    await assert.rejects(written, (error) => codeOf(error) === 'EPIPE');
    assert.equal(await last, '20000');
    assert.equal((await engine.ended(id, SOON()))?.exitCode, 0);
  });

  test('close lets go of a write that waits, and the container runs on', async () => {
    const { id, input, output, close } = await run('sleep 60');
    input.write(randomBytes(2 ** 20));
    const reading = all(output);
    close();
    close();
    await fails(reading, 'interrupted');
    assert.equal(await closed(input), true);
    assert.equal((await engine.exit(id))?.exitCode, undefined);
    await engine.kill(id);
    assert.equal((await engine.exit(id))?.exitCode, 137);
  });

  test('a hundred thousand tiny writes arrive in order', async () => {
    const { input, output } = await run('i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done');
    input.end();
    const { stdout } = await all(output);
    assert.equal(`${stdout}`, Array.from({ length: 100_000 }, (_, i) => `${i}\n`).join(''));
  });

  test('printed: what an attachment gave, from the beginning, binary too', async () => {
    const bytes = randomBytes(300_000);
    const { id, input, output } = await run('cat; printf err >&2; printf end');
    input.end(bytes);
    const attached = await all(output);
    assert.deepEqual(await all(await engine.printed(id, SOON())), attached);
    assert.equal(attached.stdout.length, bytes.length + 3);
  });

  test('printed, followed to the end, misses none of what came last', async () => {
    const { id, input } = await run('cat; head -c 100000 /dev/zero; printf last >&2');
    const whole = all(await engine.printed(id, SOON()));
    input.end('x');
    const { stdout, stderr } = await whole;
    assert.deepEqual([stdout.length, `${stderr}`], [100_001, 'last']);
  });

  test('printed follows until the end, and is let go of when aborted', async () => {
    const { id, input } = await run('echo first; cat');
    const over = new AbortController();
    const aborted = all(await engine.printed(id, over.signal));
    const whole = all(await engine.printed(id, SOON()));
    over.abort();
    await fails(aborted, 'interrupted');
    input.end('second\n');
    assert.equal(`${(await whole).stdout}`, 'first\nsecond\n');
  });

  test('an engine that goes away breaks what is read, and the end is told once it is back', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'gantryd-jobs-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const { address } = await engine.info();
    const between = await relay(t, folder, address);
    const far = open(between.address);
    t.after(() => far.close());
    const id = await create('head -c 20000000 /dev/zero > /big; echo first; cat; exit 7');
    const { output, input } = await far.attach(id);
    const near = await engine.attach(id);
    await far.start(id);
    const ended = far.ended(id, SOON());
    await new Promise<void>((resolve, reject) => {
      all(near.output, () => resolve()).catch(reject);
    });
    // Whoever does not read yet learns of it when he does.
    const unread = [await far.printed(id, SOON()), (await far.attach(id)).output];
    const reading = [output, await far.printed(id, SOON())].map((each) => all(each));
    const file = await far.readFile(id, '/big');
    const broken = reading.map((each) => fails(each, 'engine-unreachable'));
    await between.cut();
    for (const late of unread) await fails(all(late), 'engine-unreachable');
    await fails(md5Of(file), 'engine-unreachable');
    await Promise.all(broken);
    assert.equal(await closed(input), true);
    near.input.end();
    assert.equal((await engine.ended(id, SOON()))?.exitCode, 7);
    await between.mend();
    assert.equal((await ended)?.exitCode, 7);
  });

  test('ended: asked before the start, of one that cannot start, of one that goes, and aborted', async () => {
    const quick = await create('exit 5');
    const early = engine.ended(quick, SOON());
    await engine.start(quick);
    assert.equal((await early)?.exitCode, 5);
    const broken = await engine.create(spec({ command: ['/no/such/program'] }));
    await assert.rejects(engine.start(broken));
    assert.match((await engine.ended(broken, SOON()))?.error ?? '', /no such file/);
    const { id } = await run('sleep 60');
    const going = engine.ended(id, SOON());
    await engine.remove(id);
    await going;
    assert.equal(await engine.ended(id, SOON()), undefined);
    await fails(engine.ended(await create('true'), AbortSignal.abort()), 'interrupted');
  });

  test('what is gone cannot be attached to, nor read from', async () => {
    const id = await create('true');
    await engine.remove(id);
    await fails(engine.attach(id), 'container-gone');
    await fails(engine.printed(id, SOON()), 'container-gone');
    await fails(engine.readFile(id, '/etc/x'), 'container-gone');
  });

  test('readFile: one regular file, running or not, through symbolic links', async () => {
    const script = [
      'mkdir -p /out/real && head -c 1500000 /dev/urandom > /out/real/data && : > /out/empty',
      'ln -s real /out/linked && ln -s linked/data /out/one && ln -s /out/one /out/two && ln -s no /out/none',
      'ln -s circle /out/circle && mkfifo /out/fifo && md5sum < /out/real/data && cat',
    ];
    const { id, input, output } = await run(script.join(' && '));
    const md5 = await new Promise<string>((resolve, reject) => {
      all(output, (text) => resolve(text.slice(0, 32))).catch(reject);
    });
    const read = async (path: string) => md5Of(await engine.readFile(id, path));
    assert.equal(await read('/out/real/data'), md5);
    input.end();
    await engine.ended(id, SOON());
    for (const path of ['/out/real/data', '/out/linked/data', '/out/one', '/out/two']) {
      assert.equal(await read(path), md5, path);
    }
    assert.equal(await read('/out/empty'), 'd41d8cd98f00b204e9800998ecf8427e');
    for (const path of ['/out', '/nothing', '/out/none', '/out/circle', '/out/fifo', '/out/empty/x', '/']) {
      await fails(engine.readFile(id, path), 'file-missing');
    }
    (await engine.readFile(id, '/out/two')).destroy();
  });

  test('a second network is joined before the start; an unknown one is told', async (t) => {
    const [one = '', two = ''] = [1, 2].map((n) => `${project}-net${n}`);
    for (const Name of [one, two]) await api.json('POST', '/networks/create', { Name });
    t.after(() => Promise.all([one, two].map((name) => api.send('DELETE', `/networks/${name}`))));
    const config = { EndpointsConfig: { [two]: { Aliases: ['worker'] } } };
    const wanted = spec({
      command: shell('ip -o -4 addr show | grep -c eth'),
      networks: [one, two],
      engine: { config: {}, hostConfig: {}, networkingConfig: config },
    });
    assert.deepEqual(wanted.networks, [two]);
    const id = await engine.create(wanted);
    await engine.joinNetwork(id, two, wanted.endpoints?.[two]);
    await engine.joinNetwork(id, two);
    await fails(engine.joinNetwork(id, `${project}-none`), 'network-unknown');
    const { output } = await engine.attach(id);
    await engine.start(id);
    assert.equal(`${(await all(output)).stdout}`, '2\n');
    assert.deepEqual(
      await Promise.all([one, 'host', `${project}-none`].map((name) => engine.networkExists(name))),
      [true, true, false],
    );
    await engine.remove(id);
  });

  test('jobContainers: by project, host and run; a component’s are no job’s, nor the other way round', async (t) => {
    const part = { project: `${project}-listed`, imageId };
    const events: string[] = [];
    const over = new AbortController();
    t.after(() => over.abort());
    engine.watch(({ kind, container }) => events.push(`${kind} ${container}`), over.signal);
    const component = await engine.create(specOf({}, part));
    const step = spec({ command: ['true'] }, { ...part, run: 'r7', attempt: 2, index: 3, host: 'h7' });
    const id = await engine.create(step);
    t.after(() => Promise.all([component, id].map((each) => engine.remove(each))));
    const identity = { project: part.project, host: 'h7', run: 'r7', attempt: 2, step: 3 };
    const expected = { id, name: step.name, ...identity, running: false, state: 'created' };
    for (const filter of [{}, { run: 'r7' }, { host: 'h7', run: 'r7' }]) {
      assert.deepEqual(await engine.jobContainers({ project: part.project, ...filter }), [expected]);
    }
    assert.deepEqual(await engine.jobContainers({ project: part.project, run: 'r8' }), []);
    const others = await engine.containers({ project: part.project });
    assert.deepEqual(
      others.map((c) => c.id),
      [component],
    );
    await engine.start(id);
    await until('its death is told', () => events.includes(`die ${id}`));
  });

  test('stop, kill and remove refuse what bears only some of a job’s labels', async (t) => {
    const { labels, body } = spec({ command: ['sleep', '60'] });
    const some = Object.fromEntries(Object.entries(labels).filter(([key]) => key !== JOB_LABELS.step));
    const { Id: id } = await api.json<{ Id: string }>('POST', '/containers/create', {
      ...body,
      Labels: some,
    });
    t.after(() => api.send('DELETE', `/containers/${id}?force=1`));
    await engine.start(id);
    const asked = [engine.stop(id, 0), engine.kill(id), engine.remove(id)];
    await Promise.all(asked.map((each) => fails(each, 'engine-failed')));
    assert.equal((await engine.exit(id))?.exitCode, undefined);
  });

  test('removeImage: not one in use, not one that is gone', async () => {
    const name = uniqueTag();
    const image = await busyboxImage(ENGINE_ADDRESS, name, { changes: [`LABEL unique=${name}`] });
    const id = await engine.create(spec({ command: ['true'] }, { imageId: image }));
    assert.equal(await engine.removeImage(image), false);
    await engine.remove(id);
    assert.equal(await engine.removeImage(image), true);
    assert.equal(await engine.removeImage(image), false);
  });
});

/** `seen` is told what stdout has given each time something came. */
async function all(
  output: AsyncIterable<Piece>,
  seen: (text: string) => void = () => {},
): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  for await (const { source, bytes } of output) {
    parts[source].push(bytes);
    if (source === 'stdout') seen(`${bytes}`);
  }
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
}

async function md5Of(content: Readable): Promise<string> {
  const hash = createHash('md5');
  for await (const bytes of content) hash.update(bytes);
  return hash.digest('hex');
}

async function lastLine(output: AsyncIterable<Piece>): Promise<string | undefined> {
  return `${(await all(output)).stdout}`.trimEnd().split('\n').at(-1);
}

async function closed(input: Writable): Promise<boolean> {
  if (!input.closed) await once(input, 'close');
  return input.destroyed;
}
