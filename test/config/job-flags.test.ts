import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_KEEP_MS } from '../../src/config/job.ts';
import { type JobFlags, jobOfFlags } from '../../src/config/job-flags.ts';
import { GantryError } from '../../src/errors.ts';

const flags = (fields: Partial<JobFlags> = {}): JobFlags => ({ image: 'busybox', ...fields });

test('an image is all it takes', () => {
  assert.deepEqual(jobOfFlags(flags()), {
    name: '',
    steps: [
      {
        name: '',
        image: 'busybox:latest',
        environment: [],
        output: { kind: 'stdout' },
        refresh: false,
        networks: [],
        mounts: [],
        secrets: [],
      },
    ],
    environment: [],
    constraints: [],
    retries: 0,
    keepMs: DEFAULT_KEEP_MS,
    remove: false,
  });
});

test('every flag has its place', () => {
  const job = jobOfFlags({
    image: 'r:5000/hrefs:v1',
    name: 'hrefs',
    env: ['URL=http://a/?b=c', 'HOME', 'EMPTY='],
    environment: { HOME: '/root', OTHER: 'x' },
    envFiles: [
      { path: 'a.env', text: '\ufeff# first\r\n\r\nA=1\r\n  B=two words \n' },
      { path: 'b.env', text: 'A=2\n#C=3\nD=#4' },
    ],
    mount: ['data/in=/in:ro', './out=/out', '/etc/x=/x', 'cache=/cache:rw', '.=/here'],
    cwd: '/srv/me',
    network: ['front', 'back', 'front'],
    secret: [{ name: 'key' }, { name: 'cert', sealed: 'x' }],
    constraint: ['host!=h1', 'label.zone==a'],
    command: `sh -c 'echo "$URL" | wc'`,
    entrypoint: '/bin/env',
    user: 'nobody',
    memory: '64m',
    cpus: 1.5,
    timeout: '60',
    retries: 2,
    keep: '1d',
    remove: true,
    refresh: true,
    registryAuth: { file: 'auth.json' },
  });
  assert.deepEqual(job, {
    name: 'hrefs',
    steps: [
      {
        name: '',
        image: 'r:5000/hrefs:v1',
        environment: [
          { name: 'A', value: '1' },
          { name: 'B', value: 'two words ' },
          { name: 'A', value: '2' },
          { name: 'D', value: '#4' },
          { name: 'URL', value: 'http://a/?b=c' },
          { name: 'HOME', value: '/root' },
          { name: 'EMPTY', value: '' },
        ],
        output: { kind: 'stdout' },
        refresh: true,
        networks: ['front', 'back'],
        mounts: [
          { source: '/srv/me/data/in', target: '/in', readOnly: true },
          { source: '/srv/me/out', target: '/out', readOnly: false },
          { source: '/etc/x', target: '/x', readOnly: false },
          { source: 'cache', target: '/cache', readOnly: false },
          { source: '/srv/me', target: '/here', readOnly: false },
        ],
        secrets: [{ name: 'key' }, { name: 'cert', sealed: 'x' }],
        command: ['sh', '-c', 'echo "$URL" | wc'],
        entrypoint: ['/bin/env'],
        user: 'nobody',
        timeoutMs: 60_000,
        memoryBytes: 67_108_864,
        cpus: 1.5,
        registryAuth: { file: '/srv/me/auth.json' },
      },
    ],
    environment: [],
    constraints: [
      { on: 'host', key: '', equals: false, value: 'h1' },
      { on: 'label', key: 'zone', equals: true, value: 'a' },
    ],
    retries: 2,
    keepMs: 86_400_000,
    remove: true,
  });
  assert.ok(Object.isFrozen(job.steps[0]?.mounts[0]));
});

const file = (text: string) => ({ envFiles: [{ path: 'prod.env', text }] });

