/** What list, history and why say, as tables of how a component may stand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type {
  DesiredValue,
  Failure,
  ReleaseValue,
  RolloutValue,
  SharesValue,
  StatusValue,
} from '../../../src/cluster/values.ts';
import { rollback, setStatus, update } from '../../../src/fleet/intents/intents.ts';
import { lookAtComponent, lookAtProject } from '../../../src/fleet/intents/look.ts';
import {
  componentRow,
  historyRows,
  hostRows,
  type StatusWord,
  statusWord,
} from '../../../src/fleet/reports/report.ts';
import { duration, type WhyInput, whyLines } from '../../../src/fleet/reports/why.ts';
import {
  AT,
  AT_KEYS,
  ask,
  container,
  type Ground,
  host,
  PROJECT,
  putIn,
  releaseIn,
  rolloutIn,
  shipped,
  shop,
  status,
  updateOf,
  writeRollout,
} from '../intents/intents-ground.ts';

const NOW = Date.parse(AT) + 90_000;

const desired: DesiredValue = {
  ...{ format: 1, status: 'ready', release: 2, generation: 5, by: 'ann@desk', at: AT },
};
const rollout: RolloutValue = {
  ...{ format: 1, generation: 5, release: 2, from: 1, kind: 'update', state: 'running', attempt: 1 },
  ...{ after: [], by: 'ann@desk', at: AT },
};
const failure: Failure = {
  ...{ host: 'h2', release: 2, why: 'its ready checks did not pass in 10 s', exitCode: 137, oomKilled: true },
  ...{ check: 'http://172.17.0.2:80/ answered 503', logs: ['starting', 'no database'], at: AT },
};

describe('the word for a component', () => {
  const words: readonly [StatusWord, Partial<DesiredValue> | undefined, Partial<RolloutValue> | undefined][] =
    [
      ['unknown', undefined, undefined],
      ['unknown', undefined, {}],
      ['ready', {}, undefined],
      ['ready', {}, { state: 'done' }],
      ['ready', {}, { generation: 4 }],
      ['updating', {}, { state: 'preparing' }],
      ['updating', {}, { state: 'running' }],
      ['rolling back', {}, { kind: 'rollback' }],
      ['ready', {}, { kind: 'rollback', state: 'done' }],
      ['paused', {}, { state: 'paused' }],
      ['failed', {}, { state: 'failed' }],
      ['stopped', { status: 'stopped' }, { state: 'done' }],
      ['stopped', { status: 'stopped' }, { state: 'superseded', generation: 4 }],
      ['failed', { status: 'stopped', generation: 9 }, { state: 'failed', endedAt: AT }],
      ['stopped', { status: 'stopped', at: '2031-01-01' }, { state: 'failed', endedAt: AT }],
      ['killed', { status: 'killed' }, undefined],
    ];
  for (const [word, wanted, on] of words)
    test(`is ${word} with ${JSON.stringify(wanted ?? null)} and ${JSON.stringify(on ?? null)}`, () => {
      const is = statusWord(wanted && { ...desired, ...wanted }, on && { ...rollout, ...on });
      assert.equal(is, word);
    });
});

describe('a list', () => {
  const rowOf = async ({ fleet, cluster }: Ground) => {
    const look = await lookAtProject(fleet, PROJECT);
    const release = look.desired.get('web')?.value?.release;
    return componentRow(look, 'web', release === undefined ? undefined : releaseIn(cluster, 'web', release));
  };

  test('keeps the image after a stop', async () => {
    const all = await shop('web');
    assert.deepEqual(await rowOf(all), { component: 'web', status: 'unknown', release: 0 });
    await update(all.fleet, updateOf());
    await setStatus(all.fleet, { ...ask([], 'bob@desk'), status: 'stopped' });
    const image = { name: 'web:latest', id: 'sha256:web:latest', digests: [] };
    assert.deepEqual(await rowOf(all), {
      ...{ component: 'web', status: 'stopped', release: 1, image, by: 'bob@desk', at: AT },
    });
  });

  test('says why a component is paused', async () => {
    const all = await shop('web');
    await update(all.fleet, updateOf());
    writeRollout(all.cluster, 'web', {
      ...rolloutIn(all.cluster, 'web'),
      state: 'paused',
      reason: 'h1: broke',
    });
    assert.equal((await rowOf(all)).reason, 'h1: broke');
  });

  test('of hosts has those that told something and those that did not yet', () => {
    const older = container(1, { state: 'draining', connections: 3, check: 'old', startedAt: '2029' });
    const newer = container(2, { connections: 4, check: 'answered 200', startedAt: '2030' });
    const unchecked = container(3, { startedAt: '2031' });
    const told = status('h2', { generation: 5, serving: 2, containers: [older, newer, unchecked] });
    const behind = status('h1', { generation: 4, phase: 'waiting', why: 'h2 has its turn', containers: [] });
    const agents = [host('h3'), host('h1'), host('h4', { components: ['api'] })];
    const rows = hostRows('web', desired, [told, behind], agents);
    assert.deepEqual(
      rows.map((r) => [r.host, r.phase, r.release, r.settled, r.connections, r.check, r.why]),
      [
        ['h1', 'waiting', 1, false, 0, '', 'h2 has its turn'],
        ['h2', 'serving', 2, true, 7, 'answered 200', ''],
        ['h3', 'unknown', 0, false, 0, '', 'its agent has told nothing of it yet'],
      ],
    );
  });
});

test('a history tells how each release fared, the newest first', async () => {
  const all = await shop('web');
  await shipped(all, 'web');
  await update(all.fleet, { ...updateOf([], 'bob@desk'), note: 'try this' });
  putIn(all.cluster, AT_KEYS.outcome('web', 2), { format: 1, result: 'failed', at: AT, reason: 'h2: no' });
  await update(all.fleet, updateOf());
  await update(all.fleet, updateOf());
  const look = async () => lookAtComponent(all.fleet, await lookAtProject(all.fleet, PROJECT), 'web');
  const rows = historyRows(await look());
  assert.deepEqual(
    rows.map((r) => [r.release, r.outcome, r.reason, r.note, r.by, r.desired]),
    [
      [4, 'preparing', undefined, undefined, 'ann@desk', true],
      [3, 'superseded', undefined, undefined, 'ann@desk', false],
      [2, 'failed', 'h2: no', 'try this', 'bob@desk', false],
      [1, 'completed', undefined, undefined, 'ann@desk', false],
    ],
  );
  await rollback(all.fleet, ask());
  assert.deepEqual(
    historyRows(await look()).map((r) => [r.release, r.outcome, r.desired]),
    [
      [4, 'superseded', false],
      [3, 'superseded', false],
      [2, 'failed', false],
      [1, 'completed', true],
    ],
  );
});

describe('why', () => {
  const release = {
    image: { name: 'shop/web:2', id: `sha256:${'4a'.repeat(32)}`, digests: [] },
    spec: { instances: 1, update: { order: 'start-first', maxParallel: 1 } },
  } as unknown as ReleaseValue;
  const turn = (name: string, generation = 5) => {
    return { format: 1, host: name, generation, attempt: 1, lease: '1', at: AT } as const;
  };
  const says = (over: Partial<WhyInput>, expected: readonly string[]) => {
    const base = {
      component: 'web',
      desired,
      rollout,
      release,
      turns: [],
      statuses: [],
      hosts: [],
      now: NOW,
    };
    assert.deepEqual(whyLines({ ...base, ...over }), expected);
  };
  const WANTED = 'web is to run release 2 (shop/web:2, 4a4a4a4a4a4a), asked for by ann@desk 90 s ago';
  const NOBODY = 'No agent runs web on any live host: gantryd run starts one.';
  const well = (name: string, over: Partial<StatusValue> = {}) =>
    status(name, { generation: 5, serving: 2, ...over });

  test('of a component that nobody asked for', () => {
    says({ desired: undefined, rollout: undefined, release: undefined }, [
      'Nothing was asked of web yet: gantryd update deploys it.',
      NOBODY,
    ]);
  });

  test('of one that is well', () => {
    const statuses = [well('h1', { containers: [container(2, { check: 'answered 200' })] })];
    says({ rollout: { ...rollout, state: 'done' }, statuses }, [
      `${WANTED}: ready.`,
      'h1: serving for 90 s, release 2 serves, as wanted',
      '  last check: answered 200',
    ]);
  });

  test('of one that is stopped tells the release that is kept, and what drains', () => {
    const draining = container(2, { state: 'draining', connections: 2 });
    const statuses = [
      status('h1', { generation: 6, settled: 5, phase: 'draining', serving: 0, containers: [draining] }),
    ];
    says({ desired: { ...desired, status: 'stopped', generation: 6 }, statuses }, [
      'web is to be stopped, asked for by ann@desk 90 s ago; release 2 (shop/web:2, 4a4a4a4a4a4a) is kept.',
      'h1: draining for 90 s, nothing serves',
      '  1 draining, 2 connections in all',
    ]);
  });

  test('of a rollout tells whose turn it is, who is next, and what each waits for', () => {
    const waiting = { settled: 4, serving: 1, phase: 'waiting', why: 'h1 has its turn' } as const;
    const statuses = [
      well('h1', { settled: 4, phase: 'watching', retryAt: NOW + 8_000 }),
      well('h2', waiting),
    ];
    const turns = [turn('old', 4), turn('h1'), turn('h2'), turn('h3')];
    says({ statuses, turns }, [
      `${WANTED}: updating.`,
      'The rollout, begun 90 s ago, is running.',
      'old has its turn; h1 is next, then h2, h3.',
      'h1: watching for 90 s, release 2 serves',
      '  place 2 in the queue for a turn',
      '  next step in 8 s',
      'h2: waiting for 90 s, release 1 serves',
      '  h1 has its turn',
      '  place 3 in the queue for a turn',
    ]);
  });

  test('of a rollout that prepares tells who is ready, the error of a pull and its next try', () => {
    const pull = { settled: 4, serving: 1, phase: 'preparing', why: 'registry.example answers 503' } as const;
    const statuses = [well('h1', { ...pull, retryAt: NOW + 30_000 })];
    const after = [{ component: 'db', generation: 2 }];
    says({ rollout: { ...rollout, state: 'preparing', after }, statuses, turns: [turn('h2')] }, [
      `${WANTED}: updating.`,
      'The rollout, begun 90 s ago, is preparing.',
      'Before it switches, db must be done.',
      'Prepared: h2.',
      'h1: preparing for 90 s, release 1 serves',
      '  registry.example answers 503',
      '  next step in 30 s',
    ]);
  });

  test('of a rollout that a failure paused tells all that is known of it', () => {
    const state = { state: 'paused', attempt: 2, reason: `h2: ${failure.why}`, failure } as const;
    says({ rollout: { ...rollout, ...state }, hosts: [host('h9')] }, [
      `${WANTED}: paused.`,
      'The rollout, begun 90 s ago, is paused (attempt 2): h2: its ready checks did not pass in 10 s.',
      'gantryd rollout resume lets it go on; update or rollback replaces it.',
      'Release 2 failed on h2: its ready checks did not pass in 10 s',
      '  last check: http://172.17.0.2:80/ answered 503',
      '  exit code 137, out of memory',
      '  its last lines:',
      '  | starting',
      '  | no database',
      'h9: its agent has told nothing of it yet',
    ]);
  });

  test('of a rollback that a failure began tells of the failure', () => {
    const back = { ...rollout, kind: 'rollback', release: 1, from: 2, generation: 6, failure } as const;
    const lines = whyLines({
      ...{
        component: 'web',
        rollout: { ...back, reason: 'h2: no' },
        release,
        turns: [],
        hosts: [],
        now: NOW,
      },
      ...{ desired: { ...desired, release: 1, generation: 6, by: 'rollout of release 2' }, statuses: [] },
    });
    assert.equal(lines[1], 'The rollback to release 1, begun 90 s ago, is running: h2: no.');
    assert.equal(lines[2], `Release 2 failed on h2: ${failure.why}`);
  });

  test('of one that failed and left nothing', () => {
    const lines = whyLines({
      ...{ component: 'web', release, turns: [], hosts: [], statuses: [], now: NOW },
      rollout: { ...rollout, state: 'failed', reason: 'h2: no', failure },
      desired: { ...desired, status: 'stopped', generation: 6, by: 'rollout of release 2' },
    });
    assert.match(lines[0] ?? '', /^web is to be stopped, asked for by rollout of release 2 90 s ago/);
    assert.equal(lines[1], 'The rollout, begun 90 s ago, failed: h2: no.');
  });

  test('of a total tells whom others wait for, and who could not have more', () => {
    const shares: SharesValue = {
      ...{ format: 1, number: 3, total: 6, shares: { h1: 3, h2: 3 }, next: { h1: 3, h2: 3 } },
      ...{ arrived: ['h1'], host: 'h1', why: 'h3 is gone', at: AT },
    };
    const { next: _, arrived: __, ...even } = shares;
    const done = { ...rollout, state: 'done' } as const;
    const scale = { format: 1, instances: { total: 6 }, number: 1, by: 'ann@desk', at: AT } as const;
    const of = (over: Partial<WhyInput>) =>
      whyLines({
        ...{
          component: 'web',
          desired,
          rollout: done,
          release,
          turns: [],
          statuses: [],
          hosts: [],
          now: NOW,
        },
        ...{ scale, ...over },
      });
    assert.equal(of({ shares })[2], 'Not all there yet: h2 (3); nobody gives up anything before.');
    assert.equal(
      of({ shares: { ...even, late: { h2: 2 } } })[2],
      'Could not have more in time: h2 (2); the others have the rest until it is tried again.',
    );
    assert.deepEqual(
      [of({ shares: even })[2], of({ shares, scale: { ...scale, instances: 2 } })[2]],
      [NOBODY, NOBODY],
    );
  });

  test('of one that was healed tells what died, of what and with which words', () => {
    const died = { container: 'c'.repeat(64), exitCode: 137, oomKilled: true, logs: ['no more'], at: AT };
    const why = '3rd failure in a row, next try in 1.4 s; the pause doubles up to 60 s';
    const statuses = [well('h1', { why, retryAt: NOW + 1_400, died })];
    says({ rollout: { ...rollout, state: 'done' }, statuses }, [
      `${WANTED}: ready.`,
      'h1: serving for 90 s, release 2 serves, as wanted',
      `  ${why}`,
      '  next step in 1 s',
      '  container cccccccccccc ended by itself 90 s ago: exit code 137, out of memory',
      '  its last lines:',
      '  | no more',
    ]);
  });

  test('has the last twenty lines of a container that is not well', () => {
    const logs = Array.from({ length: 30 }, (_, i) => `line ${i}`);
    const statuses = [well('h1', { phase: 'failed', logs })];
    const lines = whyLines({
      component: 'web',
      desired,
      rollout,
      release,
      turns: [],
      statuses,
      hosts: [],
      now: NOW,
    });
    assert.deepEqual(lines.slice(-21), ['  its last lines:', ...logs.slice(10).map((l) => `  | ${l}`)]);
  });
});

test('a duration is as coarse as it is long', () => {
  const words = [-5, 0, 119_000, 120_000, 7_100_000, 7_200_000, 172_799_000, 172_800_000].map(duration);
  assert.deepEqual(words, ['0 s', '0 s', '119 s', '2 min', '118 min', '2 h', '47 h', '2 d']);
});
