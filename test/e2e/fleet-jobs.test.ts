/** Jobs of a fleet must run once, tell all they print, and leave nothing, whatever happens to their hosts meanwhile. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import type { PastAttempt, RunValue } from '../../src/cluster/job-values.ts';
import { keys } from '../../src/cluster/keys.ts';
import { readJob } from '../../src/config/load-jobs.ts';
import { JOB_LABELS } from '../../src/docker/job-engine.ts';
import { submitRun } from '../../src/jobs/intents/intents.ts';
import type { ObservedContainer } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import type { Running } from '../ground/processes.ts';
import { type ComponentFile, Endings, PROJECT, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { counted, counting, type JobShop, openJobShop } from './fleet-jobs.ts';
import { exitedWith } from './shop.ts';

/** Without its claim for 45 s a run is lost; others have to see the claim go, and that it stays away. */
const LOST_MS = 90_000;
const TICK_MS = 2_000;
/** Without what the command says itself. */
const QUIET = ['--log-level', 'warn'];
const VALUE = 'hunter2 is no password';
const READS = `require('crypto').createHash('sha256').update(require('fs').readFileSync('/run/secrets/db')).digest('hex') === '${sum(VALUE)}' || process.exit(1)`;
/** Ready once it has read the value. */
const WEB: ComponentFile = {
  secrets: ['db'],
  readyChecks: [{ kind: 'exec', command: ['/bin/node', '-e', READS] }],
};
/** For agents of hosts that run no component, before there is one. */
const NO_WEB = ['--component', 'none'];
const MEMORY = `/dev/shm/gantryd-test-${process.pid}`;

