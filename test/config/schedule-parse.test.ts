import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Schedule } from '../../src/config/job.ts';
import { DOCKET_EXAMPLE, SCHEDULES_EXAMPLE } from '../../src/config/job-reference.ts';
import { parseSchedules } from '../../src/config/schedule-parse.ts';
import { DOCKET, NOW, scheduleLines, scheduleTextLines } from './job-fixtures.ts';

function schedulesOf(text: string, file = 'cron.yml', timeZone = 'Europe/Berlin'): readonly Schedule[] {
  const result = parseSchedules(text, { file, timeZone, now: NOW });
  if ('schedules' in result) return result.schedules;
  assert.fail(JSON.stringify(result.problems));
}

const stepOf = (schedule: Schedule | undefined) => schedule?.job.steps[0];
const entry = (fields: object = {}) => ({ name: 'a', cron: '@daily', image: 'busybox', ...fields });
const docketOf = (container: object, fields: object = {}) => ({
  Name: 'a',
  Cron: '@daily',
  Container: { Config: { Image: 'busybox' }, ...container },
  ...fields,
});

test('docket.yml is taken as it is', () => {
  const schedules = schedulesOf(DOCKET);
  const [minute, nightly, report] = schedules;
  assert.deepEqual(
    schedules.map(({ job: _, ...schedule }) => schedule),
    [
      ['every-minute', '* * * * *'],
      ['nightly', '0 30 3 * * * *'],
      ['weekday_report', '0 9 * * MON-FRI'],
    ].map(([name, cron]) => ({
      name,
      cron,
      timeZone: 'Europe/Berlin',
      overlap: 'forbid',
      missed: 'runOnce',
      suspended: false,
    })),
  );
  assert.equal(minute?.job.name, 'every-minute');
  assert.deepEqual(stepOf(minute)?.command, ['sh', '-c', 'date; echo $WHO']);
  assert.deepEqual(stepOf(minute)?.environment, [
    { name: 'WHO', value: 'docket' },
    { name: 'OPTS', value: 'a=b' },
  ]);
  assert.equal(stepOf(minute)?.engine, undefined);
  assert.equal(stepOf(report)?.image, 'nosuch.example.com/report:v9');
  assert.deepEqual(stepOf(nightly), {
    name: '',
    image: 'example/backup:v1',
    environment: [],
    output: { kind: 'stdout' },
    refresh: false,
    networks: ['backend'],
    mounts: [
      { source: '/srv/data', target: '/data', readOnly: true },
      { source: 'cache', target: '/cache', readOnly: false },
    ],
    secrets: [],
    entrypoint: ['/backup'],
    user: '1000',
    memoryBytes: 134_217_728,
    cpus: 1.5,
    cpuShares: 256,
    engine: {
      config: { WorkingDir: '/srv', Tty: false },
      hostConfig: { CapDrop: ['ALL'] },
      networkingConfig: { EndpointsConfig: { backend: { Aliases: ['backup'] } } },
    },
  });
});

test('a single entry of the cron server, as its API answered it', () => {
  const answered = docketOf({ HostConfig: null, NetworkingConfig: null }, { Logs: ['x'] });
  const [schedule] = schedulesOf(JSON.stringify(answered), 'one.json');
  assert.equal(stepOf(schedule)?.image, 'busybox:latest');
  assert.equal(stepOf(schedule)?.engine, undefined);
});

test('binds with more to them than a step knows are left to Docker, all of them', () => {
  const [schedule] = schedulesOf(JSON.stringify([docketOf({ HostConfig: { Binds: ['/a:/b', '/c:/d:z'] } })]));
  assert.deepEqual(stepOf(schedule)?.mounts, []);
  assert.deepEqual(stepOf(schedule)?.engine?.hostConfig, { Binds: ['/a:/b', '/c:/d:z'] });
});

