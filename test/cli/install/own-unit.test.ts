/** The proxy's own control group is found in every kind of hierarchy, and no other is taken for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { homesIn } from '../../../src/cli/install/own-unit.ts';

const UNIT = '/system.slice/gantryd-proxy.service';

test('on a machine with one hierarchy it is below its root', () => {
  assert.ok(homesIn(`0::${UNIT}\n`).includes(`/sys/fs/cgroup${UNIT}/cgroup.procs`));
});

test('on a machine with both kinds it is in both', () => {
  const homes = homesIn(`5:memory:${UNIT}\n1:name=systemd:${UNIT}\n0::${UNIT}\n`);
  for (const name of ['systemd', 'unified'])
    assert.ok(homes.includes(`/sys/fs/cgroup/${name}${UNIT}/cgroup.procs`), name);
  assert.ok(!homes.some((home) => home.includes('memory')), 'limits stay where they are');
});

test('who is not run as that unit has none', () => {
  for (const group of ['/user.slice/user-0.slice/session-3.scope', '/', '/system.slice/gantryd@shop.service'])
    assert.deepEqual(homesIn(`1:name=systemd:${group}\n0::${group}\n`), [], group);
});
