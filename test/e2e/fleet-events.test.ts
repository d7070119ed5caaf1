/** What happens in a fleet is kept, told to who follows and to whom the config names, and who asked for it is known. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { POST_TIMEOUT_MS, signatureOf } from '../../src/checks/webhook.ts';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Running } from '../ground/processes.ts';
import { openTcp } from '../ground/streams.ts';
import {
  APP,
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { exitedWith, jsonLines, opened, releaseOf } from './shop.ts';

const PORT = 9009;
const SECRET = 'hunter2';
/** The least that the config takes. */
const LONG_DRAIN_MS = 1_000;
/** An agent that ends gives what waits 3 s. */
const MOST_TO_END_MS = 8_000;
const ENDS = { command: ['/bin/node', '-e', 'process.exit(7)'], readyTimeout: 10_000 };

interface Told {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

describe('events of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let office: Running;
  let url: string;
  const agents: Running[] = [];
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'], places: ['office'] });
    const place = shop.fleet.place('office');
    const receiver = join(import.meta.dirname, 'receiver-process.js');
    office = place.spawn(process.execPath, [receiver, place.address, String(PORT)]);
    await office.says('listens', WAIT_MS);
    url = `http://${place.address}:${PORT}`;
  });
  after(() => endings.run());

  function received(path = '/hook'): readonly Told[] {
    const whole = office.stdout.slice(0, office.stdout.lastIndexOf('\n') + 1);
    const lines = whole.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Told).filter((told) => told.path === path);
  }

  /** What was told for this, at an address; once there is any. */
  async function told(occasion: string, path = '/hook', count = 1): Promise<readonly Told[]> {
    const those = () => received(path).filter(({ text }) => JSON.parse(text).on === occasion);
    await until(() => those().length >= count, {
      timeoutMs: WAIT_MS,
      what: `${path} to be told ${occasion}`,
    });
    return those();
  }

  async function deploy(version: string, web: ComponentFile = {}, notify = [ofFailures()]) {
    await shop.setConfig(version, web);
    const file = join(shop.first.folder, 'told.json');
    const stored = JSON.parse(await shop.must('getconfig'));
    await writeFile(file, JSON.stringify({ ...stored, notify }));
    await shop.must('setconfig', file);
    return shop.gantryd('update', '--wait');
  }

  function ofFailures(): object {
    return { url: `${url}/hook`, on: ['failed-deploy', 'rollback'], secret: 'hook' };
  }

  async function startAgents(): Promise<void> {
    const key = join(shop.first.folder, 'fleet.key');
    const env = { ...shop.env, GANTRYD_SECRETS_KEY: key };
    exitedWith(0, await shop.first.gantryd(['secret', 'keygen', key], { env }));
    for (const host of shop.hosts) {
      const agent = host.agent(['run', PROJECT, '--host-name', host.name], { env });
      await agent.says('Gantryd running', WAIT_MS);
      agents.push(agent);
    }
    const published = async () =>
      (await shop.values(`/gantryd/projects/${PROJECT}/secrets-key`)).length === 1;
    await until(published, { timeoutMs: WAIT_MS, what: 'a key' });
    const set = ['secret', 'set', PROJECT, 'hook'];
    exitedWith(0, await shop.first.gantryd(set, { env: shop.env, input: SECRET }));
  }

  test('a failed deploy is told once, signed; who follows sees it, and who asked is known', async () => {
    await startAgents();
    const following = shop.begin('events', '-f', '--audit');
    exitedWith(0, await deploy('v1'));
    exitedWith(1, await deploy('v2', ENDS));
    await until(() => received().length === 2, { timeoutMs: WAIT_MS, what: 'both that are told' });

    // By whichever hosts decided, so in whichever order they come.
    const told = received().map(({ text }) => JSON.parse(text));
    told.sort((one, other) => (one.on < other.on ? -1 : 1));
    assert.deepEqual(
      told.map(({ on, component, project }) => [on, component, project]),
      [
        ['failed-deploy', 'web', PROJECT],
        ['rollback', 'web', PROJECT],
      ],
    );
    assert.match(
      told[0].text,
      /^The rollout of release 2 of web failed, all hosts go back to release 1: [ab]: /,
    );
    for (const { headers, text } of received())
      assert.equal(headers['x-gantryd-signature'], signatureOf(text, Buffer.from(SECRET)));

    const decided = () =>
      following.events('rollout-decided').map((e) => (e.event as { decision: string }).decision);
    await until(() => decided().length === 3, { timeoutMs: WAIT_MS, what: 'what was decided' });
    assert.deepEqual(decided().sort(), ['completed', 'returned', 'taken-back']);
    const asked = following.events('asked').map(({ action }) => action);
    assert.deepEqual(asked, [
      'secret set',
      ...['setconfig', 'setconfig', 'update'],
      ...['setconfig', 'setconfig', 'update'],
    ]);

    const words = await shop.must('events', '--audit', '-c', 'web');
    assert.match(words, /^\S+Z \S+@a asked: update web \(release 2, image gantryd-e2e-fleet:app\)$/m);
    assert.match(words, /^\S+Z [ab] \[web\] Release 2 failed: container \S+ exited .*\n {2}exit code 7$/m);
    const all = await shop.etcd.control('get', '--prefix', `/gantryd/projects/${PROJECT}/`);
    assert.ok(!all.includes(SECRET));
  });

  test('a long drain, a failed run and a mass failure are told, whatever other receivers do', async (t) => {
    const [a, b] = shop.hosts;
    assert.ok(a !== undefined && b !== undefined);
    const to = { secret: 'hook', drainLongerThan: LONG_DRAIN_MS };
    const paths = ['/hangs', '/gone', '/hook'];
    const all = paths.map((path) => ({ ...to, url: `${url}${path}` }));
    const notify = [...all, { ...to, url: `${url}/flaky`, on: ['mass-failure'] }];
    const held = await opened(t, openTcp(shop.tcp(a)));
    const begun = performance.now();
    exitedWith(0, await deploy('v3', { instances: 3, update: { monitor: 0, keepOld: 0 } }, notify));
    const run = ['job', 'run', '--project', PROJECT, '--image', `${APP.repo}:${APP.tag}`];
    const failing = ['--command', '/bin/node --no-such-option'];
    exitedWith(9, await a.gantryd([...run, ...failing], { env: shop.env }));
    const three = (await shop.containers(b)).filter((container) => releaseOf(container) === 3);
    for (const { id } of three)
      await dockerCall('POST', `/containers/${id}/kill`, undefined, [204], b.docker);

    const [drain, ...drains] = await told('long-drain');
    const [failed, ...runs] = await told('failed-run');
    const [mass, ...more] = await told('mass-failure');
    const tries = await told('mass-failure', '/flaky', 3);
    assert.deepEqual([drains, runs, more], [[], [], []], 'each is told once');
    assert.equal(tries.length, 3);
    assert.equal(new Set(tries.map(({ headers }) => headers['x-gantryd-delivery'])).size, 1);
    const hung = received('/hangs').map(({ text }) => JSON.parse(text).host);
    assert.deepEqual([...new Set(hung)].sort(), ['a', 'b']);
    const inTurn = 1 + Math.floor((performance.now() - begun) / POST_TIMEOUT_MS);
    assert.ok(hung.length <= 2 * inTurn, `${hung}: one try of each host at a time`);
    for (const one of [drain, failed, mass, ...tries])
      assert.equal(one?.headers['x-gantryd-signature'], signatureOf(one?.text ?? '', Buffer.from(SECRET)));
    const words = [drain, failed, mass].map((one) => JSON.parse(one?.text ?? '{}'));
    assert.deepEqual([words[0].host, words[2].host], ['a', 'b']);
    assert.deepEqual(
      words.map(({ component }) => component),
      ['web', '', 'web'],
    );
    assert.match(words[0].text, /^Container [0-9a-f]{12} drains for longer than 1 s$/);
    assert.match(words[2].text, /^[23] of 3 containers failed together/);
    await held.stop();
  });

  test('who is not told for good is told of once, and an agent ends while a receiver hangs', async () => {
    const refused = async () => {
      const rows = jsonLines(await shop.must('events', '--json'));
      const those = rows.filter((row) => row.kind === 'trouble' && /answered 410/.test(String(row.text)));
      return those.map(({ host }) => host).sort();
    };
    await until(async () => (await refused()).length >= 2, { timeoutMs: WAIT_MS, what: 'both to say so' });
    assert.deepEqual(await refused(), ['a', 'b']);
    const began = performance.now();
    for (const agent of agents) agent.signal('SIGTERM');
    for (const agent of agents) exitedWith(0, await agent.ended);
    assert.ok(performance.now() - began < MOST_TO_END_MS, `${performance.now() - began} ms`);
  });
});