test('a machine that does not know its time zone cannot lend it', () => {
  const parse = (timeZone: string | undefined, fields: object = {}) => {
    const result = parseSchedules(JSON.stringify([entry(fields)]), { file: 'a.json', timeZone, now: NOW });
    return 'problems' in result ? result.problems.map(({ message }) => message).join() : 'accepted';
  };
  const needs = 'needs a `timeZone` for each schedule: that of this machine';
  assert.equal(parse(undefined), `${needs} is not known`);
  assert.equal(parse('Etc/Nowhere'), `${needs} is "Etc/Nowhere", and ${ZONE}`);
  assert.equal(parse(undefined, { timeZone: 'UTC' }), 'accepted');
});

test('a variable that is to be taken away is left to Docker', () => {
  const body = { Config: { Image: 'busybox', Env: ['A=1', 'PATH', 'B='] } };
  const [schedule] = schedulesOf(JSON.stringify([docketOf(body)]));
  assert.deepEqual(
    stepOf(schedule)?.environment.map(({ name }) => name),
    ['A', 'B'],
  );
  assert.deepEqual(stepOf(schedule)?.engine?.config, { Env: ['PATH'] });
});

test("what is empty or 0 in Docker's body says nothing, and its own bridge is no network", () => {
  const body = {
    Config: { Image: 'busybox', Cmd: [], Entrypoint: null, User: '', Env: null },
    HostConfig: { Memory: 0, NanoCpus: 0, CpuShares: 0, Binds: [], NetworkMode: 'bridge', AutoRemove: false },
  };
  const [schedule] = schedulesOf(JSON.stringify([docketOf(body)]));
  assert.deepEqual(stepOf(schedule), {
    name: '',
    image: 'busybox:latest',
    environment: [],
    output: { kind: 'stdout' },
    refresh: false,
    networks: [],
    mounts: [],
    secrets: [],
  });
});

test('our own form: a one-step job in the entry, and a job of its own', () => {
  const [cleanup, report] = schedulesOf(SCHEDULES_EXAMPLE);
  assert.equal(cleanup?.timeZone, 'Europe/Berlin');
  assert.equal(cleanup?.job.name, 'cleanup');
  assert.deepEqual(stepOf(cleanup)?.command?.slice(0, 4), ['find', '/var/tmp', '-name', '*.tmp']);
  assert.deepEqual([report?.overlap, report?.missed, report?.job.steps.length], ['queue', 'skip', 2]);
  assert.equal(schedulesOf(DOCKET_EXAMPLE).length, 1);
});

test('the job of an entry may have all a job has', () => {
  const fields = entry({
    suspended: true,
    retries: 2,
    keep: '1d',
    constraints: ['host==h1'],
    secrets: ['key'],
    registryAuth: 'auth.json',
    environment: { A: 'b' },
  });
  const [schedule] = schedulesOf(JSON.stringify(fields), '/srv/cron.json', 'UTC');
  assert.equal(schedule?.suspended, true);
  assert.equal(schedule?.timeZone, 'UTC');
  const { steps, ...job } = schedule?.job ?? assert.fail();
  assert.deepEqual(job, {
    name: 'a',
    environment: [],
    constraints: [{ on: 'host', key: '', equals: true, value: 'h1' }],
    retries: 2,
    keepMs: 86_400_000,
    remove: false,
  });
  assert.deepEqual(steps[0]?.registryAuth, { file: '/srv/auth.json' });
  assert.deepEqual(steps[0]?.environment, [{ name: 'A', value: 'b' }]);
});

test('the job of a schedule may be in the words of the workflow engine, and keeps its own name', () => {
  const job = { name: 'words', steps: [{ source: 'example/a', timeout: 5 }] };
  const [schedule] = schedulesOf(JSON.stringify([{ name: 'a', cron: '@daily', job }]));
  assert.equal(schedule?.job.name, 'words');
  assert.equal(stepOf(schedule)?.timeoutMs, 5_000);
});

test('schedules are frozen through and through, and survive JSON', () => {
  const schedules = schedulesOf(DOCKET);
  assert.ok(Object.isFrozen(schedules[1]?.job.steps[0]?.engine?.hostConfig));
  assert.deepEqual(JSON.parse(JSON.stringify(schedules)), schedules);
});

