import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  readConfig,
  readDesired,
  readHost,
  readLink,
  readOutcome,
  readRelease,
  readRollout,
  readStatus,
  readTurn,
} from '../../src/cluster/values.ts';

type Read = (entry: { value: string } | undefined) => unknown;
type Json = Record<string, unknown>;

const AT = '2026-01-02T03:04:05.000Z';
const IMAGE = { name: 'shop/web:1', id: 'sha256:1', digests: ['shop/web@sha256:2'] };
const LINK = { name: 'db', alias: 'DB', exporter: 'store', kind: 'tcp', containerPort: 5432 };
const CONTAINER = { id: 'c1', release: 3, state: 'serving', connections: 2, check: '200', startedAt: AT };

/** What gantryd writes, with every field that must be there. */
const WRITTEN: readonly (readonly [string, Read, Json])[] = [
  ['desired', readDesired, { status: 'ready', release: 3, generation: 7, by: 'a@b', at: AT }],
  [
    'release',
    readRelease,
    { number: 3, image: IMAGE, spec: { name: 'web' }, requires: [LINK], limits: {}, by: 'a@b', at: AT },
  ],
  [
    'rollout',
    readRollout,
    {
      ...{
        generation: 7,
        release: 3,
        from: 2,
        kind: 'update',
        state: 'running',
        attempt: 1,
        by: 'a@b',
        at: AT,
      },
      after: [{ component: 'store', generation: 4 }],
    },
  ],
  ['turn', readTurn, { host: 'h1', generation: 7, attempt: 1, lease: '12', at: AT }],
  ['outcome', readOutcome, { result: 'failed', at: AT }],
  [
    'status',
    readStatus,
    {
      ...{
        host: 'h1',
        settled: 6,
        generation: 7,
        serving: 3,
        phase: 'serving',
        why: '',
        logs: ['x'],
        since: AT,
      },
      known: { release: 3, generation: 7 },
      containers: [CONTAINER],
    },
  ],
  [
    'host',
    readHost,
    {
      ...{ host: 'h1', id: 'i', project: 'p', address: '10.0.0.1', version: '1', pid: 1, since: AT },
      components: ['web'],
      labels: { zone: 'a' },
    },
  ],
  ['link', readLink, { host: 'h1', address: '10.0.0.1', port: 80 }],
  ['config', readConfig, { project: 'p', file: { components: {} }, by: 'a@b', at: AT }],
];

/** Not asked for by readers: told, and decided by nobody. */
const TOLD_ONLY = ['pid'];

for (const [name, read, fields] of WRITTEN) {
  const written = { format: 1, ...fields };
  const readText = (value: string) => read({ value });
  const readJson = (value: unknown) => readText(JSON.stringify(value));

  describe(`A ${name} in etcd`, () => {
    test('is read as it was written, also with fields of a later version', () => {
      assert.deepEqual(readJson(written), written);
      assert.deepEqual(readJson({ ...written, later: [1] }), { ...written, later: [1] });
    });

    test('that is missing is none', () => {
      assert.equal(read(undefined), undefined);
    });

    test('that is no JSON object is none', () => {
      const whole = JSON.stringify(written);
      for (const text of ['', '{', 'null', '[]', '3', '"text"', 'true', whole.slice(0, -1), `${whole}x`])
        assert.equal(readText(text), undefined, text);
    });

    test('of another format is none', () => {
      for (const format of [undefined, 0, 2, '1', null])
        assert.equal(readJson({ ...written, format }), undefined, String(format));
    });

    test('with a field that is missing or of another kind is none', () => {
      for (const field of Object.keys(fields).filter((field) => !TOLD_ONLY.includes(field)))
        for (const damage of [undefined, null, { strange: true }, ['strange', 1], -1, 1.5, true, 'strange'])
          if (differs(damage, fields[field]))
            assert.equal(readJson({ ...written, [field]: damage }), undefined, `${field}: ${damage}`);
    });
  });
}

describe('Deeper in a value', () => {
  test('what is decided by must be right too', () => {
    const damaged: readonly (readonly [string, Json])[] = [
      ['status', { known: { release: '3', generation: 7 } }],
      ['status', { known: { release: 3 } }],
      ['status', { containers: [CONTAINER, {}] }],
      ['status', { logs: ['x', 1] }],
      ['rollout', { after: [{ component: 'store' }] }],
      ['rollout', { after: [null] }],
      ['rollout', { state: 'resting' }],
      ['rollout', { kind: 'revert' }],
      ['desired', { status: 'gone' }],
      ['desired', { generation: Number.MAX_SAFE_INTEGER + 1 }],
      ['release', { image: { ...IMAGE, id: undefined } }],
      ['release', { image: { ...IMAGE, digests: 'shop/web' } }],
      ['release', { requires: [{ ...LINK, containerPort: 'x' }] }],
      ['outcome', { result: 'unknown' }],
    ];
    for (const [name, damage] of damaged) {
      const [, read, fields] = WRITTEN.find(([kind]) => kind === name) ?? assert.fail(name);
      const value = JSON.stringify({ format: 1, ...fields, ...damage });
      assert.equal(read({ value }), undefined, value);
    }
  });
});

/** Whether it is of another kind than what is right there. Any text is one, where no list of words is asked for. */
function differs(damage: unknown, right: unknown): boolean {
  if (typeof right === 'string') return typeof damage !== 'string';
  if (Array.isArray(right)) return !Array.isArray(damage) || damage.includes('strange');
  if (typeof right === 'object')
    return typeof damage !== 'object' || damage === null || Array.isArray(damage);
  return damage !== right;
}
