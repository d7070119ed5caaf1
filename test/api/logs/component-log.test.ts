/** What containers print, from a fake engine through the real server of an agent to who asks all of them. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { peerDoor } from '../../../src/api/auth.ts';
import { type FleetLine, fleetLog, type LogsAsked } from '../../../src/api/logs/fleet-log.ts';
import { componentLogRoutes } from '../../../src/api/logs/log-server.ts';
import { type Api, openApi } from '../../../src/api/server.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { GantryError, isGantryError } from '../../../src/errors.ts';
import type { Fleet } from '../../../src/fleet/intents/look.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { host, joins } from '../../fleet/intents/intents-ground.ts';
import { freePort, until } from '../../ground/harness.ts';
import { putIn } from '../../jobs/intents/intents-ground.ts';
import { apiGround } from '../api-ground.ts';
import { PrintingEngine } from './log-ground.ts';

const KEYS = keys();
const SOON = { timeoutMs: 5_000, what: 'the lines' };
const WHOLE = { project: 'shop', component: 'web', hosts: [], follow: false };
const FOLLOW = { ...WHOLE, follow: true };

interface Agent {
  readonly engine: PrintingEngine;
  api: Api;
  /** Ends its API, and begins one with another token. */
  restart(): Promise<void>;
}

interface Ground {
  readonly cluster: MemoryCluster;
  readonly fleet: Fleet;
  agent(name: string): Promise<Agent>;
  /** What is told until the log ends, or, if it is followed, for as long as the test lasts. */
  read(asked: LogsAsked): Told;
}

interface Told {
  readonly lines: FleetLine[];
  readonly texts: () => readonly string[];
  readonly notes: () => readonly string[];
  readonly ended: Promise<void>;
  readonly end: () => void;
}

function ground(t: TestContext): Ground {
  const cluster = new MemoryCluster();
  const store = new MemoryStore(cluster);
  const fleet = { store, keys: KEYS, now: Date.now };
  const config = { format: 1, project: 'shop', file: { components: [{ name: 'web' }, { name: 'db' }] } };
  const at = new Date().toISOString();
  putIn(cluster, KEYS.project('shop').config, { ...config, by: 'somebody', at });
  return {
    ...{ cluster, fleet },
    agent: (name) => agentOn(t, cluster, name),
    read: (asked) => reading(t, fleet, asked),
  };
}

async function agentOn(t: TestContext, cluster: MemoryCluster, name: string): Promise<Agent> {
  const engine = new PrintingEngine();
  joins(cluster, host(name, { id: 'host-1' }));
  const port = await freePort();
  const begin = async (token: string) => {
    const routes = componentLogRoutes({ engine, project: 'shop', hostId: 'host-1' });
    const api = await openApi({ address: '127.0.0.1', port, door: peerDoor(token), routes });
    const value = { format: 1, host: name, address: '127.0.0.1', port, token };
    putIn(cluster, KEYS.project('shop').peer(name), value);
    return api;
  };
  const agent: Agent = {
    engine,
    api: await begin('first'),
    async restart() {
      await agent.api.close();
      agent.api = await begin('second');
    },
  };
  t.after(() => agent.api.close());
  return agent;
}

function reading(t: TestContext, fleet: Fleet, asked: LogsAsked): Told {
  const ended = new AbortController();
  const lines: FleetLine[] = [];
  const run = async () => {
    for await (const line of await fleetLog(fleet, asked, ended.signal)) lines.push(line);
  };
  const running = run();
  t.after(async () => {
    ended.abort();
    await running.catch(() => undefined);
  });
  const texts = () => lines.flatMap((line) => ('text' in line ? [`${line.host} ${line.text}`] : []));
  const notes = () => lines.flatMap((line) => ('note' in line ? [`${line.host} ${line.note}`] : []));
  return { lines, texts, notes, ended: running, end: () => ended.abort() };
}