/** Flags, what is said of them, and what is advised. */
const WRONG: readonly (readonly [Partial<JobFlags>, RegExp, RegExp])[] = [
  [{ image: '' }, /^--image "" must not be empty$/, /docker run/],
  [{ image: 'A' }, /^--image "A" must be in lower case/, /./],
  [{ env: ['NOPE'] }, /^--env NOPE has no value, and this shell has no variable NOPE$/, /--env NOPE=value/],
  [{ env: ['toString'] }, /^--env toString has no value/, /./],
  [{ env: ['=x'] }, /^--env "=x" has no name$/, /NAME=value/],
  [file('A=1\n\nsecret-piece\n'), /^prod\.env:3: this line has no NAME= in front$/, /NAME=value/],
  [file('=1'), /^prod\.env:1: /, /./],
  [{ mount: ['/a'] }, /^--mount "\/a" must be `SOURCE=TARGET`/, /SOURCE=TARGET\[:ro\]/],
  [{ mount: ['=/a'] }, /^--mount "=\/a" must be/, /./],
  [{ mount: ['/a=b'] }, /^--mount "\/a=b": its target must be an absolute path in the container$/, /./],
  [{ mount: ['/a:b=/c'] }, /^--mount "\/a:b=\/c": its source must not contain a colon/, /./],
  [{ mount: ['/a=/'] }, /its target must not be the root of the container$/, /./],
  [{ mount: ['/a=/c', '/b=/c'] }, /^--mount is given twice for \/c$/, /./],
  [{ network: [''] }, /^--network is empty$/, /./],
  [{ network: ['a', 'host'] }, /^--network host cannot be joined beside another one$/, /./],
  [{ secret: [{ name: '../x' }] }, /^--secret "\.\.\/x" is no name of a secret$/, /NAME=FILE/],
  [{ secret: [{ name: 'a' }, { name: 'a' }] }, /^--secret a is given twice$/, /./],
  [{ constraint: ['host=h1'] }, /^--constraint "host=h1" must be `host==NAME`/, /./],
  [{ command: 'a | b' }, /^--command "a \| b" has "\|", which needs a shell/, /--command "sh -c '…'"/],
  [{ command: "echo 'a" }, /^--command "echo 'a" has a ' without its other half$/, /two words/],
  [{ command: ' ' }, /^--command " " must not be empty$/, /./],
  [{ entrypoint: 'a > b' }, /^--entrypoint "a > b" has ">"/, /--entrypoint "sh -c/],
  [{ memory: '64mb' }, /^--memory "64mb" is no amount of memory$/, /64m/],
  [{ memory: '1m' }, /^--memory "1m" is less than the 6m that Docker demands$/, /./],
  [{ cpus: 0 }, /^--cpus "0" is no number of CPUs$/, /0\.5/],
  [{ cpus: 'many' }, /^--cpus "many" is no number/, /./],
  [{ timeout: 'soon' }, /^--timeout "soon" is no length of time$/, /90s/],
  [{ timeout: '0' }, /^--timeout must be more than 0$/, /./],
  [{ timeout: '25d' }, /^--timeout 25d is longer than 24 days$/, /./],
  [{ keep: '11y' }, /^--keep "11y" is no length of time$/, /./],
  [{ keep: '600w' }, /^--keep 600w is longer than ten years$/, /./],
  [{ retries: -1 }, /^--retries "-1" is no number from 0 to 1000$/, /./],
  [{ retries: 1.5 }, /^--retries "1\.5" is no number/, /./],
  [{ retries: '' }, /^--retries "" is no number/, /./],
];

for (const [fields, message, hint] of WRONG) {
  test(`refused: ${JSON.stringify(fields)}`, () => {
    assert.throws(
      () => jobOfFlags(flags(fields)),
      (error) => {
        assert.ok(error instanceof GantryError && error.code === 'usage', String(error));
        assert.match(error.message, message);
        assert.match(error.hint ?? '', hint);
        return true;
      },
    );
  });
}

test('what an env file holds is in no error', () => {
  assert.throws(
    () => jobOfFlags(flags(file('PASSWORD=a\nhunter2'))),
    (error) => error instanceof GantryError && !`${error.message}${error.hint}`.includes('hunter2'),
  );
});
