import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_KEEP_MS, type Job, type Step } from '../../src/config/job.ts';
import { parseJob } from '../../src/config/job-parse.ts';
import { JOB_EXAMPLE, WORKFLOW_EXAMPLE } from '../../src/config/job-reference.ts';
import { jobLines, jobTextLines, MULTI_STEP, WORDS } from './job-fixtures.ts';

function jobOf(text: string, file = 'job.json'): Job {
  const result = parseJob(text, { file });
  if ('job' in result) return result.job;
  assert.fail(JSON.stringify(result.problems));
}

const own = (step: object = {}, job: object = {}) => ({ steps: [{ image: 'busybox', ...step }], ...job });
const stepOf = (step: object) => jobOf(JSON.stringify(own(step)), '/srv/jobs/job.json').steps[0];

const PLAIN: Step = {
  name: '',
  image: 'busybox:latest',
  environment: [],
  output: { kind: 'stdout' },
  refresh: false,
  networks: [],
  mounts: [],
  secrets: [],
};

test('the smallest job has every default', () => {
  assert.deepEqual(jobOf('{"steps": [{"image": "busybox"}]}'), {
    name: '',
    steps: [PLAIN],
    environment: [],
    constraints: [],
    retries: 0,
    keepMs: DEFAULT_KEEP_MS,
    remove: false,
  });
});

test('a job is frozen through and through, and survives JSON', () => {
  const job = jobOf(MULTI_STEP);
  assert.ok(Object.isFrozen(job) && Object.isFrozen(job.steps[0]?.environment[0]));
  assert.deepEqual(JSON.parse(JSON.stringify(job)), job);
});

test('a job of the workflow engine is taken as it is', () => {
  const job = jobOf(WORDS);
  assert.equal(job.name, 'Word Job');
  const images = ['example/randword:latest', 'example/upper:latest', 'example/reverse:latest'];
  assert.deepEqual(
    job.steps,
    images.map((image) => ({ ...PLAIN, image })),
  );
});

test('every field of the workflow engine and its fork has its meaning', () => {
  assert.deepEqual(jobOf(MULTI_STEP), {
    name: 'multi',
    environment: [
      { name: 'REGION', value: 'north' },
      { name: 'EMPTY', value: '' },
    ],
    input: 'aGVsbG8K',
    steps: [
      {
        ...PLAIN,
        name: 'collect',
        image: 'example/collect:v2',
        environment: [{ name: 'DAYS', value: '7' }],
        output: { kind: 'stderr' },
        delimiters: { begin: '---BEGIN---', end: '---END---' },
        refresh: true,
        networks: ['host'],
        cpuShares: 512,
        memoryBytes: 67_108_864,
        timeoutMs: 30_000,
      },
      {
        ...PLAIN,
        image: 'registry.example.com:5000/team/pack:latest',
        output: { kind: 'file', path: '/out/report.tar' },
      },
    ],
    constraints: [],
    retries: 0,
    keepMs: DEFAULT_KEEP_MS,
    remove: false,
  });
});

test('the workflow engine is known by either of its words', () => {
  const variable = { environment: [{ variable: 'A', value: 'b' }], steps: [{ name: 'x' }] };
  assert.match(jobLines(variable)[0] ?? '', /steps\/0\/source: is missing/);
  assert.deepEqual(jobLines({ steps: [{ source: 'a', image: 'b' }] }), [
    '/steps/0/source: unknown field; write `image` (is: "a")',
  ]);
});