async function refused(asked: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(asked, (error) => {
    assert.ok(isGantryError(error) && error.code === code, String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe('the logs of a component', () => {
  test('are one log in the order of time, of all its containers on all hosts, and of no other', async (t) => {
    const { agent, read } = ground(t);
    const [a, b] = [await agent('a'), await agent('b')];
    const [first, second, third] = [await a.engine.begin(), await a.engine.begin(), await b.engine.begin()];
    for (const [at, id] of [first, second, first].entries()) a.engine.print(id, at * 2, `${at * 2}`);
    for (const at of [1, 3]) b.engine.print(third, at, `${at}`, 'stderr');
    a.engine.print(await a.engine.begin('another state directory'), 1, 'foreign');
    a.engine.print(await a.engine.begin('host-1', 'db'), 1, 'foreign');
    a.engine.die(second);
    const told = read(WHOLE);
    await told.ended;
    assert.deepEqual(told.texts(), ['a 0', 'b 1', 'a 2', 'b 3', 'a 4']);
    const counts = told.lines.flatMap((line) => ('containers' in line ? [line.containers] : []));
    assert.deepEqual(counts.sort(), [1, 2]);
    assert.deepEqual(told.lines[3], {
      ...{ host: 'b', container: third.slice(0, 12), release: 7, stream: 'stderr' },
      ...{ time: '2030-01-01T00:00:01.000000000Z', text: '1' },
    });
    const ended = [...a.engine.calls, ...b.engine.calls].filter((call) => !/^(create|start|c)/.test(call));
    assert.deepEqual(ended, [], 'and nothing else was asked of the engine');
  });

  test('begin where they are asked to', async (t) => {
    const { agent, read } = ground(t);
    const { engine } = await agent('a');
    const [one, two] = [await engine.begin(), await engine.begin()];
    for (const at of [0, 10, 20]) engine.print(one, at, `one ${at}`);
    for (const at of [1, 11]) engine.print(two, at, `two ${at}`);
    const tail = read({ ...WHOLE, tail: 1 });
    const since = read({ ...WHOLE, since: Date.UTC(2030, 0, 1, 0, 0, 11) });
    const none = read({ ...WHOLE, tail: 0 });
    await Promise.all([tail.ended, since.ended, none.ended]);
    assert.deepEqual(tail.texts(), ['a two 11', 'a one 20']);
    assert.deepEqual(since.texts(), ['a two 11', 'a one 20']);
    assert.deepEqual(none.texts(), []);
  });

  test('are followed, with containers that start later, and to the end of those that end', async (t) => {
    const { agent, read } = ground(t);
    const { engine } = await agent('a');
    engine.lost = 1;
    const old = await engine.begin();
    engine.print(old, 0, 'was');
    const told = read({ ...FOLLOW, tail: 5 });
    await until(() => told.texts().length === 1, SOON);
    const next = await engine.begin();
    engine.print(next, 2, 'new');
    engine.print(old, 1, 'comes');
    await until(() => told.texts().length === 3, SOON);
    engine.print(old, 3, 'last words');
    engine.die(old);
    await until(() => told.texts().includes('a last words'), SOON);
    engine.print(next, 4, 'goes on');
    await until(() => told.texts().includes('a goes on'), SOON);
    assert.deepEqual(
      [...told.texts()].sort(),
      ['a was', 'a new', 'a comes', 'a last words', 'a goes on'].sort(),
    );
    told.end();
    await told.ended;
    await until(() => engine.reading === 0, { ...SOON, what: 'the logs to be let go of' });
  });

  test('go on across a restart of the agent, with nothing lost or twice', async (t) => {
    const { agent, read } = ground(t);
    const one = await agent('a');
    const id = await one.engine.begin();
    for (const at of [0, 1, 1]) one.engine.print(id, at, `${at}`);
    const told = read({ ...FOLLOW, tail: 2 });
    await until(() => told.texts().length === 2, SOON);
    const restarted = one.restart();
    one.engine.print(id, 1, '1 again');
    await restarted;
    await until(() => told.texts().length === 3, SOON);
    one.engine.print(id, 2, '2');
    await until(() => told.texts().length === 4, SOON);
    assert.deepEqual(told.texts(), ['a 1', 'a 1', 'a 1 again', 'a 2']);
    const [cut, back] = told.notes();
    assert.match(cut ?? '', /^a a, which has the logs of web there, does not answer/);
    assert.equal(back, 'a its log goes on');
  });

  test('are followed on hosts that join later, from all that is there, and on no other', async (t) => {
    const { agent, read, cluster } = ground(t);
    const one = await agent('a');
    one.engine.print(await one.engine.begin(), 0, 'first');
    const [all, some] = [read(FOLLOW), read({ ...FOLLOW, hosts: ['a'] })];
    await until(() => all.texts().length === 1, SOON);
    joins(cluster, host('slow')); // its agent listens nowhere yet
    joins(cluster, host('other', { components: ['db'] }));
    const two = await agent('b');
    const id = await two.engine.begin();
    two.engine.print(id, 1, 'second');
    await until(() => all.texts().includes('b second'), SOON);
    joins(cluster, host('b', { id: 'host-1', components: ['web', 'db'] }));
    two.engine.print(id, 2, 'third');
    await until(() => all.texts().includes('b third'), SOON);
    assert.deepEqual(all.texts(), ['a first', 'b second', 'b third']);
    assert.deepEqual(some.texts(), ['a first']);
    assert.deepEqual(
      all.notes().filter((note) => !note.startsWith('slow ')),
      [],
    );
  });

  test('tell which host could not be asked, and show the others', async (t) => {
    const { agent, read, cluster } = ground(t);
    const [a, b] = [await agent('a'), await agent('b')];
    joins(cluster, host('c'));
    a.engine.print(await a.engine.begin(), 0, 'here');
    b.engine.failNext('containers', new GantryError('engine-unreachable', 'No Docker engine answers.'));
    const told = read(WHOLE);
    await told.ended;
    assert.deepEqual(told.texts(), ['a here']);
    const notes = [...told.notes()].sort();
    assert.equal(notes[0], 'b No Docker engine answers.');
    assert.match(notes[1] ?? '', /^c the agent of c does not answer commands\. One that is just starting/);
  });

  test('are refused where nobody has them', async (t) => {
    const { agent, fleet } = ground(t);
    const never = new AbortController().signal;
    const ask = (over: Partial<LogsAsked>) => fleetLog(fleet, { ...WHOLE, ...over }, never);
    await refused(ask({}), 'no-hosts', /No live host runs web/);
    await agent('alpha');
    await refused(ask({ project: 'bakery' }), 'project-unknown', /bakery/);
    await refused(ask({ component: 'wbe' }), 'component-unknown', /did you mean "web"\?/);
    await refused(ask({ hosts: ['alpa'] }), 'usage', /no live host alpa; did you mean "alpha"\?/);
  });

  test('make a container wait for who reads slowly, and who is cut off meanwhile misses nothing', async (t) => {
    const { agent, fleet } = ground(t);
    const one = await agent('a');
    const { engine } = one;
    const id = await engine.begin();
    const text = 'x'.repeat(16 * 1024);
    for (let at = 0; at < 2_000; at++) engine.print(id, at, text);
    const ended = new AbortController();
    const lines = await fleetLog(fleet, WHOLE, ended.signal);
    await lines.next();
    await lines.next();
    let taken = -1;
    const isStill = () => {
      const before = taken;
      taken = engine.taken;
      return before === taken;
    };
    await until(isStill, { ...SOON, what: 'nothing to move any more' });
    assert.ok(taken < 1_900, `${taken} of 2000 lines were taken with one of them read`);
    await one.restart();
    const times: string[] = [];
    for await (const line of lines) if ('time' in line) times.push(line.time);
    assert.deepEqual([times.length, new Set(times).size], [1_999, 1_999]);
    const left = await fleetLog(fleet, WHOLE, ended.signal);
    await left.next();
    await left.return();
    await until(() => engine.reading === 0, { ...SOON, what: 'the logs to be let go of' });
  });

  test('are served to programs, line by line', async (t) => {
    const api = await apiGround(t);
    const { cluster } = api.around.store;
    const { engine } = await agentOn(t, cluster, 'a');
    engine.print(await engine.begin(), 0, 'hello');
    const [deploy, read] = [await api.token('deploy'), await api.token('read', ['shop'])];
    const config = { components: [{ name: 'web', repo: 'web' }] };
    await api.ask('PUT', '/v1/projects/shop/config', { token: deploy, body: config });
    const path = '/v1/projects/shop/components/web/logs';
    const answer = await fetch(`${api.url}${path}`, { headers: { authorization: `Bearer ${read}` } });
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
    const [line, end] = (await answer.text())
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text));
    assert.deepEqual([line.host, line.text, end], ['a', 'hello', { end: true }]);
    const strange = await api.ask('GET', `${path}?host=b`, { token: read });
    assert.deepEqual([strange.status, strange.body.code], [400, 'usage']);
    const other = await api.ask('GET', '/v1/projects/bakery/components/web/logs', { token: read });
    assert.equal(other.status, 403);
  });
});
