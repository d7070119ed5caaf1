import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerSpec } from '../../src/docker/spec.ts';
import { GantryError } from '../../src/errors.ts';
import { specOf } from './components.ts';
import { engineContract, fails, type Ground } from './contract.ts';
import { ManualClock } from './fake-clock.ts';
import { FakeEngine, IDLE, type Program } from './fake-engine.ts';
import type { FakeCommand } from './fake-exec.ts';

const SESSIONS: Record<string, FakeCommand> = {
  inside: { out: 'out\n', err: 'err\n', exitCode: 4 },
  hangs: { waits: true },
  echoes: { echoes: true },
  missing: { missing: 'executable file not found' },
};

const PROGRAMS: Record<string, Program> = {
  polite: {
    prints: ['ready'],
    term: { afterMs: 5, exitCode: 3, prints: ['got TERM'] },
    exec: ([what]) =>
      what === 'hangs' ? 'hangs' : { exitCode: what === 'well' ? 0 : 4, output: 'out\nerr\n' },
    session: ([what = '']) => SESSIONS[what] ?? {},
  },
  stubborn: { prints: ['ready'] },
  talks: { prints: [1, 2, 3, 4, 5].map((n) => `line ${n}`), endsAfterMs: 5, exitCode: 7 },
  missing: { neverStarts: 'executable file not found' },
};

function fakeGround(): Ground {
  const program = (spec: ContainerSpec) => PROGRAMS[String(Object(spec.body.Cmd)[0])] ?? IDLE;
  const engine = new FakeEngine({ program });
  engine.addImage('app:1');
  return {
    setUp: async () => {},
    tearDown: async () => {},
    open: () => engine,
    image: 'app:1',
    absentImage: 'nobody/has:1',
    commands: {
      polite: ['polite'],
      stubborn: ['stubborn'],
      talks: ['talks'],
      missing: ['missing'],
      inside: ['inside'],
      well: ['well'],
      hangs: ['hangs'],
      echoes: ['echoes'],
    },
    addForeign: async (name) => engine.addForeign(name),
    removeForeign: async (id) => engine.dropForeign(id),
    foreignRuns: async (id) => engine.runs(id),
  };
}

engineContract('the fake', fakeGround());

test('with a manual clock nothing happens until it is moved', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, program: () => ({ endsAfterMs: 5000, exitCode: 9 }) });
  const { id: imageId } = engine.addImage('app:1');
  const id = await engine.create(specOf({}, { imageId }));
  await engine.start(id);
  await clock.advance(4999);
  assert.equal((await engine.containers({}))[0]?.status, 'Up 4 seconds');
  await clock.advance(1);
  assert.equal((await engine.exit(id))?.exitCode, 9);
});

test('a stop that takes long ends when the clock says so', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, program: () => ({}) });
  const { id: imageId } = engine.addImage('app:1');
  const id = await engine.create(specOf({}, { imageId }));
  await engine.start(id);
  let stopped = false;
  const stop = engine.stop(id, 10_000).then(() => {
    stopped = true;
  });
  await clock.advance(9_999);
  assert.equal(stopped, false);
  await clock.advance(1);
  await stop;
  assert.equal((await engine.exit(id))?.exitCode, 137);
});

test('it fails as told: once, or while unreachable', async () => {
  const engine = new FakeEngine();
  engine.publishImage('app:2');
  engine.failNext('pull', new GantryError('pull-refused', 'no'));
  await fails(engine.pull('app:2'), 'pull-refused');
  assert.equal(await engine.image('app:2'), undefined);
  await engine.pull('app:2');
  assert.ok(await engine.image('app:2'));
  engine.reachable = false;
  await fails(engine.info(), 'engine-unreachable');
});
