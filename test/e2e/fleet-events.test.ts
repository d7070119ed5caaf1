/** What happens in a fleet is kept, told to who follows and to whom the config names, and who asked for it is known. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { signatureOf } from '../../src/checks/webhook.ts';
import { until } from '../ground/harness.ts';
import type { Running } from '../ground/processes.ts';
import {
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { exitedWith } from './shop.ts';

const PORT = 9009;
const SECRET = 'hunter2';
const ENDS = { command: ['/bin/node', '-e', 'process.exit(7)'], readyTimeout: 10_000 };

interface Told {
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

describe('events of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let office: Running;
  let url: string;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'], places: ['office'] });
    const place = shop.fleet.place('office');
    const receiver = join(import.meta.dirname, 'receiver-process.js');
    office = place.spawn(process.execPath, [receiver, place.address, String(PORT)]);
    await office.says('listens', WAIT_MS);
    url = `http://${place.address}:${PORT}/hook`;
  });
  after(() => endings.run());

  function received(): readonly Told[] {
    const lines = office.stdout.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Told);
  }

  async function deploy(version: string, web: ComponentFile = {}) {
    await shop.setConfig(version, web);
    const file = join(shop.first.folder, 'told.json');
    const stored = JSON.parse(await shop.must('getconfig'));
    const notify = [{ url, on: ['failed-deploy', 'rollback'], secret: 'hook' }];
    await writeFile(file, JSON.stringify({ ...stored, notify }));
    await shop.must('setconfig', file);
    return shop.gantryd('update', '--wait');
  }

  async function startAgents(): Promise<void> {
    const key = join(shop.first.folder, 'fleet.key');
    const env = { ...shop.env, GANTRYD_SECRETS_KEY: key };
    exitedWith(0, await shop.first.gantryd(['secret', 'keygen', key], { env }));
    for (const host of shop.hosts) {
      const agent = host.agent(['run', PROJECT, '--host-name', host.name], { env });
      await agent.says('Gantryd running', WAIT_MS);
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
});
