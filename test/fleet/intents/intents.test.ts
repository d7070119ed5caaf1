/** What update, rollback, stop and kill must write, and what they must refuse. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isGantryError } from '../../../src/errors.ts';
import { rollback, setStatus, update } from '../../../src/fleet/intents/intents.ts';
import { pauseRollout, resumeRollout } from '../../../src/fleet/intents/steer.ts';
import { getConfig, setConfig } from '../../../src/fleet/intents/stored-config.ts';
import { RELEASES_KEPT } from '../../../src/fleet/releases.ts';
import {
  AT,
  AT_KEYS,
  ask,
  complete,
  configure,
  container,
  desiredIn,
  type Ground,
  ground,
  outcomesIn,
  PROJECT,
  putIn,
  releaseIn,
  releasesIn,
  resolve,
  rolloutIn,
  shipped,
  shop,
  status,
  tells,
  updateOf,
  writeRollout,
} from './intents-ground.ts';

const WEB_NEEDS_DB = [
  { name: 'web', requireComponentLinks: [{ name: 'sql', alias: 'DB' }] },
  { name: 'db', defineComponentLinks: [{ name: 'sql', port: 5432 }] },
];
const CIRCLE = [
  {
    name: 'a',
    defineComponentLinks: [{ name: 'of-a', port: 1 }],
    requireComponentLinks: [{ name: 'of-b', alias: 'B' }],
  },
  {
    name: 'b',
    defineComponentLinks: [{ name: 'of-b', port: 2 }],
    requireComponentLinks: [{ name: 'of-a', alias: 'A' }],
  },
];

const refused =
  (code: Parameters<typeof isGantryError>[1], ...says: readonly string[]) =>
  (error: unknown) => {
    assert.ok(isGantryError(error, code), String(error));
    for (const words of says) assert.ok(`${error.message} ${error.hint}`.includes(words), error.message);
    return true;
  };

describe('update', () => {
  test('makes release 1, wants it, and begins its rollout', async () => {
    const { fleet, cluster } = await shop('web');
    const { changes, warnings } = await update(fleet, { ...updateOf(), note: 'first' });
    assert.deepEqual(changes, [
      {
        component: 'web',
        release: 1,
        generation: 1,
        changed: true,
        image: { name: 'web:latest', id: 'sha256:web:latest', digests: [] },
      },
    ]);
    assert.deepEqual(warnings, []);
    const { id, ...desired } = desiredIn(cluster, 'web');
    assert.deepEqual(desired, {
      ...{ format: 1, status: 'ready', release: 1, generation: 1, by: 'ann@desk', at: AT },
    });
    assert.deepEqual(rolloutIn(cluster, 'web'), {
      ...{ format: 1, generation: 1, release: 1, from: 0, kind: 'update', state: 'preparing', attempt: 1 },
      ...{ after: [], by: 'ann@desk', at: AT },
    });
    const release = releaseIn(cluster, 'web', 1);
    assert.deepEqual([release.number, release.note, release.id], [1, 'first', id]);
    assert.deepEqual([release.spec.name, release.spec.image], ['web', 'web:latest']);
    assert.equal(release.limits.connectTimeoutMs, 5000);
  });

  test('of what served everywhere returns to it on failure', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await update(all.fleet, updateOf());
    assert.equal(rolloutIn(all.cluster, 'web').from, 1);
  });

  test('during a rollout returns to where that one returned to', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await update(all.fleet, updateOf());
    await update(all.fleet, updateOf());
    const { from, release, generation } = rolloutIn(all.cluster, 'web');
    assert.deepEqual([from, release, generation], [1, 3, 3]);
  });

  test('during a rollback returns to what it goes back to', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await shipped(all, 'web');
    await rollback(all.fleet, ask());
    await update(all.fleet, updateOf());
    assert.equal(rolloutIn(all.cluster, 'web').from, 1);
  });

  test('of a component that is stopped returns to nothing', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    await update(all.fleet, updateOf());
    assert.equal(rolloutIn(all.cluster, 'web').from, 0);
  });

  test('whose release was never proven and has no rollout returns to the newest that was', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await update(all.fleet, updateOf());
    all.cluster.commit([], [{ kind: 'delete', key: AT_KEYS.rollout('web') }]);
    await update(all.fleet, updateOf());
    assert.equal(rolloutIn(all.cluster, 'web').from, 1);
  });

  test('gives no number twice, whatever etcd has lost', async () => {
    const { fleet, cluster } = await shop('web');
    tells(cluster, 'web', status('h1', { known: { release: 41, generation: 70 } }));
    tells(cluster, 'web', status('h2', { generation: 80, containers: [container(45)] }));
    const { changes } = await update(fleet, updateOf());
    assert.deepEqual(
      changes.map((c) => [c.release, c.generation]),
      [[46, 81]],
    );
  });

  test('after etcd was restored is above what hosts have followed', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const backup = all.cluster.snapshot();
    const second = await shipped(all, 'web');
    tells(all.cluster, 'web', status('h1', { generation: 2, serving: second }));
    const told = status('h1', { generation: 2, serving: second });
    all.cluster.restore(backup);
    tells(all.cluster, 'web', told);
    const { changes } = await update(all.fleet, updateOf());
    assert.deepEqual(
      changes.map((c) => [c.release, c.generation]),
      [[3, 3]],
    );
  });

  test('replaces what somebody damaged, above every number that is left', async () => {
    const { fleet, cluster } = await shop('web');
    cluster.commit([], [{ kind: 'put', key: AT_KEYS.desired('web'), value: '{"status":' }]);
    cluster.commit([], [{ kind: 'put', key: AT_KEYS.release('web', 7), value: 'oops' }]);
    await update(fleet, updateOf());
    assert.equal(desiredIn(cluster, 'web').release, 8);
  });

  test('keeps the newest releases and those that something stands on', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    for (let n = 2; n <= RELEASES_KEPT + 4; n++) {
      if (n === 3) tells(all.cluster, 'web', status('slow', { serving: 2, generation: 2 }));
      await update(all.fleet, updateOf());
    }
    const newest = Array.from({ length: RELEASES_KEPT }, (_, i) => i + 5);
    assert.deepEqual(releasesIn(all.cluster, 'web'), [1, 2, ...newest]);
    complete(all.cluster, 'web');
    await update(all.fleet, updateOf());
    assert.deepEqual(releasesIn(all.cluster, 'web'), [2, ...newest.slice(1), RELEASES_KEPT + 5]);
    assert.deepEqual(
      outcomesIn(all.cluster, 'web'),
      [RELEASES_KEPT + 4],
      'the outcome goes with its release',
    );
  });

  test('of several puts the exporter first, and lets who needs it wait', async () => {
    const { fleet, cluster } = await shop(...WEB_NEEDS_DB);
    const { changes } = await update(fleet, updateOf());
    assert.deepEqual(
      changes.map((c) => c.component),
      ['db', 'web'],
    );
    assert.deepEqual(rolloutIn(cluster, 'web').after, [{ component: 'db', generation: 1 }]);
    assert.deepEqual(rolloutIn(cluster, 'db').after, []);
    assert.deepEqual(releaseIn(cluster, 'web', 1).requires, [
      { name: 'sql', alias: 'DB', exporter: 'db', kind: 'tcp', containerPort: 5432 },
    ]);
  });

  test('waits for an exporter that is still on its way, and for none that is done', async () => {
    const all = await shop(...WEB_NEEDS_DB);
    await update(all.fleet, updateOf(['db']));
    await update(all.fleet, updateOf(['web']));
    assert.deepEqual(rolloutIn(all.cluster, 'web').after, [{ component: 'db', generation: 1 }]);
    complete(all.cluster, 'db');
    await update(all.fleet, updateOf(['web']));
    assert.deepEqual(rolloutIn(all.cluster, 'web').after, []);
  });

  test('of a circle cuts it at its last edge and says so', async () => {
    const { fleet, cluster } = await shop(...CIRCLE);
    const { changes, warnings } = await update(fleet, updateOf());
    assert.deepEqual(
      changes.map((c) => c.component),
      ['b', 'a'],
    );
    assert.deepEqual(rolloutIn(cluster, 'b').after, []);
    assert.deepEqual(rolloutIn(cluster, 'a').after, [{ component: 'b', generation: 1 }]);
    assert.match(warnings.join(), /a needs b needs a.*b is updated without waiting for a/);
  });

  test('never lets two rollouts wait for each other', async () => {
    const { fleet, cluster } = await shop(...CIRCLE);
    await update(fleet, updateOf());
    const { warnings } = await update(fleet, updateOf(['b']));
    assert.deepEqual(rolloutIn(cluster, 'b').after, []);
    assert.match(warnings.join(), /rollout of a waits for b/);
  });

  test('of more than fits into one transaction goes in several, exporters first', async () => {
    const many = Array.from({ length: 60 }, (_, i) => ({
      ...{ name: `c${i}`, repo: 'x', environmentVariables: [{ name: 'PAD', value: 'x'.repeat(9_000) }] },
      ...(i === 0 ? { requireComponentLinks: [{ name: 'last', alias: 'L' }] } : {}),
      ...(i === 59 ? { defineComponentLinks: [{ name: 'last', port: 1 }] } : {}),
    }));
    const { fleet, cluster } = await shop(...many);
    const before = cluster.revision;
    const { changes } = await update(fleet, updateOf());
    assert.deepEqual([changes.length, changes[0]?.component, changes[1]?.component], [60, 'c59', 'c0']);
    assert.ok(cluster.revision - before >= 2 && cluster.revision - before <= 4, 'few transactions');
    assert.equal(rolloutIn(cluster, 'c0').after[0]?.generation, desiredIn(cluster, 'c59').generation);
  });

  test('asks for each image once, and for none when a component is unknown', async () => {
    const { fleet } = await shop({ name: 'web', repo: 'one' }, { name: 'api', repo: 'one' }, 'db');
    const asked: string[] = [];
    const counting: typeof resolve = async (component) => {
      asked.push(component.image);
      return resolve(component);
    };
    await assert.rejects(
      update(fleet, { ...ask(['web', 'ap']), resolve: counting }),
      refused('component-unknown', 'did you mean "api"?', 'web, api, db'),
    );
    assert.deepEqual(asked, []);
    await update(fleet, { ...ask(), resolve: counting });
    assert.deepEqual(asked, ['one:latest', 'db:latest']);
  });

  test('of an unknown project says how to set one', async () => {
    await assert.rejects(
      update(ground().fleet, updateOf()),
      refused('project-unknown', 'setconfig shop FILE'),
    );
  });

  test('changes nothing when an image cannot be had', async () => {
    const { fleet, cluster } = await shop('web', 'api');
    const before = cluster.revision;
    const broken = async () => Promise.reject(new Error('no such image'));
    await assert.rejects(update(fleet, { ...ask(), resolve: broken }), /no such image/);
    assert.equal(cluster.revision, before);
  });
});

describe('rollback', () => {
  async function three(): Promise<Ground> {
    const all = await shop('web');
    for (let n = 1; n <= 3; n++) await shipped(all, 'web');
    return all;
  }

  test('goes to the newest release before that served everywhere', async () => {
    const all = await three();
    const changes = await rollback(all.fleet, ask());
    assert.deepEqual(changes, [{ component: 'web', release: 2, generation: 4, changed: true }]);
    const { kind, state, from, release, generation } = rolloutIn(all.cluster, 'web');
    assert.deepEqual([kind, state, from, release, generation], ['rollback', 'running', 3, 2, 4]);
    assert.deepEqual(
      [desiredIn(all.cluster, 'web').status, desiredIn(all.cluster, 'web').release],
      ['ready', 2],
    );
  });

  test('goes back one more each time, but not while it goes back', async () => {
    const all = await three();
    await rollback(all.fleet, ask());
    const again = await rollback(all.fleet, ask());
    assert.deepEqual(again, [{ component: 'web', release: 2, generation: 4, changed: false }]);
    complete(all.cluster, 'web');
    assert.equal((await rollback(all.fleet, ask()))[0]?.release, 1);
    complete(all.cluster, 'web');
    await assert.rejects(rollback(all.fleet, ask(['web'])), refused('release-unknown', '1, 2, 3'));
  });

  test('of an update on its way, or paused, goes to where it came from', async () => {
    const all = await three();
    await rollback(all.fleet, { ...ask(), to: 1 });
    complete(all.cluster, 'web');
    await update(all.fleet, updateOf());
    await pauseRollout(all.fleet, { project: PROJECT, component: 'web', by: 'ann@desk' });
    assert.equal((await rollback(all.fleet, ask()))[0]?.release, 1);
  });

  test('of an update that is done passes over what an operator had left', async () => {
    const all = await three();
    await rollback(all.fleet, { ...ask(), to: 1 });
    complete(all.cluster, 'web');
    await update(all.fleet, updateOf());
    complete(all.cluster, 'web');
    assert.equal((await rollback(all.fleet, ask()))[0]?.release, 1, 'not 3, which served before 1 did');
  });

  test('goes to the release that is named, also forward, and to no other', async () => {
    const all = await three();
    await rollback(all.fleet, { ...ask(), to: 1 });
    assert.equal((await rollback(all.fleet, { ...ask(), to: 3 }))[0]?.release, 3);
    await assert.rejects(rollback(all.fleet, { ...ask(), to: 9 }).then(), refused('release-unknown'));
    await assert.rejects(
      rollback(all.fleet, { ...ask(['web']), to: 9 }),
      refused('release-unknown', 'has no release 9', 'It has: 1, 2, 3'),
    );
  });

  test('to the release that is wanted changes nothing', async () => {
    const all = await three();
    const before = all.cluster.revision;
    const changes = await rollback(all.fleet, { ...ask(), to: 3 });
    assert.deepEqual(changes, [{ component: 'web', release: 3, generation: 3, changed: false }]);
    assert.equal(all.cluster.revision, before);
  });

  test('needs no config that this version can use', async () => {
    const all = await three();
    const config = await getConfig(all.fleet, PROJECT);
    putIn(all.cluster, AT_KEYS.config, { ...config, file: { components: [{ name: 'web', repoo: 1 }] } });
    assert.equal((await rollback(all.fleet, ask()))[0]?.release, 2);
    await assert.rejects(
      rollback(all.fleet, ask(['wbe'])),
      refused('component-unknown', 'did you mean "web"?'),
    );
    all.cluster.wipe();
    await assert.rejects(rollback(all.fleet, ask()), refused('project-unknown'));
  });

  test('starts again what is stopped', async () => {
    const all = await three();
    await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    await rollback(all.fleet, { ...ask(), to: 3 });
    const { from, generation } = rolloutIn(all.cluster, 'web');
    assert.deepEqual([from, generation, desiredIn(all.cluster, 'web').status], [0, 5, 'ready']);
  });

  test('of all leaves out those that have nowhere to go', async () => {
    const all = await shop('web', 'api', 'new');
    for (const name of ['web', 'web', 'api']) await shipped(all, name);
    const changes = await rollback(all.fleet, ask());
    assert.deepEqual(
      changes.map((c) => [c.component, c.release]),
      [['web', 1]],
    );
    await assert.rejects(rollback(all.fleet, ask(['new'])), refused('release-unknown', 'update makes one'));
  });
});

describe('stop and kill', () => {
  test('keep the release and end the rollout', async () => {
    const all = await shop('web');
    await update(all.fleet, updateOf());
    const changes = await setStatus(all.fleet, { ...ask([], 'bob@desk'), status: 'stopped' });
    assert.deepEqual(changes, [{ component: 'web', release: 1, generation: 2, changed: true }]);
    const { state, reason, endedAt } = rolloutIn(all.cluster, 'web');
    assert.deepEqual([state, reason, endedAt], ['superseded', 'bob@desk asked for it to be stopped', AT]);
    assert.deepEqual(
      [desiredIn(all.cluster, 'web').status, desiredIn(all.cluster, 'web').release],
      ['stopped', 1],
    );
  });

  test('leave a rollout that is over as it ended', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await setStatus(all.fleet, { ...ask(), status: 'killed' });
    assert.equal(rolloutIn(all.cluster, 'web').state, 'done');
  });

  test('change nothing twice, but a kill follows a stop', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    const before = all.cluster.revision;
    const again = await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    assert.deepEqual([again[0]?.changed, all.cluster.revision], [false, before]);
    const killed = await setStatus(all.fleet, { ...ask(), status: 'killed' });
    assert.deepEqual([killed[0]?.changed, killed[0]?.generation], [true, 3]);
  });

  test('again above what hosts have followed, when etcd was restored', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    tells(all.cluster, 'web', status('h1', { generation: 5, serving: 2 }));
    const changes = await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    assert.deepEqual([changes[0]?.changed, changes[0]?.generation], [true, 6]);
  });

  test('reach what left the config, and what only hosts know of', async () => {
    const all = await shop('web', 'old');
    await shipped(all, 'old');
    await configure(all.fleet, ['web']);
    tells(all.cluster, 'lost', status('h1', { serving: 4, generation: 9 }));
    const changes = await setStatus(all.fleet, { ...ask(), status: 'stopped' });
    assert.deepEqual(
      changes.map((c) => [c.component, c.release, c.generation, c.changed]),
      [
        ['web', 0, 0, false],
        ['old', 1, 2, true],
        ['lost', 4, 10, true],
      ],
    );
    await assert.rejects(
      setStatus(all.fleet, { ...ask(['los']), status: 'stopped' }),
      refused('component-unknown', 'did you mean "lost"?'),
    );
  });

  test('work with a config this version cannot use, and with none', async () => {
    const all = await shop('web');
    await shipped(all, 'web');
    const config = await getConfig(all.fleet, PROJECT);
    putIn(all.cluster, AT_KEYS.config, { ...config, file: { components: [{ name: 'web', repoo: 1 }] } });
    assert.equal((await setStatus(all.fleet, { ...ask(), status: 'stopped' }))[0]?.changed, true);
    await assert.rejects(update(all.fleet, updateOf()), refused('config-invalid', 'setconfig shop FILE'));
    await configure(all.fleet, ['web']);
    all.cluster.wipe();
    await assert.rejects(setStatus(all.fleet, { ...ask(), status: 'stopped' }), refused('project-unknown'));
    tells(all.cluster, 'web', status('h1', { generation: 3 }));
    assert.equal((await setStatus(all.fleet, { ...ask(), status: 'killed' }))[0]?.generation, 4);
  });
});

describe('a rollout', () => {
  const web = { project: PROJECT, component: 'web', by: 'ann@desk' };

  test('is paused, and resumed to what it was, with one attempt more', async () => {
    for (const state of ['preparing', 'running'] as const) {
      const { fleet, cluster } = await shop('web');
      await update(fleet, updateOf());
      writeRollout(cluster, 'web', { ...rolloutIn(cluster, 'web'), state });
      assert.equal((await pauseRollout(fleet, web)).state, 'paused');
      assert.deepEqual(rolloutIn(cluster, 'web').reason, 'ann@desk paused it');
      assert.equal((await pauseRollout(fleet, web)).changed, false);
      const resumed = await resumeRollout(fleet, web);
      assert.deepEqual([resumed.state, resumed.attempt, resumed.changed], [state, 2, true]);
      const { reason, failure, was } = rolloutIn(cluster, 'web');
      assert.deepEqual([reason, failure, was], [undefined, undefined, undefined]);
    }
  });

  test('that a failure paused begins anew where nobody said how far it was', async () => {
    const { fleet, cluster } = await shop('web');
    await update(fleet, updateOf());
    const failure = { host: 'h1', release: 1, why: 'port taken', logs: [], at: AT };
    writeRollout(cluster, 'web', { ...rolloutIn(cluster, 'web'), state: 'paused', failure, reason: 'x' });
    assert.equal((await resumeRollout(fleet, web)).state, 'preparing');
    assert.equal(rolloutIn(cluster, 'web').failure, undefined);
  });

  test('that is over, goes back, or never was cannot be held', async () => {
    const all = await shop('web');
    await assert.rejects(pauseRollout(all.fleet, web), refused('no-rollout', 'it has had none'));
    await shipped(all, 'web');
    await assert.rejects(pauseRollout(all.fleet, web), refused('no-rollout', 'it is done'));
    await assert.rejects(resumeRollout(all.fleet, web), refused('no-rollout', 'it is done, not paused'));
    await shipped(all, 'web');
    await rollback(all.fleet, ask());
    await assert.rejects(pauseRollout(all.fleet, web), refused('no-rollout', 'it goes back'));
    await assert.rejects(pauseRollout(all.fleet, { ...web, component: 'wbe' }), refused('component-unknown'));
  });
});

describe('the config', () => {
  test('is set and read back, and says whether it changed', async () => {
    const { fleet, cluster } = ground();
    const file = { project: PROJECT, components: [{ name: 'web', repo: 'web' }] };
    const set = { project: PROJECT, file, by: 'ann@desk' };
    assert.equal(await setConfig(fleet, set), true);
    const before = cluster.revision;
    assert.equal(await setConfig(fleet, set), false);
    assert.equal(cluster.revision, before);
    assert.deepEqual((await getConfig(fleet, PROJECT)).file, file);
    await assert.rejects(getConfig(fleet, 'other'), refused('project-unknown'));
  });

  test('that etcd could not hold is refused', async () => {
    const file = { project: PROJECT, components: [{ name: 'web', repo: 'x'.repeat(2_000_000) }] };
    const set = { project: PROJECT, file, by: 'ann@desk' };
    await assert.rejects(setConfig(ground().fleet, set), refused('config-invalid', '1200000 bytes'));
  });

  test('replaces one that no gantryd wrote', async () => {
    const { fleet, cluster } = ground();
    cluster.commit([], [{ kind: 'put', key: AT_KEYS.config, value: '{"format":9}' }]);
    await assert.rejects(getConfig(fleet, PROJECT), refused('cluster-failed', 'Upgrade gantryd'));
    await configure(fleet, ['web']);
    assert.equal((await getConfig(fleet, PROJECT)).by, 'test@here');
  });
});