/** One field of a step at a time, and what it becomes. */
const FIELDS: readonly (readonly [string, object, Partial<Step>])[] = [
  ['a digest', { image: `a@sha256:${'0'.repeat(64)}` }, { image: `a@sha256:${'0'.repeat(64)}` }],
  ['a registry with a port', { image: 'r:5000/a' }, { image: 'r:5000/a:latest' }],
  ['a tag', { image: 'r:5000/a:v1' }, { image: 'r:5000/a:v1' }],
  ['a command as list', { command: ['echo', 'a b'] }, { command: ['echo', 'a b'] }],
  ['a command as text', { command: `sh -c 'a | b' "$X"` }, { command: ['sh', '-c', 'a | b', '$X'] }],
  ['an entrypoint as text', { entrypoint: '/run --it' }, { entrypoint: ['/run', '--it'] }],
  [
    'variables as list',
    { environment: [{ name: 'A', value: '' }] },
    { environment: [{ name: 'A', value: '' }] },
  ],
  [
    'variables as object',
    { environment: { A: '1', B: '=' } },
    {
      environment: [
        { name: 'A', value: '1' },
        { name: 'B', value: '=' },
      ],
    },
  ],
  ['a file', { output: '/a b/c' }, { output: { kind: 'file', path: '/a b/c' } }],
  ['stderr', { output: 'stderr' }, { output: { kind: 'stderr' } }],
  ['delimiters', { beginDelimiter: 'a', endDelimiter: 'a' }, { delimiters: { begin: 'a', end: 'a' } }],
  ['a timeout in milliseconds', { timeout: 1500 }, { timeoutMs: 1500 }],
  ['a timeout in words', { timeout: '1h30m' }, { timeoutMs: 5_400_000 }],
  ['a short timeout', { timeout: '250ms' }, { timeoutMs: 250 }],
  ['networks', { networks: ['a', 'bridge'] }, { networks: ['a', 'bridge'] }],
  ['the bridge alone', { networks: ['bridge'] }, { networks: [] }],
  ['one network', { networkMode: 'container:x' }, { networks: ['container:x'] }],
  ['the default network', { networkMode: 'default' }, { networks: [] }],
  ['a mount', { mounts: ['/a=/b'] }, { mounts: [{ source: '/a', target: '/b', readOnly: false }] }],
  [
    'a mount read-only',
    { mounts: ['vol=/b:ro'] },
    { mounts: [{ source: 'vol', target: '/b', readOnly: true }] },
  ],
  [
    'a mount as object',
    { mounts: [{ source: '/a', target: '/b' }] },
    { mounts: [{ source: '/a', target: '/b', readOnly: false }] },
  ],
  ['memory in bytes', { memory: 67_108_864 }, { memoryBytes: 67_108_864 }],
  ['memory in words', { memory: '64m' }, { memoryBytes: 67_108_864 }],
  ['CPUs', { cpus: 0.5, cpuShares: 2 }, { cpus: 0.5, cpuShares: 2 }],
  ['secrets', { secrets: ['a', 'b.c'] }, { secrets: [{ name: 'a' }, { name: 'b.c' }] }],
  ['a registry auth', { registryAuth: 'auth.json' }, { registryAuth: { file: '/srv/jobs/auth.json' } }],
  [
    'a user',
    { user: '1000:1000', refresh: true, name: 'x' },
    { user: '1000:1000', refresh: true, name: 'x' },
  ],
];

for (const [name, fields, expected] of FIELDS) {
  test(`a step with ${name}`, () => assert.deepEqual(stepOf(fields), { ...PLAIN, ...expected }));
}

test('what a job has besides its steps', () => {
  const fields = {
    name: 'n',
    environment: { A: 'b' },
    input: 'aGVs\nbG8=\n',
    constraints: ['host==h1', 'node.labels.disk != slow'],
    retries: 3,
    keep: '30d',
    remove: true,
  };
  const { steps: _, ...rest } = jobOf(JSON.stringify(own({}, fields)));
  assert.deepEqual(rest, {
    name: 'n',
    environment: [{ name: 'A', value: 'b' }],
    input: 'aGVsbG8=',
    constraints: [
      { on: 'host', key: '', equals: true, value: 'h1' },
      { on: 'label', key: 'disk', equals: false, value: 'slow' },
    ],
    retries: 3,
    keepMs: 30 * 86_400_000,
    remove: true,
  });
  assert.equal(jobOf(JSON.stringify(own({}, { keep: 0 }))).keepMs, 0);
});