const NAME =
  'must begin with a letter or digit, go on with letters, digits, `_` or `-`, and have 63 characters at most';
const ZONE = 'must be a time zone by its IANA name, as "Europe/Berlin" or "UTC"';

const WRONG: readonly (readonly [string, unknown, readonly string[]])[] = [
  ['nothing', [], ['must not be empty']],
  ['an empty list', { schedules: [] }, ['/schedules: must not be empty (is: [])']],
  ['no list', { schedules: 5 }, ['/schedules: must be a list of schedules (is: 5)']],
  ['a text', '@daily', ['must be a list of schedules']],
  ['an entry that is none', [5], ['/0: must be an object (is: 5)']],
  [
    'a field beside the list',
    { schedules: [entry()], jobs: 1 },
    ['/jobs: unknown field; a schedule stands in the list `schedules` (is: 1)'],
  ],
  [
    'an empty entry',
    [{}],
    [
      '/0/name: is missing: name of the schedule, unique in the project',
      '/0/cron: is missing: cron expression that says when it runs, as `15 3 * * *`; docs/jobs.md has its grammar',
      '/0/image: is missing: a schedule has an `image` or a `job`',
    ],
  ],
  ['a name', [entry({ name: 'a b' })], [`/0/name: ${NAME} (is: "a b")`]],
  [
    'a name twice',
    [entry(), entry(), docketOf({})],
    ['/1/name: this name is taken by /0/name (is: "a")', '/2/Name: this name is taken by /0/name (is: "a")'],
  ],
  [
    'bad cron',
    [entry({ cron: '61 * * * *' })],
    ['/0/cron: field 1 (minute), "61": must be 0 to 59, not "61" (is: "61 * * * *")'],
  ],
  [
    'cron that is over',
    [entry({ cron: '0 0 30 2 *' })],
    ['/0/cron: has no time to come: no date like this lies ahead (is: "0 0 30 2 *")'],
  ],
  [
    'a zone',
    [entry({ timeZone: 'Europe/Berln' })],
    [`/0/timeZone: ${ZONE}; did you mean "Europe/Berlin"? (is: "Europe/Berln")`],
  ],
  [
    'bad cron in an unknown zone',
    [entry({ cron: '* * * *', timeZone: 'X' })],
    [
      `/0/timeZone: ${ZONE} (is: "X")`,
      '/0/cron: has 4 fields; five are needed (minute, hour, day of the month, month, day of the week), six with a year at the end, seven with seconds in front besides (is: "* * * *")',
    ],
  ],
  [
    'overlap',
    [entry({ overlap: 'que' })],
    ['/0/overlap: must be one of "forbid", "queue", "replace", "allow" (is: "que")'],
  ],
  [
    'a field of others',
    [entry({ schedule: 'x', tz: 'UTC' })],
    [
      '/0/schedule: unknown field; write `cron` (is: "x")',
      '/0/tz: unknown field; write `timeZone` (is: "UTC")',
    ],
  ],
  [
    'steps in the entry',
    [{ name: 'a', cron: '@daily', steps: [] }],
    [
      '/0/steps: unknown field; write `job`: {"steps": …} (is: [])',
      '/0/image: is missing: a schedule has an `image` or a `job`',
    ],
  ],
  [
    'an image beside a job',
    [entry({ job: { steps: [{ image: 'a' }] } })],
    ['/0/image: cannot stand beside `job`; put it in there (is: "busybox")'],
  ],
  [
    'a bad job',
    [{ name: 'a', cron: '@daily', job: { steps: [{ image: 'A', output: 'x' }] } }],
    [
      '/0/job/steps/0/image: must be in lower case: Docker knows no other image names (is: "A")',
      '/0/job/steps/0/output: must be "stdout", "stderr" or the absolute path of a file in the container (is: "x")',
    ],
  ],
  [
    'no job',
    [{ name: 'a', cron: '@daily', job: null }],
    ['/0/job: must be an object; leave the field out when there is nothing in it (is: null)'],
  ],
  [
    'a bad one-step job',
    [entry({ image: '', timeout: 5, mounts: ['x'], constraints: ['y'] })],
    [
      '/0/image: must not be empty (is: "")',
      '/0/timeout: must be at least 1000 milliseconds; write 5000 for 5 seconds (is: 5)',
      '/0/mounts/0: must be `SOURCE=TARGET` or `SOURCE=TARGET:ro`, as "/srv/data=/data:ro" (is: "x")',
      '/0/constraints/0: must be `host==NAME`, `host!=NAME`, `label.KEY==VALUE` or `label.KEY!=VALUE` (is: "y")',
    ],
  ],
  [
    'docket: nothing in it',
    [{ Name: 'a' }],
    ['/0/Cron: is missing: when it runs', "/0/Container: is missing: the body of Docker's create call"],
  ],
  ['docket: no config', [{ ...docketOf({}), Container: {} }], ['/0/Container/Config: is missing: what runs']],
  [
    'docket: no image',
    [docketOf({ Config: { Cmd: 'a' } })],
    ['/0/Container/Config/Image: is missing: the image'],
  ],
  [
    'docket: bad cron and image',
    [docketOf({ Config: { Image: 'A b' } }, { Cron: '@never' })],
    [
      '/0/Cron: there is no macro "@never"; known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly (is: "@never")',
      '/0/Container/Config/Image: must not contain blanks (is: "A b")',
    ],
  ],
  [
    'docket: a variable without name',
    [docketOf({ Config: { Image: 'a', Env: ['X=1', '=Y'] } })],
    [
      '/0/Container/Config/Env/1: must be NAME=value, or NAME to take a variable of the image away (is: "=Y")',
    ],
  ],
  [
    'docket: an unknown field',
    [docketOf({}, { Crom: 'x' })],
    ['/0/Crom: unknown field; did you mean "Cron"? (is: "x")'],
  ],
  [
    'docket: memory in words',
    [docketOf({ HostConfig: { Memory: '64m' } })],
    ['/0/Container/HostConfig/Memory: must be a whole number (is: "64m")'],
  ],
];

