import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { KernelProtocol } from '../../../src/proxy/kernel/plane.ts';
import { Actor } from './ground.ts';

const actors: Actor[] = [];

after(() => Promise.all(actors.map((actor) => actor.kill())));

async function abilityWithin(command: readonly string[], protocol: KernelProtocol) {
  const actor = await Actor.start(undefined, command);
  actors.push(actor);
  await actor.do('open', '/nonexistent');
  return actor.do('ability', protocol);
}

/** Without these programs, in a view of the files that only the process has. */
function without(...programs: string[]): string[] {
  const hidden = programs.map((name) => `mount --bind /dev/null "$(command -v ${name})"`).join(' && ');
  return ['unshare', '--mount', 'sh', '-c', `${hidden} && exec "$@"`, 'sh'];
}

test('without nft it is said which package brings it', async () => {
  assert.deepEqual(await abilityWithin(without('nft'), 'tcp'), {
    can: false,
    why: 'This host has no nft.',
    hint: 'Install nftables (so the packages are called on Debian and Ubuntu).',
  });
});

test('conntrack is needed for udp only', async () => {
  assert.deepEqual(await abilityWithin(without('conntrack'), 'tcp'), { can: true });
  assert.deepEqual(await abilityWithin(without('conntrack', 'ss'), 'udp'), {
    can: false,
    why: 'This host has no ss and conntrack.',
    hint: 'Install iproute2 and conntrack (so the packages are called on Debian and Ubuntu).',
  });
});

test('without the right to change rules it is said which one is missing', async () => {
  const ability = await abilityWithin(['setpriv', '--bounding-set=-net_admin', '--'], 'tcp');
  assert.deepEqual(ability, {
    can: false,
    why: "The proxy may not change the rules of this host's network (it lacks CAP_NET_ADMIN).",
    hint: 'Run gantryd as root, or have the port on the plane userspace.',
  });
});
