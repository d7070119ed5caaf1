/** What the proxy that serves makes of those before it: sums, doubts, and which of them is to be replaced. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GantryError } from '../../../src/errors.ts';
import type { ProxyClient } from '../../../src/proxy/control/client.ts';
import { mergeReports } from '../../../src/proxy/control/merge.ts';
import {
  type BackendReport,
  type FollowRequest,
  type GenerationReport,
  PROTOCOL_VERSION,
  type ProxyStatus,
  UPGRADABLE_SINCE,
} from '../../../src/proxy/control/protocol.ts';
import { Elder } from '../../../src/proxy/generations/elder.ts';
import { isOutdated } from '../../../src/proxy/generations/launch.ts';
import type { SavedTables } from '../../../src/proxy/tables/persist.ts';
import { VERSION } from '../../../src/version.ts';
import { tableOf } from '../ground.ts';

function report(id: string, change: Partial<BackendReport> = {}): BackendReport {
  const counts = { open: 0, inFlight: 0, upgraded: 0, tcp: 0, oldestMs: 0, peers: [] };
  return { owner: 'shop', component: 'web', id, routed: true, ...counts, ...change };
}

test('counts of all generations are summed, and the oldest clients are shown', () => {
  const peer = (ageMs: number) => ({ client: 'c', kind: 'tcp', ageMs, bytes: 0, idleMs: 0 }) as const;
  const own = report('a', {
    ...{ open: 2, tcp: 2, oldestMs: 5, peers: [peer(5), peer(1)] },
    answers: { requests: 10, errors: 1, latency: [1, 2] },
  });
  const older = report('a', {
    ...{ routed: false, open: 19, inFlight: 1, upgraded: 18, oldestMs: 90 },
    peers: Array.from({ length: 19 }, (_, n) => peer(90 - n)),
    answers: { requests: 5, errors: 2, latency: [1, 1, 3] },
  });
  const [a, b, ...more] = mergeReports([own], [[older], [report('b', { open: 1, tcp: 1 })]]);
  assert.deepEqual(more, []);
  assert.deepEqual(
    [a?.routed, a?.open, a?.inFlight, a?.upgraded, a?.tcp, a?.oldestMs],
    [true, 21, 1, 18, 2, 90],
  );
  assert.deepEqual([a?.peers.length, a?.peers[0]?.ageMs, a?.peers.at(-1)?.ageMs], [20, 90, 5]);
  assert.deepEqual(a?.answers, { requests: 15, errors: 3, latency: [2, 3, 3] });
  assert.deepEqual([b?.id, b?.routed, b?.open], ['b', false, 1], 'only the one that serves routes');
});

test('what an elder has not confirmed counts as held, until it is heard', async () => {
  let revision = 0;
  let inForce: SavedTables = { lastRevision: 0, owners: [] };
  const lead = (id: string) => {
    revision += 1;
    const table = tableOf([{ component: 'web', listeners: [], backends: [{ id, host: '127.0.0.1' }] }]);
    inForce = { lastRevision: revision, owners: [{ owner: 'shop', revision, table }] };
  };
  let answers = true;
  let followed = { revision: 0, id: '' };
  const client = {
    async follow({ owners }: FollowRequest): Promise<GenerationReport> {
      if (!answers) throw new GantryError('proxy-unreachable', 'silent', { cause: new Error('no answer') });
      for (const owned of owners)
        followed = { revision: owned.revision, id: owned.table.routes[0]?.backends[0]?.id ?? '' };
      const self = {
        pid: 7,
        version: VERSION,
        startedAt: '',
        connections: 0,
        lastRevision: followed.revision,
      };
      return { ...self, revisions: { shop: followed.revision }, backends: [report(followed.id)] };
    },
  } as unknown as ProxyClient;
  const held = (routed: string) =>
    elder.backends(({ id }) => id === routed).map(({ id, open }) => `${id} ${open}`);

  lead('a');
  const elder = new Elder(7, client, () => inForce);
  assert.deepEqual(held('b'), ['a 1'], 'never heard');
  await elder.follow();
  assert.deepEqual([elder.state, held('a')], ['follows', ['a 0']]);
  lead('b');
  assert.deepEqual(held('b'), ['a 1'], 'not told yet');
  answers = false;
  await elder.follow();
  assert.deepEqual([elder.state, elder.describe().silent], ['silent', true]);
  assert.deepEqual(held('c').sort(), ['a 1', 'b 1'], 'it may have heard of b');
  answers = true;
  await elder.follow();
  assert.deepEqual([elder.state, held('b')], ['follows', ['b 0']]);
});

test('a proxy is outdated when its numbers are lower and it can hand over', () => {
  const parts = VERSION.split('.').map(Number);
  const at = (change: readonly number[]) => parts.map((part, n) => part + (change[n] ?? 0)).join('.');
  const outdated = (version: string, protocol = PROTOCOL_VERSION) =>
    isOutdated({ version, protocol } as ProxyStatus);
  assert.deepEqual(
    [at([0, -1, 9]), at([0, 0, 0]), at([0, 0, 1]), at([1, -1, 0]), `${at([0, 0, 0])}-rc.1`].map((v) =>
      outdated(v),
    ),
    [true, false, false, false, false],
  );
  assert.equal(outdated(at([0, 10, 0])), false, 'numbers, not letters');
  assert.equal(outdated('0.0.1', UPGRADABLE_SINCE - 1), false);
  assert.equal(outdated('0.0.1', PROTOCOL_VERSION + 1), false);
});