for (const [name, document, expected] of WRONG) {
  test(`refused: ${name}`, () => assert.deepEqual(scheduleLines(document).sort(), [...expected].sort()));
}

test('all problems come at once, with their places', () => {
  const text = [
    '- name: a',
    '  cron: 99 * * * *',
    '  image: busybox',
    '- Name: a',
    '  Cron: "@reboot"',
    '  Container: {Config: {Image: B}}',
  ];
  const lines = scheduleTextLines(text.join('\n'), 'cron.yml').map((line) => line.replace(/: .*/, ''));
  assert.deepEqual(lines, [
    'cron.yml:2:9  /0/cron',
    'cron.yml:4:9  /1/Name',
    'cron.yml:5:9  /1/Cron',
    'cron.yml:6:31  /1/Container/Config/Image',
  ]);
  assert.match(scheduleTextLines('- a: [', 'cron.yml')[0] ?? '', /^cron\.yml:\d+:\d+ {2}is not valid YAML/);
});

test('a cron expression that YAML takes for something else must stand in quotes', () => {
  const text = '- name: a\n  cron: */5 * * * * # often\n  image: b\n- cron: @daily\n  name: b\n  image: b\n';
  assert.deepEqual(
    scheduleTextLines(text, 'cron.yml').map((line) => line.split('\n')[0]),
    [
      'cron.yml:2:9  must stand in quotes: write "*/5 * * * *"',
      'cron.yml:4:9  must stand in quotes: write "@daily"',
    ],
  );
});

test("a part of Docker's body that contains itself is left out, not followed", () => {
  const text = 'Name: a\nCron: "@daily"\nContainer: {Config: {Image: a, Labels: &l {x: y, self: *l}}}\n';
  const [schedule] = schedulesOf(text);
  assert.deepEqual(stepOf(schedule)?.engine?.config, { Labels: { x: 'y' } });
});
