import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Verdict } from '../../src/checks/check.ts';
import { Monitor, type MonitorOptions } from '../../src/checks/monitor.ts';
import type { Clock } from '../../src/checks/monitor-clock.ts';
import { GantryError } from '../../src/errors.ts';
import { check, httpServer, surroundings, target, until } from './servers.ts';

test('ready checks run at once, then 10, 20, 40 … ms apart up to the interval', async (t) => {
  const time = new FakeTime();
  const times: number[] = [];
  const exec = async () => {
    times.push(time.now());
    return { exitCode: 1, output: '' };
  };
  const checks = [check({ kind: 'exec', intervalMs: 100 })];
  const { monitor } = watch(t, { checks, surroundings: surroundings({ exec }), ramp: true, clock: time });
  monitor.start();
  for (let probes = 1; probes <= 8; probes++) {
    await until(() => times.length === probes && time.waiting === 1, `probe ${probes} is done`);
    time.runNext();
  }
  assert.deepEqual(times.slice(0, 7), [0, 10, 30, 70, 150, 250, 350]);
});

test('health checks keep their interval within a tenth, and come to a few moments of it', async (t) => {
  const time = new FakeTime();
  const [times, at] = [new Map<string, number[]>(), (name: string) => times.get(name) ?? []];
  const exec = async (name: string) => {
    times.set(name, [...at(name), time.now()]);
    return { exitCode: 0, output: '' };
  };
  const connections = async (name: string) => {
    await exec(name);
    return 0;
  };
  const names = Array.from({ length: 40 }, (_, number) => `c${number}`);
  for (const container of names) {
    const checks = [check({ kind: 'connection', intervalMs: 1000 })];
    const around = surroundings({ exec, connections });
    const target = { container, host: '127.0.0.1' };
    watch(t, { checks, target, surroundings: around, clock: time }).monitor.start();
  }
  for (let probes = 0; probes < 40 * 12; probes++) {
    await until(() => time.waiting === 40, `probe ${probes} is done`);
    time.runNext();
  }
  const gaps = names.flatMap((name) =>
    at(name)
      .slice(1)
      .map((each, before) => each - (at(name)[before] ?? 0)),
  );
  assert.ok(
    names.every((name) => (at(name)[0] ?? 0) <= 100),
    'the first within a tenth',
  );
  assert.ok(
    gaps.every((gap) => gap >= 900 && gap <= 1100),
    gaps.join(),
  );
  const moments = new Set(names.map((name) => (at(name)[10] ?? 0) % 1000));
  assert.deepEqual(
    [...moments].filter((moment) => ![0, 200, 400, 600, 800].includes(moment)),
    [],
  );
  assert.ok(moments.size > 1, 'not all at once');
});

test('commands in containers do not come together', async (t) => {
  const time = new FakeTime();
  const last = new Map<string, number>();
  const exec = async (container: string) => {
    last.set(container, time.now() % 60_000);
    return { exitCode: 0, output: '' };
  };
  for (let number = 0; number < 20; number++) {
    const checks = [check({ kind: 'exec', intervalMs: 60_000 })];
    const target = { container: `c${number}`, host: '' };
    watch(t, { checks, target, surroundings: surroundings({ exec }), clock: time }).monitor.start();
  }
  for (let probes = 0; probes < 20 * 8; probes++) {
    await until(() => time.waiting === 20, `probe ${probes} is done`);
    time.runNext();
  }
  assert.ok(new Set(last.values()).size > 15, [...last.values()].join());
});

test('health follows a real server down and up, with one poke per change', async (t) => {
  let status = 200;
  const port = await httpServer(t, (_request, response) => response.writeHead(status).end());
  const { monitor, pokes, verdicts } = watch(t, { checks: [check({ port, fall: 2, rise: 2 })], ramp: true });
  assert.equal(monitor.health, 'unknown');
  monitor.start();
  monitor.start();
  await until(() => monitor.health === 'healthy', 'healthy');
  status = 500;
  await until(() => monitor.health === 'unhealthy', 'unhealthy');
  assert.match(monitor.last[0]?.saw ?? '', /answered 500/);
  status = 200;
  await until(() => monitor.health === 'healthy', 'healthy again');
  assert.deepEqual(pokes, ['healthy', 'unhealthy', 'healthy']);
  assert.ok(verdicts.length >= 6);
});

