/** What `scale` and `update` write about numbers; and when `--wait` is over. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type DesiredValue,
  readScale,
  type ScaleValue,
  type SharesValue,
  type StatusValue,
} from '../../../src/cluster/values.ts';
import { rollback, update } from '../../../src/fleet/intents/intents.ts';
import { type Scaled, scale } from '../../../src/fleet/scale/scale.ts';
import { type ScaleView, scaleEnding, stillOpen } from '../../../src/fleet/scale/scale-wait.ts';
import {
  AT,
  AT_KEYS,
  ask,
  complete,
  configure,
  container,
  desiredIn,
  type Ground,
  PROJECT,
  rolloutIn,
  shipped,
  shop,
  status,
  tells,
  updateOf,
  writeRollout,
} from '../intents/intents-ground.ts';

const BY = 'ann@desk';

async function scaled(
  { fleet }: Ground,
  to: Parameters<typeof scale>[1]['changes'][string],
): Promise<Scaled> {
  const [done] = await scale(fleet, { project: PROJECT, changes: { web: to }, by: BY });
  return done ?? assert.fail();
}

function keyOf({ cluster }: Ground): ScaleValue | undefined {
  return readScale(cluster.get(AT_KEYS.scale('web')));
}

describe('scale', () => {
  test('writes what was asked for, each time with a greater number, and changes nothing else', async () => {
    const ground = await shop('web');
    await shipped(ground, 'web');
    const before = desiredIn(ground.cluster, 'web');
    const first = await scaled(ground, 3);
    const { id: _, ...value } = keyOf(ground) ?? assert.fail();
    assert.deepEqual(value, { format: 1, instances: 3, number: 1, by: BY, at: AT });
    assert.deepEqual([first.instances, first.number, first.changed], [3, 1, true]);
    assert.equal((await scaled(ground, 3)).changed, false);
    assert.equal((await scaled(ground, { total: 6 })).number, 2);
    const back = await scaled(ground, 'config');
    assert.deepEqual([back.instances, keyOf(ground)?.config, keyOf(ground)?.number], [1, true, 3]);
    assert.deepEqual(desiredIn(ground.cluster, 'web'), before);
    const { entries } = ground.cluster.list(AT_KEYS.audit());
    const details = entries.map((e) => JSON.parse(e.value) as { action: string; detail: string });
    const said = details.filter((d) => d.action === 'scale').map((d) => d.detail);
    assert.deepEqual(said.sort(), ['1, as the config says', '3', '6 in all']);
  });

  test('is above what hosts have followed, when etcd was restored', async () => {
    const ground = await shop('web');
    await shipped(ground, 'web');
    tells(ground.cluster, 'web', status('a', { size: { wanted: 2, scale: 8, shares: 0 } }));
    assert.equal((await scaled(ground, 3)).number, 9);
  });

  test('ends with a release whose instances differ, and with no other', async () => {
    const ground = await shop('web');
    await shipped(ground, 'web');
    await scaled(ground, 3);
    await shipped(ground, 'web');
    assert.equal(keyOf(ground)?.instances, 3);
    await configure(ground.fleet, [{ name: 'web', instances: { total: 4 } }]);
    await shipped(ground, 'web');
    assert.equal(keyOf(ground), undefined);
  });

  test('that an update puts an end to is kept until that is done, through updates that replace it', async () => {
    const ground = await shop('web');
    const { fleet, cluster } = ground;
    await shipped(ground, 'web');
    await scaled(ground, 3);
    const asked = keyOf(ground);
    await configure(fleet, [{ name: 'web', instances: 2 }]);
    for (const _ of [1, 2]) {
      await update(fleet, updateOf(['web']));
      assert.deepEqual([keyOf(ground), rolloutIn(cluster, 'web').ended], [undefined, asked]);
    }
    await rollback(fleet, ask(['web']));
    assert.deepEqual([keyOf(ground)?.instances, keyOf(ground)?.number], [3, 2], 'taken back by hand');
    complete(cluster, 'web');
    await shipped(ground, 'web');
    await update(fleet, updateOf(['web']));
    assert.equal(rolloutIn(cluster, 'web').ended, undefined, 'the one before it was done');
  });

  test('of what was never deployed is possible for whoever deploys it next', async () => {
    const ground = await shop('web');
    const { fleet } = ground;
    const asked = { project: PROJECT, changes: { web: { total: 2 } }, by: BY };
    await assert.rejects(async () => scale(fleet, asked), /was never deployed/);
    await scale(fleet, { ...asked, mayBeUndeployed: true });
    await shipped(ground, 'web');
    assert.deepEqual(keyOf(ground)?.instances, { total: 2 });
  });
});

test('a release that has served nowhere is nothing to go back to', async () => {
  const ground = await shop('web');
  const { fleet, cluster } = ground;
  await shipped(ground, 'web');
  await update(fleet, updateOf(['web']));
  writeRollout(cluster, 'web', { ...rolloutIn(cluster, 'web'), state: 'done', untried: true });
  await update(fleet, updateOf(['web']));
  assert.equal(rolloutIn(cluster, 'web').from, 1);
});

describe('a wait for it', () => {
  const target = (instances: Scaled['instances']): Scaled => {
    return { ...{ component: 'web', release: 1, generation: 1, changed: true }, instances, number: 2 };
  };
  const size = (wanted: number, serving: number, over: Partial<StatusValue['size'] & object> = {}) => ({
    containers: Array.from({ length: serving }, () => container(1)),
    size: { wanted, scale: 2, shares: 1, ...over },
  });
  const shares: SharesValue = {
    format: 1,
    number: 1,
    total: 4,
    shares: { a: 2, b: 2 },
    host: 'a',
    why: '',
    at: AT,
  };

  function view(over: Partial<ScaleView> = {}): ScaleView {
    const desired: DesiredValue = { format: 1, status: 'ready', release: 1, generation: 1, by: BY, at: AT };
    const asked: ScaleValue = { format: 1, instances: 2, number: 2, by: BY, at: AT };
    const statuses = ['a', 'b'].map((name) => status(name, size(2, 2)));
    return { desired, scale: asked, shares, statuses, hosts: ['a', 'b'], ...over };
  }

  const outcome = (seen: ScaleView, instances: Scaled['instances'] = 2) =>
    scaleEnding(target(instances), seen)?.outcome;

  test('is over when every host has followed it and as many serve as are to', () => {
    assert.equal(scaleEnding(target(2), view())?.why, 'web: 4 containers serve on 2 hosts');
    assert.equal(outcome(view({ statuses: [status('a', size(2, 2))] })), undefined, 'one told nothing');
    const late = (s: ReturnType<typeof size>) =>
      view({ statuses: [status('a', size(2, 2)), status('b', s)] });
    assert.equal(outcome(late(size(2, 1))), undefined, 'one is missing');
    assert.equal(outcome(late(size(2, 3))), undefined, 'one is too many');
    assert.equal(outcome(late(size(1, 1, { scale: 1 }))), undefined, 'it has not heard of it');
  });

  test('of a total is over when it is spread, and nothing is to move any more', () => {
    const total = { total: 4 };
    assert.equal(outcome(view(), total), 'done');
    assert.equal(outcome(view({ shares: undefined }), total), undefined);
    assert.equal(outcome(view({ shares: { ...shares, total: 3 } }), total), undefined);
    assert.equal(outcome(view({ shares: { ...shares, next: {} } }), total), undefined);
    assert.equal(outcome(view({ shares: { ...shares, number: 2 } }), total), undefined);
  });

  test('says who is late and why, and in the end who could not have more', () => {
    const late = status('b', { ...size(2, 1), why: 'no space left on device' });
    const waits: Partial<ScaleView> = { statuses: [status('a', size(2, 2)), late] };
    assert.match(
      stillOpen(target({ total: 4 }), view(waits)).why,
      /^web: 3 containers serve on 2 hosts, 4 in all are asked for; b has 1 of 2: no space left on device$/,
    );
    const bounded = { ...shares, shares: { a: 3, b: 1 }, late: { b: 1 } };
    const three = [status('a', size(3, 3)), status('b', size(1, 1))];
    const ending = scaleEnding(target({ total: 4 }), view({ shares: bounded, statuses: three }));
    assert.equal(ending?.why, 'web: 4 containers serve on 2 hosts; b could not have more than 1 in time');
  });

  test('is over where nobody is to follow it, or somebody asked for something else', () => {
    assert.equal(outcome(view({ hosts: [] })), 'no-hosts');
    assert.equal(outcome(view({ scale: undefined })), 'superseded');
    const { scale: asked, desired } = view();
    assert.ok(asked !== undefined && desired !== undefined);
    assert.equal(outcome(view({ scale: { ...asked, number: 3 } })), 'superseded');
    assert.equal(outcome(view({ desired: { ...desired, status: 'stopped' }, statuses: [] })), 'done');
  });
});