/** One fleet for all: while its host d stays lost, which takes a minute to be noticed, the others do what else is promised. */
describe('jobs of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let jobs: JobShop;
  let fleet: { readonly a: Host; readonly b: Host; readonly c: Host; readonly d: Host };
  const agents = new Map<Host, Running>();
  let lost: Running;
  let again: Running;
  before(async () => {
    endings.after(() => rm(MEMORY, { recursive: true, force: true }));
    await mkdir(MEMORY);
    jobs = await openJobShop(endings, ['a', 'b', 'c', 'd']);
    const host = (name: string) => jobs.shop.fleet.host(name);
    fleet = { a: host('a'), b: host('b'), c: host('c'), d: host('d') };
    await makeKeys();
    await agentOn(fleet.d, ...NO_WEB);
    await jobs.untilHosts(1);
    const waits =
      'echo $GANTRYD_RUN; echo x >> /evidence/begun; until test -e /evidence/go; do sleep 0.2; done';
    lost = jobs.begin(...jobs.script(waits, '--constraint', 'host==d'));
    again = jobs.begin(...jobs.script(`${waits}; echo done`, '--retries', '1'));
    await Promise.all([lost.says('\n', WAIT_MS), again.says('\n', WAIT_MS)]);
    await Promise.all([
      agentOn(fleet.a),
      agentOn(fleet.b, ...NO_WEB),
      agentOn(fleet.c, '--label', 'disk=fast', ...NO_WEB),
    ]);
    await jobs.untilHosts(4);
    await fleet.d.kill();
    await jobs.allow('go');
  });
  after(() => endings.run());

  test('are to who waits for them what their containers are, on the host they are for', async () => {
    const bytes = randomBytes(700_001);
    const input = join(jobs.client.folder, 'input');
    await writeFile(input, bytes);
    const on = (constraint: string) => ['--constraint', constraint];
    const stays = 'trap "exit 0" TERM; echo $GANTRYD_RUN; sleep 600 & wait';
    const interrupted = jobs.begin(...jobs.script(stays));
    const copying = jobs.script('cat; echo "told  aside" >&2; exit 7', '--input', input, ...on('host==b'));
    const [copied, late, odd, fast, nowhere] = await Promise.all([
      jobs.bytes(...copying),
      jobs.gantryd(jobs.script(stays, '--timeout', '1s')),
      jobs.gantryd(['job', 'run', '-i', jobs.image, '-d', 'no-such-program']),
      jobs.gantryd(jobs.script('echo $GANTRYD_RUN', ...on('label.disk==fast'))),
      jobs.gantryd(jobs.script('true', ...on('host==nowhere'))),
    ]);
    assert.deepEqual([copied.code, copied.stderr], [7, 'told  aside\n']);
    assert.ok(copied.bytes.equals(bytes), `${copied.bytes.length} bytes came back`);
    assert.equal(late.code, 124, late.stderr);
    assert.deepEqual([odd.code, odd.stdout], [125, '']);
    assert.match(odd.stderr, /^Error: .*no-such-program.*executable file not found/);
    exitedWith(0, fast);
    assert.equal((await jobs.show(fast.stdout.trim())).host, 'c');
    exitedWith(4, nowhere);
    assert.match(nowhere.stderr, /no live host may run it: .*nowhere/);

    await interrupted.says('\n', WAIT_MS);
    const run = interrupted.stdout.trim();
    assert.equal((await containersOf(run)).length, 1);
    interrupted.signal('SIGINT');
    exitedWith(130, await interrupted.ended);
    assert.deepEqual(await containersOf(run), []);
    assert.equal((await jobs.show(run)).state, 'cancelled');
  });

  test('run once each, on all hosts, when thirty come at once', async () => {
    const made = await submitted(30);
    const begun = async () => (await jobs.written('thirty')).length >= made.length;
    await until(begun, { timeoutMs: WAIT_MS, what: 'thirty runs to be begun' });
    await jobs.untilOver('thirty runs to be over', ({ id }) => made.includes(id));
    const all = (await jobs.runs()).filter(({ id }) => made.includes(id));
    assert.ok(all.every(({ endedAt }) => endedAt !== undefined));
    assert.deepEqual(all.map(({ id }) => id).sort(), made);
    assert.deepEqual(
      new Set(all.map(({ state, attempt }) => `${state} ${attempt}`)),
      new Set(['complete 1']),
    );
    assert.deepEqual([...(await jobs.written('thirty'))].sort(), made);
    assert.deepEqual([...new Set(all.map(({ host }) => host))].sort(), ['a', 'b', 'c']);
  });

  test('go on in their containers when an agent is killed, and nothing they print is lost or told twice', async () => {
    const { b } = fleet;
    const [held, lines] = [35, 70];
    const pipeline = join(jobs.client.folder, 'pipeline.json');
    const step = (script: string) => ({
      image: jobs.image,
      mounts: [jobs.mount],
      command: ['sh', '-c', script],
    });
    const steps = [step('echo first; echo aside >&2'), step(`cat; ${counting(lines, held)}`)];
    await writeFile(pipeline, JSON.stringify({ constraints: ['host==b'], steps }));
    const counts = `echo $GANTRYD_RUN; ${counting(lines, held)}; exit 3`;
    const alone = jobs.begin(...jobs.script(counts, '--constraint', 'host==b', ...QUIET));
    const id = (await jobs.must('job', 'submit', pipeline)).trim();
    const piped = jobs.begin('job', 'log', id, '-f', ...QUIET);
    await Promise.all([alone.says('out 5\n', WAIT_MS), piped.says('out 5\n', WAIT_MS)]);
    const run = alone.stdout.split('\n', 1)[0] ?? '';
    const both = async () => [...(await containersOf(run)), ...(await containersOf(id))];
    const ids = async () => (await both()).map((container) => container.id);
    const before = await ids();
    assert.equal(before.length, 2);
    await agentKilled(b);
    await agentOn(b, ...NO_WEB);
    await Promise.all([alone, piped].map((told) => told.says(`out ${held - 1}\n`, WAIT_MS)));
    assert.deepEqual(await ids(), before);

    // Again, and this time they end while nobody is there.
    await agentKilled(b);
    await jobs.allow('more');
    const ended = async () => (await both()).every(({ state }) => state === 'exited');
    await until(ended, { timeoutMs: WAIT_MS, what: 'containers to end by themselves' });
    assert.deepEqual(await ids(), before);
    await agentOn(b, ...NO_WEB);

    const [out, err] = [counted('out', lines), counted('err', lines)];
    const printed = [`${run}\n${out}`, err];
    const pipedOn = [`first\n${out}`, `aside\n${err}`];
    const [one, two] = await Promise.all([alone.ended, piped.ended]);
    assert.deepEqual([one.code, one.stdout, one.stderr], [3, ...printed]);
    assert.deepEqual([two.code, two.stdout, two.stderr], [0, `first\n${pipedOn[0]}`, pipedOn[1]]);
    const [log, pipedLog, output] = await Promise.all([
      jobs.gantryd(['job', 'log', run, ...QUIET]),
      jobs.gantryd(['job', 'log', id, ...QUIET]),
      jobs.must('job', 'output', id),
    ]);
    assert.deepEqual([log.stdout, log.stderr], printed);
    assert.deepEqual([pipedLog.stdout, pipedLog.stderr], [`first\n${pipedOn[0]}`, pipedOn[1]]);
    assert.equal(output, pipedOn[0]);
    const { state, attempt, steps: done } = await jobs.show(id);
    assert.deepEqual([state, attempt, done.map((s) => s.exitCode)], ['complete', 1, [0, 0]]);
    assert.deepEqual(await both(), []);
  });

  test('come each at its time and once, while an agent dies and a host is cut off', async () => {
    const { b, c } = fleet;
    await pushSchedules();
    const { at } = await jobs.told<{ at: string }>('cron', 'get', 'tick');
    const ticks = async () => (await jobs.written('ticks')).length;
    const more = async (count: number) => {
      const to = (await ticks()) + count;
      await until(async () => (await ticks()) >= to, { timeoutMs: WAIT_MS, what: `${count} ticks` });
    };
    await more(1);
    await agentKilled(b);
    await more(1);
    await agentOn(b, ...NO_WEB);
    await c.isolate();
    await more(2);
    await c.heal();
    await more(1);
    const stoppedAt = Date.now();
    await jobs.must('cron', 'suspend', 'tick');
    await jobs.untilOver('the last tick', ({ schedule }) => schedule?.name === 'tick');
    const seen = await jobs.written('ticks');

    const history = await jobs.must('cron', 'history', 'tick');
    assert.match(history, new RegExp(`^${seen.at(-1)} +complete +[abc] .* 0 *$`, 'm'));
    assert.match(await jobs.must('cron', 'get', 'tick'), /State: +suspended/);
    const untilMs = stoppedAt + 2 * TICK_MS;
    await until(() => Date.now() > untilMs, { timeoutMs: WAIT_MS, what: 'more ticks to come' });
    assert.deepEqual(await jobs.written('ticks'), seen);
    assert.deepEqual((await ticking()).map(({ id }) => id).sort(), [...seen].sort());
    eachTickOnce(seen, Date.parse(at), stoppedAt);
  });

  test('read their secrets, as components do, and nobody else does', async () => {
    const { a, b, c } = fleet;
    await agents.get(c)?.says('"code":"secrets-key"', WAIT_MS);
    exitedWith(0, await jobs.gantryd(['secret', 'set', PROJECT, 'db'], { input: VALUE }));
    const file = join(jobs.client.folder, 'token');
    await writeFile(file, `${VALUE} either`);
    const reads =
      'sha256sum < /run/secrets/db; sha256sum < /run/secrets/token; trap "exit 0" TERM; sleep 600 & wait';
    const given = ['--secret', 'db', '--secret', `token=${file}`];
    const job = jobs.begin(...jobs.script(reads, ...given, '--constraint', 'host==b'));
    const [refused] = await Promise.all([
      jobs.gantryd(jobs.script('true', ...given, '--constraint', 'host==c')),
      jobs.shop.deploy('v1', WEB),
      job.says(/-\n.*-\n/, WAIT_MS),
    ]);
    exitedWith(125, refused);
    assert.match(refused.stderr, /Error: .*key/);
    assert.equal(job.stdout, `${sum(VALUE)}  -\n${sum(`${VALUE} either`)}  -\n`);

    const stored = await jobs.shop.etcd.control('get', '--prefix', '/gantryd');
    const inspected = await jobs.inspected([a, b, c]);
    assert.ok(inspected.split('/run/secrets/db').length > 2, 'seen in the job and the component');
    job.signal('SIGINT');
    exitedWith(130, await job.ended);
    const told = [...agents.values()].map(({ stdout, stderr }) => stdout + stderr);
    for (const text of [stored, inspected, job.stderr, refused.stderr, ...told])
      assert.ok(!text.includes(VALUE), text);
  });

  test('are lost with their host, or run again on another one, and leave nothing where they were', async () => {
    const { d } = fleet;
    const [first, second] = [lost, again].map(({ stdout }) => stdout.split('\n', 1)[0] ?? '') as [
      string,
      string,
    ];
    await jobs.untilOver('d to be lost', ({ id }) => [first, second].includes(id), LOST_MS);
    const [gone, tried] = [await jobs.show(first), await jobs.show(second)];
    assert.deepEqual([gone.state, gone.attempt, gone.host], ['lost', 1, 'd']);
    assert.deepEqual([tried.state, tried.attempt, tried.past.map(attemptOf)], ['complete', 2, ['d lost']]);
    assert.match(tried.host ?? '', /^[abc]$/);
    assert.equal((await jobs.written('begun')).length, 3);
    const retried = await again.ended;
    exitedWith(0, retried);
    assert.equal(retried.stdout, `${second}\n${second}\ndone\n`);
    const told = await lost.ended;
    exitedWith(1, told);
    assert.equal(told.stdout, `${first}\n`);
    assert.match(told.stderr, /Error: .*Host d went away with it/);

    // The host comes back: what they printed is there again, and their containers go.
    await d.start();
    await agentOn(d);
    assert.equal(await jobs.must('job', 'log', first, ...QUIET), `${first}\n`);
    await jobs.untilNothingLeft();
  });

  async function makeKeys(): Promise<void> {
    const [key, wrong] = [join(MEMORY, 'fleet.key'), join(MEMORY, 'wrong.key')];
    for (const file of [key, wrong]) await jobs.must('secret', 'keygen', file);
    for (const host of jobs.shop.hosts) await copyFile(host === fleet.c ? wrong : key, keyOn(host));
  }

  function keyOn(host: Host): string {
    return join(host.folder, 'own.key');
  }

  async function agentOn(host: Host, ...args: readonly string[]): Promise<void> {
    const env = {
      ...jobs.shop.env,
      GANTRYD_SECRETS_KEY: keyOn(host),
      GANTRYD_SECRETS_DIR: join(MEMORY, host.name),
    };
    const agent = host.agent(['run', PROJECT, '--host-name', host.name, '--json', ...args], { env });
    agents.set(host, agent);
    await agent.says('"kind":"running"', WAIT_MS);
  }

  async function agentKilled(host: Host): Promise<void> {
    agents.get(host)?.signal('SIGKILL');
    await agents.get(host)?.ended;
  }

  async function containersOf(run: string): Promise<readonly ObservedContainer[]> {
    const { a, b, c } = fleet;
    return (await jobs.containers([a, b, c])).filter(({ labels }) => labels[JOB_LABELS.run] === run);
  }

  async function ticking(): Promise<readonly RunValue[]> {
    return (await jobs.runs()).filter(({ schedule }) => schedule?.name === 'tick');
  }

  async function submitted(count: number): Promise<string[]> {
    const store = openStore({ endpoints: jobs.shop.etcd.endpoints });
    try {
      const fleet = { store, keys: keys(), project: PROJECT, by: 'test', now: Date.now };
      const command = ['sh', '-c', 'echo $GANTRYD_RUN >> /evidence/thirty'];
      const step = { image: jobs.image, command, mounts: [jobs.mount] };
      const job = readJob(JSON.stringify({ steps: [step] }), 'thirty.json');
      const ids = Array.from({ length: count }, (_, i) => `thirty-${i}`);
      await Promise.all(ids.map((id) => submitRun(fleet, job, { input: { kind: 'none' }, id })));
      return ids.sort();
    } finally {
      await store.close();
    }
  }

  async function pushSchedules(): Promise<void> {
    const file = join(jobs.client.folder, 'schedules.yml');
    const command = ['sh', '-c', 'echo $GANTRYD_RUN >> /evidence/ticks'];
    const common = { cron: `*/${TICK_MS / 1000} * * * * * *`, timeZone: 'UTC', overlap: 'allow' };
    const tick = {
      ...common,
      name: 'tick',
      image: jobs.image,
      command,
      mounts: [jobs.mount],
    };
    const bad = { ...common, name: 'bad', image: 'localhost:1/none:v1' };
    await writeFile(file, JSON.stringify([tick, bad]));
    const pushed = await jobs.gantryd(['cron', 'push', file]);
    exitedWith(1, pushed);
    assert.match(
      pushed.stdout + pushed.stderr,
      /Created schedule tick\n[\s\S]*bad does not fire: .*localhost:1\/none:v1/,
    );
    assert.match(
      await jobs.must('cron', 'get', 'bad'),
      /Trouble: +The image localhost:1\/none:v1 cannot be had/,
    );
  }
});

function attemptOf({ host, end }: PastAttempt): string {
  return `${host} ${end.kind}`;
}

function sum(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** From the first tick after the push to the last one before the stop. */
function eachTickOnce(seen: readonly string[], pushedAt: number, stoppedAt: number): void {
  const found = seen.map(instantOf).sort((x, y) => x - y);
  const first = found[0] ?? 0;
  const expected = Array.from({ length: found.length }, (_, i) => first + i * TICK_MS);
  assert.deepEqual(found, expected);
  const last = found.at(-1) ?? 0;
  const [late, early] = [first - pushedAt, stoppedAt - last];
  assert.ok(late > 0 && late <= TICK_MS, `the first tick came ${late} ms after the push`);
  assert.ok(early < 2 * TICK_MS, `the last tick was ${early} ms before the stop`);
}

/** Of `tick.20301231T235958Z`. */
function instantOf(run: string): number {
  const [, year, month, day, hour, minute, second] =
    /^tick\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(run) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