test('the examples of the reference are valid', () => {
  assert.equal(jobOf(JOB_EXAMPLE, 'job.yaml').steps.length, 2);
  assert.equal(jobOf(WORKFLOW_EXAMPLE).steps.length, 3);
});

const CHANNEL = 'must be "stdout", "stderr" or the absolute path of a file in the container';
const FORM = 'must be milliseconds as a number, or a text as "90s", "5m", "2h", "7d"';

/** What is wrong with a job, without `/steps/0/` where that is meant. */
const WRONG: readonly (readonly [string, unknown, readonly string[]])[] = [
  [
    'no steps',
    {},
    [
      '/steps: is missing: one container each, run one after the other. What one gives as its output the next one reads',
    ],
  ],
  ['empty steps', { steps: [] }, ['/steps: must not be empty (is: [])']],
  ['a list', [], ['must be an object']],
  ['a text', 'x', ['must be an object']],
  [
    'a step that is none',
    { steps: ['busybox'] },
    ['/steps/0: must be an object: {"image": …} (is: "busybox")'],
  ],
  [
    'a step without image',
    { steps: [{ name: 'a' }] },
    ['image: is missing: image, with a tag or a digest; without one it is `:latest`'],
  ],
  ['an empty image', own({ image: '' }), ['image: must not be empty (is: "")']],
  ['a blank image', own({ image: 'a b' }), ['image: must not contain blanks (is: "a b")']],
  [
    'an image in capitals',
    own({ image: 'Busybox' }),
    ['image: must be in lower case: Docker knows no other image names (is: "Busybox")'],
  ],
  [
    'an address',
    own({ image: 'https://r/a' }),
    ['image: must be an image, not an address: leave out what stands before `//` (is: "https://r/a")'],
  ],
  [
    'an odd image',
    own({ image: 'a!' }),
    ['image: must be the name of an image, as "registry.example.com/team/name:tag" (is: "a!")'],
  ],
  [
    'an empty tag',
    own({ image: 'a:' }),
    ['image: must have a tag of letters, digits, `_`, `.` and `-` behind the colon, 128 at most (is: "a:")'],
  ],
  [
    'a short digest',
    own({ image: 'a@sha256:0' }),
    ['image: must have `sha256:` and 64 hexadecimal digits behind the `@` (is: "a@sha256:0")'],
  ],
  ['an unknown field', own({ imag: 'x' }), ['imag: unknown field; did you mean "image"? (is: "x")']],
  [
    'a field of other tools',
    own({ volumes: [] }),
    ['volumes: unknown field; write `mounts`, a list of "SOURCE=TARGET" (is: [])'],
  ],
  ['a bad channel', own({ output: 'foo' }), [`output: ${CHANNEL} (is: "foo")`]],
  [
    'a mistyped channel',
    own({ output: 'stdot' }),
    [`output: ${CHANNEL}; did you mean "stdout"? (is: "stdot")`],
  ],
  ['a folder for a channel', own({ output: '/out/' }), [`output: ${CHANNEL} (is: "/out/")`]],
  [
    'no end',
    own({ beginDelimiter: 'a' }),
    ['endDelimiter: is missing: `beginDelimiter` means nothing without it'],
  ],
  [
    'no beginning',
    own({ endDelimiter: 'a' }),
    ['beginDelimiter: is missing: `endDelimiter` means nothing without it'],
  ],
  [
    'delimiters of two lines',
    own({ beginDelimiter: 'a\nb', endDelimiter: 'c' }),
    ['beginDelimiter: must be a single line (is: "a\\nb")'],
  ],
  [
    'delimiters in a file',
    own({ output: '/a', beginDelimiter: 'a', endDelimiter: 'b' }),
    [
      'beginDelimiter: is for what is printed; a file is taken whole. Leave it out, or take `output` "stdout" (is: "a")',
    ],
  ],
  [
    'no base64',
    own({}, { input: 'hello!' }),
    [
      '/input: must be base64 (letters, digits, `+`, `/`, with `=` at the end), as `base64 FILE` prints it (is: "hello!")',
    ],
  ],
  [
    'base64 cut short',
    own({}, { input: 'aGVsbG8' }),
    [
      '/input: must be base64 (letters, digits, `+`, `/`, with `=` at the end), as `base64 FILE` prints it (is: "aGVsbG8")',
    ],
  ],
  [
    'seconds',
    own({ timeout: 60 }),
    ['timeout: must be at least 1000 milliseconds; write 60000 for 60 seconds (is: 60)'],
  ],
  ['a duration without unit', own({ timeout: '60' }), [`timeout: ${FORM} (is: "60")`]],
  ['a duration that is none', own({ timeout: 'soon' }), [`timeout: ${FORM} (is: "soon")`]],
  [
    'a timeout of nothing',
    own({ timeout: '0s' }),
    ['timeout: must be more than 0; leave it out for no limit (is: "0s")'],
  ],
  ['a very long timeout', own({ timeout: '25d' }), ['timeout: must be 24 days at most (is: "25d")']],
  ['a bad type', own({ timeout: true }), ['timeout: must be a whole number or text (is: true)']],
  [
    'little memory',
    own({ memory: '5m' }),
    ['memory: must be at least "6m" (6291456 bytes), as Docker demands (is: "5m")'],
  ],
  ['fewer bytes', own({ memory: 64 }), ['memory: must be at least 6291456 (is: 64)']],
  [
    'memory of nothing',
    own({ memory: '64mb' }),
    ['memory: must be a number of bytes, or one with `k`, `m` or `g`, as "512m" (is: "64mb")'],
  ],
  [
    'no CPU',
    own({ cpus: 0, cpuShares: 1 }),
    ['cpus: must be more than 0 (is: 0)', 'cpuShares: must be between 2 and 262144 (is: 1)'],
  ],
  [
    'a command for a shell',
    own({ command: 'a | b' }),
    [`command: has "|", which needs a shell: write sh -c '…' around it (is: "a | b")`],
  ],
  ['an open quote', own({ command: `echo 'a` }), [`command: has a ' without its other half (is: "echo 'a")`]],
  [
    'an empty command',
    own({ command: [], entrypoint: '' }),
    [
      "command: must not be empty; leave it out for the image's own (is: [])",
      'entrypoint: must not be empty (is: "")',
    ],
  ],
  ['a command of a number', own({ command: 5 }), ['command: must be a list or text (is: 5)']],
  [
    'variables as text',
    own({ environment: 'A=b' }),
    ['environment: must be a list or an object (is: "A=b")'],
  ],
  [
    'a variable as text',
    own({ environment: ['A=b'] }),
    ['environment/0: must be an object: write {"name":"A","value":"b"} (is: "A=b")'],
  ],
  [
    'a variable of a number',
    own({ environment: { A: 5 } }),
    ['environment/A: must be text: write "5" in quotes (is: 5)'],
  ],
  [
    'an odd variable',
    own({ environment: [{ name: 'A=', value: '' }] }),
    ['environment/0/name: must be the name of a variable: not empty and without `=` (is: "A=")'],
  ],
  [
    'networks that exclude others',
    own({ networks: ['a', 'host'] }),
    ['networks/1: "host" must be the only network (is: "host")'],
  ],
  [
    'a network twice',
    own({ networks: ['a', 'a'] }),
    ['networks/1: this network is named at /steps/0/networks/0 already (is: "a")'],
  ],
  [
    'two ways to say it',
    own({ networks: ['a'], networkMode: 'b' }),
    ['networkMode: cannot stand beside `networks`; name all networks there (is: "b")'],
  ],
  [
    'a mount without target',
    own({ mounts: ['/a'] }),
    ['mounts/0: must be `SOURCE=TARGET` or `SOURCE=TARGET:ro`, as "/srv/data=/data:ro" (is: "/a")'],
  ],
  [
    'a relative source',
    own({ mounts: ['./a=/b'] }),
    ['mounts/0: must be an absolute path on the host, or the name of a volume (is: "./a=/b")'],
  ],
  [
    'a relative target',
    own({ mounts: [{ source: '/a', target: 'b' }] }),
    ['mounts/0/target: must be an absolute path in the container (is: "b")'],
  ],
  [
    'a target twice',
    own({ mounts: ['/a=/b', '/c=/b/'] }),
    ['mounts/1: something is mounted here by /steps/0/mounts/0 already (is: "/c=/b/")'],
  ],
  [
    'a secret twice',
    own({ secrets: ['a', 'a'] }),
    ['secrets/1: this secret is named at /steps/0/secrets/0 already (is: "a")'],
  ],
  [
    'an odd secret',
    own({ secrets: ['../a'] }),
    [
      'secrets/0: must begin with a letter or digit, go on with letters, digits, `_`, `.` or `-`, and have 63 characters at most (is: "../a")',
    ],
  ],
  [
    'a constraint',
    own({}, { constraints: ['host=h1'] }),
    [
      '/constraints/0: must be `host==NAME`, `host!=NAME`, `label.KEY==VALUE` or `label.KEY!=VALUE` (is: "host=h1")',
    ],
  ],
  ['retries', own({}, { retries: -1 }), ['/retries: must be between 0 and 1000 (is: -1)']],
  ['a long keep', own({}, { keep: '99y' }), [`/keep: ${FORM} (is: "99y")`]],
  [
    'the engine: no channel',
    { steps: [{ source: 'a', output: 'foo', memory: 5 }] },
    [
      `output: ${CHANNEL} (is: "foo")`,
      'memory: must be at least "6m" (6291456 bytes), as Docker demands (is: 5)',
    ],
  ],
  [
    'the engine: one delimiter',
    { steps: [{ source: 'a', beginDelimiter: 'x', endDelimiter: '' }] },
    ['endDelimiter: is missing: `beginDelimiter` means nothing without it (is: "")'],
  ],
  [
    'the engine: its own answer',
    { id: 'x', steps: [{ source: '' }] },
    [
      '/id: unknown field; leave it out; each run gets its own (is: "x")',
      'source: must not be empty (is: "")',
    ],
  ],
  [
    'the engine: a unit',
    { steps: [{ source: 'a', timeout: '60s' }] },
    ['timeout: must be a whole number of seconds: write 60 (is: "60s")'],
  ],
];

