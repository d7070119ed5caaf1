/**
 * The hosts of a fleet get a release's image from a registry, and that very image or none: by digest, whatever happens
 * to the tag. As long as one host lacks it nothing switches anywhere, and clients on no host notice.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { ReleaseValue } from '../../src/cluster/values.ts';
import { dockerCall, removeContainer } from '../ground/docker.ts';
import { type Gate, openGate } from '../ground/gate.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import {
  moveTag,
  push,
  type Registry,
  registry,
  skipWithoutRegistry,
  withOwnLayer,
} from '../ground/registry.ts';
import {
  type Agent,
  APP,
  type ComponentFile,
  Endings,
  type FleetShop,
  openFleetShop,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { allAnswering, rolloutOf, turns, untilAnswering, untilOn } from './fleet-acts.ts';
import { endsWhole, isStep, KEYS } from './fleet-faults.ts';
import { exitedWith, lostNothing } from './shop.ts';

const USER = { username: 'ann', password: 'se:cret' };
/** Less than an image's own layer. */
const CUT_BYTES = 1024 * 1024;
/** Nothing of a release before is left. */
const QUICK: ComponentFile = { update: { monitor: 0, keepOld: 0 } };

describe('images of a fleet', { skip: skipWithoutFleet || skipWithoutRegistry }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let open: Registry;
  let gate: Gate;
  /** Of the open registry, by its gate. */
  let name: string;
  let a: Host;
  let others: readonly Host[];
  let agents: readonly Agent[];
  /** One fleet for all: each test goes on from the release that the one before has left. */
  before(async () => {
    shop = await openFleetShop(endings, { places: ['registry'] });
    a = shop.fleet.host('a');
    others = shop.hosts.filter((host) => host !== a);
    open = await registry(endings, undefined, placeOf());
    gate = await openGate(endings, placeOf(), Number(open.address.split(':')[1]));
    name = `${placeOf().address}:${gate.port}`;
    agents = await shop.agents();
    await shop.deploy('v1', QUICK);
  });
  after(() => endings.run());
  afterEach(() => gate.open());

  function placeOf() {
    const { address, prefix } = shop.fleet.place('registry');
    return { address, prefix, docker: a.docker };
  }

  /** On host a only; answers its id. */
  function make(repo: string, tag: string): Promise<string> {
    return withOwnLayer(a.docker, `${APP.repo}:${APP.tag}`, repo, tag);
  }

  /** The image of every component by another name, on host a only; answers the repository. */
  async function tagged(repo: string, tag: string): Promise<string> {
    const query = new URLSearchParams({ repo, tag });
    await dockerCall('POST', `/images/${APP.repo}:${APP.tag}/tag?${query}`, undefined, [201], a.docker);
    return repo;
  }

  /** The image ids of what runs of `web`, by host. */
  async function running(): Promise<Readonly<Record<string, readonly string[]>>> {
    const imageOf = async (host: Host, id: string) => {
      const { Image } = (await dockerCall(
        'GET',
        `/containers/${id}/json`,
        undefined,
        [200],
        host.docker,
      )) as {
        Image: string;
      };
      return Image;
    };
    const told = shop.hosts.map(async (host) => {
      const all = (await shop.containers(host)).filter((c) => c.state === 'running');
      return [host.name, await Promise.all(all.map((c) => imageOf(host, c.id)))] as const;
    });
    return Object.fromEntries(await Promise.all(told));
  }

  /** This image, and when the others have drained no other. */
  async function untilRuns(id: string): Promise<void> {
    const wanted = JSON.stringify(everywhere(id));
    const is = async () => JSON.stringify(await running()) === wanted;
    await until(is, { timeoutMs: WAIT_MS, what: `nothing to run but ${wanted}` });
  }

  function pulled(host: Host): readonly unknown[] {
    const events = agents.find((agent) => agent.host === host)?.events('image-pulling') ?? [];
    return events.map((e) => e.image);
  }

  /** The release that serves everywhere, and what the next update will make. */
  async function releases(): Promise<{ readonly now: number; readonly next: number }> {
    const made = await shop.values<ReleaseValue>(KEYS.releases('web').from);
    const serving = new Set((await shop.statuses()).map((s) => s.serving));
    const [now = 0, ...others] = serving;
    assert.deepEqual(others, [], 'all hosts serve one release');
    return { now, next: Math.max(...made.map(({ number }) => number)) + 1 };
  }

  const everywhere = (id: string) => Object.fromEntries(shop.hosts.map((host) => [host.name, [id]]));
  const waitsForImage = (host: Host) =>
    untilOn(shop, host, 'waits for its next try', (s) => s.phase === 'preparing' && s.retryAt !== undefined);

  test('a registry that is away: the rollout waits, tells why, and then has what was meant', async (t) => {
    const repo = `${name}/away`;
    const id = await make(repo, 'v2');
    await push(a.docker, repo, 'v2');
    assert.notEqual(await make(repo, 'other'), id);
    await push(a.docker, repo, 'other');
    const before = await allAnswering(shop);
    const { now, next } = await releases();
    const loads = await shop.loads(t);
    await gate.shut();
    await shop.setConfig('away', { ...QUICK, repo, tag: 'v2' });
    await shop.must('update');
    for (const host of others) {
      const status = await waitsForImage(host);
      assert.match(status.why, /The pull of .*\/away@sha256:[0-9a-f]+ failed: .*refused/);
      assert.equal(status.serving, now);
    }
    const why = await shop.must('why', '-c', 'web');
    assert.match(why, /The rollout, begun .* ago, is preparing/);
    assert.match(why, /Prepared: a\./);
    assert.match(why, /^ {2}The pull of .* failed: .*connection refused.*Check the network/m);
    assert.match(why, /^ {2}next step (now|in \d+ s)/m);
    assert.deepEqual(await allAnswering(shop), before, 'nothing has switched');

    // Meanwhile somebody gives the tag to another image.
    await moveTag(open.address, 'away', 'other', 'v2');
    await gate.open();
    await endsWhole(shop, { release: next, version: 'away', loads });
    assert.deepEqual(await running(), everywhere(id));
    for (const host of others)
      assert.match(String(pulled(host).at(-1)), /\/away@sha256:[0-9a-f]{64}$/, 'by digest');
    assert.deepEqual(pulled(a), [], 'where the image was');
  });

  test('a registry that says nothing: the rollout waits, and goes on by itself', async () => {
    const repo = `${name}/mute`;
    const id = await make(repo, 'v2');
    await push(a.docker, repo, 'v2');
    const before = await allAnswering(shop);
    const { next } = await releases();
    await gate.mute();
    await shop.setConfig('mute', { ...QUICK, repo, tag: 'v2' });
    await shop.must('update');
    for (const host of others) await untilOn(shop, host, 'fetches', (s) => s.why === `fetching ${repo}:v2`);
    const isPrepared = async () => (await turns(shop)).map((turn) => turn.host).join() === 'a';
    await until(isPrepared, { timeoutMs: WAIT_MS, what: 'a to be in the queue, alone' });
    assert.match(await shop.must('why', '-c', 'web', '--host', 'b'), /^ {2}fetching .*\/mute:v2$/m);
    assert.deepEqual(await allAnswering(shop), before, 'nothing has switched');
    await gate.open();
    await endsWhole(shop, { release: next, version: 'mute', loads: [] });
    assert.deepEqual(await running(), everywhere(id));
  });

  test('a pull that breaks off half-way is tried again, and starts nothing', async (t) => {
    const repo = `${name}/cut`;
    const id = await make(repo, 'v2');
    await push(a.docker, repo, 'v2');
    const { next } = await releases();
    const loads = await shop.loads(t);
    await gate.cutAfter(CUT_BYTES);
    await shop.setConfig('cut', { ...QUICK, repo, tag: 'v2' });
    await shop.must('update');
    for (const host of others) assert.match((await waitsForImage(host)).why, /The pull of .* failed/);
    assert.equal((await rolloutOf(shop)).state, 'preparing');
    for (const host of shop.hosts) assert.equal((await shop.containers(host)).length, 1);
    await gate.open();
    await endsWhole(shop, { release: next, version: 'cut', loads });
    assert.deepEqual(await running(), everywhere(id));
  });

  test('one that is gone from a host is fetched again, wherever its tag has moved', async () => {
    const repo = `${name}/gone`;
    const id = await make(repo, 'v2');
    await push(a.docker, repo, 'v2');
    await make(repo, 'other');
    await push(a.docker, repo, 'other');
    await shop.deploy('gone', { ...QUICK, repo, tag: 'v2' });
    await moveTag(open.address, 'gone', 'other', 'v2');
    const b = shop.fleet.host('b');
    const agent = agents.find(({ host }) => host === b);
    agent?.signal('SIGKILL');
    await agent?.ended;
    for (const container of await shop.containers(b)) await removeContainer(container.id, b.docker);
    await dockerCall('DELETE', `/images/${id}?force=1`, undefined, [200], b.docker);
    const again = await shop.agent(b);
    agents = [...agents.filter(({ host }) => host !== b), again];
    await untilRuns(id);
    await untilAnswering(shop, 'gone');
  });

  test('one that was never pushed fails before anything switches, and says so', async (t) => {
    const repo = `${name}/never`;
    await make(repo, 'v2');
    const before = await allAnswering(shop);
    const { now, next } = await releases();
    const loads = await shop.loads(t);
    await shop.setConfig('never', { ...QUICK, repo, tag: 'v2' });
    const update = await shop.gantryd('update', '--wait');
    exitedWith(1, update);
    assert.match(
      update.stderr,
      new RegExp(`was rolled back to release ${now}: [bc]: Neither this host nor a registry has`),
    );
    assert.match(update.stderr, new RegExp(`Was it pushed\\? Push ${repo}:v2, or load it on every host`));
    await unchanged(before, next);
    for (const load of loads) await lostNothing(load);
    const failed = new RegExp(`^${next} .* failed: [bc]: .*Was it pushed\\?`, 'm');
    assert.match(await shop.must('history', '-c', 'web'), failed);
  });

  test('where the registry has another one under that name, it is not run', async () => {
    const repo = `${name}/other`;
    await make(repo, 'other');
    await push(a.docker, repo, 'other');
    await moveTag(open.address, 'other', 'other', 'v2');
    await make(repo, 'v2');
    const before = await allAnswering(shop);
    const { next } = await releases();
    await shop.setConfig('other', { ...QUICK, repo, tag: 'v2' });
    const update = await shop.gantryd('update', '--wait');
    exitedWith(1, update);
    assert.match(
      update.stderr,
      new RegExp(`[bc]: .*/other:v2 is [0-9a-f]{12} in the registry, but release ${next} was made from`),
    );
    assert.match(update.stderr, /Was it pushed\? Push .*\/other:v2 and run update again/);
    await unchanged(before, next);
  });

  test('a registry with a password is asked with what the Docker config file of each host holds', async () => {
    // What it shares with the open one need not be packed again.
    await push(a.docker, await tagged(`${name}/app`, 'base'), 'base');
    const closed = await registry(endings, USER, placeOf(), open.data);
    const repo = `${closed.address}/app`;
    const id = await make(repo, 'v2');
    await push(a.docker, repo, 'v2', USER);
    const auth = Buffer.from(`${USER.username}:${USER.password}`).toString('base64');
    const knows = async (file: string) => {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, JSON.stringify({ auths: { [closed.address]: { auth } } }));
    };
    // An agent's own is that of its user, whose home the state directory is here.
    const own = ({ stateDir }: Host) => join(stateDir, '.docker', 'config.json');
    await knows(own(shop.fleet.host('b')));
    const before = await allAnswering(shop);
    const { next } = await releases();
    await shop.setConfig('v2', { ...QUICK, repo, tag: 'v2' });
    const refused = await shop.gantryd('update', '--wait');
    exitedWith(1, refused);
    assert.match(
      refused.stderr,
      /c: The registry refused the pull of .*\/app@sha256:.*: .*[\s\S]*docker login.*registryAuth/,
    );
    await unchanged(before, next);

    await knows(own(shop.fleet.host('c')));
    await shop.must('update', '--wait');
    await untilRuns(id);

    const newer = await make(repo, 'v3');
    await push(a.docker, repo, 'v3', USER);
    for (const host of others) await writeFile(own(host), '{}');
    const registryAuth = join(a.folder, 'auth.json');
    await knows(registryAuth);
    await shop.deploy('v3', { ...QUICK, repo, tag: 'v3', registryAuth });
    await untilRuns(newer);
  });

  /** The containers that served before do so, and no host was given the release. */
  async function unchanged(before: Readonly<Record<string, string>>, failed: number): Promise<void> {
    assert.deepEqual(await allAnswering(shop), before);
    for (const agent of agents)
      assert.deepEqual(agent.events('rollout-step').filter(isStep('adopt', failed)), []);
    const over = async () => (await rolloutOf(shop)).state === 'done';
    await until(over, { timeoutMs: WAIT_MS, what: 'the rollback to be done' });
  }
});
