/** When a change that is followed is over, how it ended, and what is told on the way. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Failure, RolloutValue } from '../../../src/cluster/values.ts';
import { setStatus, update } from '../../../src/fleet/intents/intents.ts';
import { pauseRollout } from '../../../src/fleet/intents/steer.ts';
import {
  type Ending,
  endingOf,
  type FollowedView,
  stillOpen,
  type Target,
} from '../../../src/fleet/reports/ending.ts';
import { type FleetEvent, follow } from '../../../src/fleet/reports/follow.ts';
import {
  AT,
  AT_KEYS,
  ask,
  complete,
  desiredIn,
  type Ground,
  host,
  joins,
  PROJECT,
  putIn,
  rolloutIn,
  shop,
  status,
  tells,
  updateOf,
  writeRollout,
} from '../intents/intents-ground.ts';

const target: Target = { component: 'web', status: 'ready', release: 2, generation: 5 };
const desired = { format: 1, status: 'ready', release: 2, generation: 5, by: 'ann@desk', at: AT } as const;
const rollout: RolloutValue = {
  ...{ format: 1, generation: 5, release: 2, from: 1, kind: 'update', state: 'running', attempt: 1 },
  ...{ after: [], by: 'ann@desk', at: AT },
};
const failure: Failure = { host: 'h2', release: 2, why: 'port taken', logs: ['EADDRINUSE'], at: AT };
const settled = (name: string, generation = 5) => status(name, { generation, serving: 2 });
const behind = (name: string, why = '') => status(name, { generation: 4, phase: 'waiting', why });

describe('an ending', () => {
  const of = (view: Partial<FollowedView>, wanted: Partial<Target> = {}) =>
    endingOf(
      { ...target, ...wanted },
      { desired, rollout, turns: [], statuses: [settled('h1')], hosts: ['h1'], ...view },
    );
  const goesOn: readonly [string, Partial<FollowedView>, Partial<Target>?][] = [
    ['hosts prepare', { rollout: { ...rollout, state: 'preparing' } }],
    ['all serve and the rollout is not closed', {}],
    ['all went back and the rollback is not closed', { rollout: { ...rollout, kind: 'rollback' } }],
    [
      'it is closed and a late host is not there',
      { rollout: { ...rollout, state: 'done' }, hosts: ['h1', 'h2'] },
    ],
    ['a host is behind', { rollout: { ...rollout, state: 'done' }, statuses: [settled('h1'), behind('h2')] }],
    ['etcd has forgotten it', { desired: undefined, rollout: undefined, statuses: [behind('h1')] }],
    [
      'it drains',
      { desired: { ...desired, status: 'stopped' }, statuses: [behind('h1')] },
      { status: 'stopped' },
    ],
    [
      'hosts go back',
      {
        desired: { ...desired, release: 1, generation: 6 },
        rollout: { ...rollout, kind: 'rollback', generation: 6, release: 1, from: 2, failure },
      },
    ],
  ];
  for (const [name, view, wanted] of goesOn)
    test(`is not there while ${name}`, () => assert.equal(of(view, wanted), undefined));

  const ends: readonly [string, Ending['outcome'], RegExp, Partial<FollowedView>, Partial<Target>?][] = [
    [
      'closed, and all hosts settled',
      'done',
      /^web: release 2 serves on 1 host$/,
      { rollout: { ...rollout, state: 'done' } },
    ],
    [
      'a rollback that all hosts followed',
      'done',
      /release 2 serves on all 2 hosts/,
      { rollout: { ...rollout, kind: 'rollback', state: 'done' }, statuses: [settled('h1'), settled('h2')] },
    ],
    [
      'a stop',
      'done',
      /^web: stopped on 1 host$/,
      { desired: { ...desired, status: 'stopped' } },
      { status: 'stopped' },
    ],
    [
      'paused by a failure',
      'paused',
      /h2: port taken/,
      { rollout: { ...rollout, state: 'paused', reason: 'h2: port taken', failure } },
    ],
    [
      'given up',
      'superseded',
      /bob asked/,
      { rollout: { ...rollout, state: 'superseded', reason: 'bob asked' } },
    ],
    ['failed', 'failed', /nobody said why/, { rollout: { ...rollout, state: 'failed' } }],
    [
      'no host',
      'no-hosts',
      /No live host runs web; the first agent that comes will run release 2/,
      { hosts: [], statuses: [] },
    ],
    [
      'a newer release',
      'superseded',
      /ann@desk changed web meanwhile: it is to run release 3/,
      { desired: { ...desired, release: 3, generation: 6 } },
    ],
    [
      'a stop meanwhile',
      'superseded',
      /it is to be stopped/,
      { desired: { ...desired, status: 'stopped', generation: 6 } },
    ],
    [
      'a failure with nothing to return to',
      'failed',
      /Release 2 of web failed, and nothing served before it: h2: no/,
      {
        desired: { ...desired, status: 'stopped', generation: 6 },
        rollout: { ...rollout, state: 'failed', reason: 'h2: no', failure },
      },
    ],
    [
      'taken back everywhere',
      'rolled-back',
      /^Release 2 of web was rolled back to release 1: h2: no$/,
      {
        desired: { ...desired, release: 1, generation: 6 },
        rollout: {
          ...rollout,
          kind: 'rollback',
          state: 'done',
          generation: 6,
          release: 1,
          from: 2,
          failure,
          reason: 'h2: no',
        },
        statuses: [settled('h1', 6)],
      },
    ],
    [
      'an operator who goes back',
      'superseded',
      /it is to run release 1/,
      {
        desired: { ...desired, release: 1, generation: 6 },
        rollout: { ...rollout, kind: 'rollback', generation: 6, release: 1, from: 2 },
      },
    ],
  ];
  for (const [name, outcome, why, view, wanted] of ends)
    test(`is ${outcome} with ${name}`, () => {
      const ending = of(view, wanted);
      assert.equal(ending?.outcome, outcome);
      assert.match(ending?.why ?? '', why);
      assert.equal(ending?.failure, view.rollout?.failure);
    });

  test('that is not there yet says how far it is', () => {
    const statuses = [settled('h1'), behind('h2', 'h1 has its turn')];
    const open = stillOpen(target, { desired, rollout, turns: [], statuses, hosts: ['h1', 'h2', 'h3'] });
    assert.deepEqual(open, {
      ...{ component: 'web', outcome: 'open' },
      why: 'web: release 2 serves on 1 of 3 hosts; h2: h1 has its turn',
    });
    assert.equal(stillOpen(target, undefined).why, 'etcd has told nothing of web yet');
  });
});

describe('following', () => {
  interface Following {
    readonly events: FleetEvent[];
    readonly progress: string[];
    readonly ended: Promise<readonly Ending[] | undefined>;
    /** Resolves when an event of the kind has come. */
    saw(pattern: RegExp): Promise<void>;
  }

  /** An update of the components on two hosts that run the one before. */
  async function begun(...names: readonly string[]): Promise<{ all: Ground; targets: readonly Target[] }> {
    const all = await shop(...names);
    for (const h of ['h1', 'h2']) joins(all.cluster, host(h, { components: names }));
    const { changes } = await update(all.fleet, updateOf());
    for (const h of ['h1', 'h2'])
      for (const name of names)
        tells(all.cluster, name, status(h, { settled: 0, serving: 0, phase: 'preparing' }));
    return { all, targets: changes.map((c) => ({ ...c, status: 'ready' as const })) };
  }

  function followed(
    t: TestContext,
    { fleet }: Ground,
    targets: readonly Target[],
    timeoutMs = 20_000,
    signal = new AbortController().signal,
  ): Following {
    const events: FleetEvent[] = [];
    const progress: string[] = [];
    const waiting = new Map<RegExp, () => void>();
    const text = () => [...events.map((e) => JSON.stringify(e)), ...progress].join('\n');
    const heard = () => {
      for (const [pattern, resolve] of waiting) if (pattern.test(text())) resolve();
    };
    const ended = follow(
      fleet,
      {
        ...{ project: PROJECT, targets, timeoutMs },
        emit: (event) => {
          events.push(event);
          heard();
        },
        progress: (words) => {
          progress.push(words);
          heard();
        },
      },
      signal,
    );
    t.after(() => fleet.store.close());
    return {
      ...{ events, progress, ended },
      saw: (pattern) =>
        new Promise((resolve) => {
          waiting.set(pattern, resolve);
          heard();
        }),
    };
  }

  const reach = ({ cluster }: Ground, name: string, h: string, release = 1, generation = 1) =>
    tells(cluster, name, status(h, { generation, serving: release }));

  test('tells each host as it moves, and ends when all are there', async (t) => {
    const { all, targets } = await begun('web');
    const following = followed(t, all, targets);
    await following.saw(/"host":"h2","phase":"preparing"/);
    writeRollout(all.cluster, 'web', { ...rolloutIn(all.cluster, 'web'), state: 'running' });
    reach(all, 'web', 'h1');
    await following.saw(/"host":"h1","phase":"serving","release":1,"settled":true/);
    await following.saw(/release 1 serves on 1 of 2 hosts/);
    reach(all, 'web', 'h2');
    complete(all.cluster, 'web');
    const [ending] = (await following.ended) ?? [];
    assert.deepEqual(ending, {
      component: 'web',
      outcome: 'done',
      why: 'web: release 1 serves on all 2 hosts',
    });
    const states = following.events.flatMap((e) => (e.kind === 'rollout-changed' ? [e.state] : []));
    assert.deepEqual(states, ['preparing', 'running', 'done']);
  });

  test('tells nothing twice', async (t) => {
    const { all, targets } = await begun('web');
    const following = followed(t, all, targets);
    await following.saw(/"host":"h2"/);
    for (let n = 0; n < 5; n++) reach(all, 'web', 'h1');
    await following.saw(/1 of 2/);
    const about = following.events.filter((e) => e.kind === 'host-changed' && e.host === 'h1');
    assert.equal(about.length, 2);
    complete(all.cluster, 'web');
    reach(all, 'web', 'h2');
    await following.ended;
  });

  test('a host that goes away is told, and no longer waited for', async (t) => {
    const { all, targets } = await begun('web');
    const following = followed(t, all, targets);
    reach(all, 'web', 'h1');
    complete(all.cluster, 'web');
    await following.saw(/1 of 2/);
    const keys = [AT_KEYS.status('web', 'h2'), all.fleet.keys.host(PROJECT, 'h2')];
    all.cluster.commit(
      [],
      keys.map((key) => ({ kind: 'delete', key })),
    );
    const [ending] = (await following.ended) ?? [];
    assert.equal(ending?.outcome, 'done');
    assert.ok(following.events.some((e) => e.kind === 'host-gone' && e.host === 'h2'));
  });

  test('several components end each in its own way, in the order asked', async (t) => {
    const { all, targets } = await begun('web', 'api', 'db');
    const following = followed(t, all, targets);
    await following.saw(/"component":"db","host":"h2"/);
    await pauseRollout(all.fleet, { project: PROJECT, component: 'db', by: 'bob@desk' });
    await setStatus(all.fleet, { ...ask(['api'], 'bob@desk'), status: 'stopped' });
    for (const h of ['h1', 'h2']) reach(all, 'web', h);
    complete(all.cluster, 'web');
    assert.deepEqual(
      (await following.ended)?.map((e) => [e.component, e.outcome]),
      [
        ['web', 'done'],
        ['api', 'superseded'],
        ['db', 'paused'],
      ],
    );
  });

  test('a failure is followed back to where it returned to', async (t) => {
    const { all, targets } = await begun('web');
    const following = followed(t, all, targets);
    await following.saw(/"host":"h2"/);
    const value = {
      ...rolloutIn(all.cluster, 'web'),
      release: 7,
      from: 1,
      generation: 2,
      kind: 'rollback',
    } as const;
    putIn(all.cluster, AT_KEYS.desired('web'), {
      ...desiredIn(all.cluster, 'web'),
      release: 7,
      generation: 2,
    });
    writeRollout(all.cluster, 'web', { ...value, state: 'running', reason: 'h2: port taken', failure });
    await following.saw(/Release 1 of web is going back to release 7: h2: port taken/);
    for (const h of ['h1', 'h2']) reach(all, 'web', h, 7, 2);
    writeRollout(all.cluster, 'web', { ...rolloutIn(all.cluster, 'web'), state: 'done' });
    const [ending] = (await following.ended) ?? [];
    assert.deepEqual([ending?.outcome, ending?.failure?.logs], ['rolled-back', ['EADDRINUSE']]);
  });

  test('an etcd that is away is told once, and waited for', async (t) => {
    const { all, targets } = await begun('web');
    const following = followed(t, all, targets);
    await following.saw(/"host":"h2"/);
    all.store.disconnect();
    await following.saw(/"kind":"cluster","component":"","connected":false/);
    for (const h of ['h1', 'h2']) reach(all, 'web', h);
    complete(all.cluster, 'web');
    all.store.connect();
    assert.equal((await following.ended)?.[0]?.outcome, 'done');
    const told = following.events.flatMap((e) => (e.kind === 'cluster' ? [e.connected] : []));
    assert.deepEqual(told, [false, true]);
  });

  test('ends open when the time is over, and with nothing when aborted', async (t) => {
    const { all, targets } = await begun('web');
    const late = await followed(t, all, targets, 200).ended;
    assert.deepEqual(late?.[0]?.outcome, 'open');
    assert.match(late?.[0]?.why ?? '', /release 1 serves on 0 of 2 hosts/);
    const abort = new AbortController();
    const following = followed(t, all, targets, Number.POSITIVE_INFINITY, abort.signal);
    await following.saw(/"host":"h2"/);
    abort.abort();
    assert.equal(await following.ended, undefined);
  });

  test('with no live host ends at once', async (t) => {
    const all = await shop('web');
    const { changes } = await update(all.fleet, updateOf());
    const targets = changes.map((c) => ({ ...c, status: 'ready' as const }));
    assert.equal((await followed(t, all, targets).ended)?.[0]?.outcome, 'no-hosts');
  });

  test('waits for a live host that has not told yet that it runs the component', async (t) => {
    const all = await shop('web');
    joins(all.cluster, host('h1', { components: [] }));
    const { changes } = await update(all.fleet, updateOf());
    const targets = changes.map((c) => ({ ...c, status: 'ready' as const }));
    const following = followed(t, all, targets);
    await following.saw(/"kind":"rollout-changed"/);
    joins(all.cluster, host('h1'));
    reach(all, 'web', 'h1');
    complete(all.cluster, 'web');
    assert.equal((await following.ended)?.[0]?.outcome, 'done');
  });

  test('ends where those that live do not take it up', async (t) => {
    const all = await shop('web');
    joins(all.cluster, host('h1', { components: ['db'] }));
    const { changes } = await update(all.fleet, updateOf());
    const targets = changes.map((c) => ({ ...c, status: 'ready' as const }));
    assert.equal((await followed(t, all, targets).ended)?.[0]?.outcome, 'no-hosts');
  });

  test('closes what it followed with', async (t) => {
    const { all, targets } = await begun('web');
    await followed(t, all, targets, 100).ended;
    assert.equal(all.cluster.watchers.size, 0);
  });
});