for (const [name, document, expected] of WRONG) {
  test(`refused: ${name}`, () => {
    const lines = jobLines(document).map((line) => line.replace('/steps/0/', ''));
    assert.deepEqual(
      [...lines].sort(),
      [...expected].map((line) => line.replace(/^\/steps\/0\//, '')).sort(),
    );
  });
}

test('all problems come at once, in the order of the file, with their places', () => {
  const text =
    '{"steps": [\n  {"image": "",\n   "output": "foo"},\n  {"beginDelimiter": "x"}],\n "input": "?"}';
  const places = jobTextLines(text).map((line) => line.replace(/: .*/, ''));
  assert.deepEqual(places, [
    'job.json:2:13  /steps/0/image',
    'job.json:3:14  /steps/0/output',
    'job.json:4:3  /steps/1/image',
    'job.json:4:3  /steps/1/endDelimiter',
    'job.json:5:11  /input',
  ]);
});

test('malformed text is told by line and column', () => {
  assert.match(
    jobTextLines('{"steps": [\n{"image": "a"},\n]}')[0] ?? '',
    /^job\.json:2:15 {2}is not valid JSON: no comma/,
  );
  assert.match(jobTextLines('steps:\n\t- a', 'job.yaml')[0] ?? '', /^job\.yaml:2:1 {2}is not valid YAML/);
  assert.match(jobTextLines('')[0] ?? '', /is empty; the smallest job is \{"steps"/);
  assert.match(jobTextLines('{"steps": [{"image":"a","image":"b"}]}')[0] ?? '', /given twice/);
});