test('all checks must be healthy; one that fails makes it unhealthy', async (t) => {
  let exitCode = 0;
  const exec = async () => ({ exitCode, output: '' });
  const connections = () => new Promise<number>(() => undefined);
  const checks = [
    check({ id: 'a', kind: 'exec', fall: 1 }),
    check({ id: 'b', kind: 'connection', timeoutMs: 60_000 }),
  ];
  const { monitor } = watch(t, { checks, surroundings: surroundings({ exec, connections }), ramp: true });
  monitor.start();
  await until(() => monitor.last[0]?.ok === true, 'the first check passes');
  assert.equal(monitor.health, 'unknown');
  exitCode = 1;
  await until(() => monitor.health === 'unhealthy', 'unhealthy');
  assert.deepEqual(
    monitor.last.map(({ check }) => check),
    ['a'],
  );
});

test('without checks it is healthy from the start and never pokes', async (t) => {
  const { monitor, pokes } = watch(t, { checks: [] });
  assert.equal(monitor.health, 'healthy');
  monitor.start();
  await monitor.close();
  assert.deepEqual(pokes, []);
});

test('an engine that is away changes no health', async (t) => {
  let away = false;
  let asked = 0;
  const exec = async () => {
    asked++;
    if (away) throw new GantryError('engine-unreachable', 'no engine');
    return { exitCode: 0, output: '' };
  };
  const checks = [check({ kind: 'exec', fall: 1, intervalMs: 2 })];
  const { monitor, pokes } = watch(t, { checks, surroundings: surroundings({ exec }), ramp: true });
  monitor.start();
  await until(() => monitor.health === 'healthy', 'healthy');
  away = true;
  const before = asked;
  await until(() => asked > before + 5, 'some probes without an engine');
  assert.equal(monitor.health, 'healthy');
  assert.equal(monitor.last[0]?.inconclusive, true);
  assert.deepEqual(pokes, ['healthy']);
});

test('a check never overlaps itself', async (t) => {
  let running = 0;
  let most = 0;
  let done = 0;
  const exec = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    done++;
    return { exitCode: 0, output: '' };
  };
  const checks = [check({ kind: 'exec', intervalMs: 1 })];
  const { monitor } = watch(t, { checks, surroundings: surroundings({ exec }), ramp: true });
  monitor.start();
  await until(() => done >= 5, 'five probes');
  assert.equal(most, 1);
});

test('close gives up a probe under way, waits for it and runs no other', async (t) => {
  let requests = 0;
  let cut = 0;
  const port = await httpServer(t, (request) => {
    requests++;
    request.socket.on('close', () => cut++);
  });
  const { monitor, pokes, verdicts } = watch(t, { checks: [check({ port, timeoutMs: 60_000 })], ramp: true });
  monitor.start();
  await until(() => requests === 1, 'the server is asked');
  await Promise.all([monitor.close(), monitor.close()]);
  await until(() => cut === 1, 'the connection is closed');
  monitor.start();
  assert.deepEqual([requests, pokes.length, verdicts.length], [1, 0, 0]);
});

test('close clears the timer between two probes', async (t) => {
  const time = new FakeTime();
  const { monitor, verdicts } = watch(t, {
    checks: [check({ kind: 'exec', intervalMs: 60_000 })],
    ramp: true,
    clock: time,
  });
  monitor.start();
  await until(() => time.waiting === 1, 'it waits for the next probe');
  await monitor.close();
  assert.deepEqual([time.waiting, verdicts.length], [0, 1]);
});

test('close before start leaves nothing to start', async (t) => {
  const { monitor, verdicts } = watch(t, { checks: [check({ kind: 'exec' })], ramp: true });
  await monitor.close();
  monitor.start();
  await monitor.close();
  assert.equal(verdicts.length, 0);
});

function watch(t: TestContext, options: Partial<MonitorOptions>) {
  const pokes: string[] = [];
  const verdicts: Verdict[] = [];
  const monitor: Monitor = new Monitor({
    checks: [],
    target: target(),
    surroundings: surroundings(),
    onChange: () => pokes.push(monitor.health),
    onVerdict: (verdict) => verdicts.push(verdict),
    ...options,
  });
  t.after(() => monitor.close());
  return { monitor, pokes, verdicts };
}

/** Time that passes only when told to. */
class FakeTime implements Clock {
  #now = 0;
  #timers: { at: number; run: () => void }[] = [];

  get waiting(): number {
    return this.#timers.length;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(run: () => void, delayMs: number): unknown {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.push(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  runNext(): void {
    const next = this.#timers.toSorted((a, b) => a.at - b.at)[0];
    if (next === undefined) throw new Error('no timer is set');
    this.clearTimeout(next);
    this.#now = next.at;
    next.run();
  }
}
