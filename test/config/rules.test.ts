/** What a project file may not say: each rule with the exact message an operator reads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JOB_ROOT, WORKFLOW_ROOT } from '../../src/config/job-schema.ts';
import { PATTERNS } from '../../src/config/messages.ts';
import { DOCKET_ROOT, SCHEDULE_ROOT } from '../../src/config/schedule-schema.ts';
import { ROOT, type SchemaNode } from '../../src/config/schema.ts';
import { linesFor } from './problem-lines.ts';

type Fields = Record<string, unknown>;

const web = (fields: Fields) => ({ components: [{ name: 'web', repo: 'nginx', ...fields }] });
const pair = (a: Fields, b: Fields) => ({
  components: [
    { name: 'a', repo: 'x', ...a },
    { name: 'b', repo: 'x', ...b },
  ],
});
const ports = [{ external: 80, container: 8080 }];
const KINDS = 'must be one of "http", "https", "tcp", "exec", "connection"';

/** Name, document, expected lines. Paths count from the only component unless they begin with `/`. */
const CASES: readonly (readonly [string, unknown, readonly string[]])[] = [
  [
    'an unknown field near a known one',
    web({ readyCheks: [] }),
    ['readyCheks: unknown field; did you mean "readyChecks"? (is: [])'],
  ],
  ['an unknown field near none', web({ zzz: 1 }), ['zzz: unknown field (is: 1)']],
  [
    'an unknown field of a small object',
    web({ ports: [{ external: 80, container: 80, zzz: 1 }] }),
    ['ports/0/zzz: unknown field; the fields here are external, container, kind, plane, address (is: 1)'],
  ],
  [
    'a missing field',
    web({ ports: [{ external: 80 }] }),
    ['ports/0/container: is missing: port of the container'],
  ],
  [
    'a missing name',
    { components: [{ repo: 'x' }] },
    ['name: is missing: name of the component, unique in the project'],
  ],
  ['no components', { components: [] }, ['/components: must not be empty (is: [])']],
  ['a list for the project', [], ['must be an object']],
  [
    'a number in quotes',
    web({ instances: '2' }),
    ['instances: must be a whole number or {"total": …}: write 2 without quotes (is: "2")'],
  ],
  ['a fraction', web({ instances: 1.5 }), ['instances: must be a whole number or {"total": …} (is: 1.5)']],
  [
    'a duration with a unit',
    web({ readyTimeout: '2.5s' }),
    ['readyTimeout: must be a whole number of milliseconds: write 2500 (is: "2.5s")'],
  ],
  [
    'a duration past the timers',
    web({ drainTimeout: 1e10 }),
    ['drainTimeout: must be between 0 and 2147483647 milliseconds (is: 10000000000)'],
  ],
  [
    'no host that may have its turn',
    web({ update: { maxParallel: 0 } }),
    ['update/maxParallel: must be at least 1 (is: 0)'],
  ],
  [
    'an unknown way to fail',
    web({ update: { onFailure: 'rolback' } }),
    ['update/onFailure: must be one of "rollback", "pause"; did you mean "rollback"? (is: "rolback")'],
  ],
  ['a number out of range', web({ instances: 0 }), ['instances: must be between 1 and 100 (is: 0)']],
  ['no cpus', web({ resources: { cpus: 0 } }), ['resources/cpus: must be more than 0 (is: 0)']],
  [
    'a word for a boolean',
    web({ privileged: 'yes' }),
    ['privileged: must be true or false: write true, without quotes (is: "yes")'],
  ],
  ['a number for a text', web({ tag: 2 }), ['tag: must be text: write "2" in quotes (is: 2)']],
  [
    'a command line',
    web({ command: 'serve  --all' }),
    ['command: must be a list: write ["serve","--all"] (is: "serve  --all")'],
  ],
  [
    'a single value for a list',
    web({ volumesFrom: 'data' }),
    ['volumesFrom: must be a list: write ["data"] (is: "data")'],
  ],
  [
    'an empty YAML field',
    web({ ports: null }),
    ['ports: must be a list; leave the field out when there is nothing in it (is: null)'],
  ],
  [
    'a port pair',
    web({ ports: ['8080:80'] }),
    ['ports/0: must be an object: write {"external": 8080, "container": 80} (is: "8080:80")'],
  ],
  [
    'a variable as text',
    web({ environmentVariables: ['A=b=c'] }),
    ['environmentVariables/0: must be an object: write {"name":"A","value":"b=c"} (is: "A=b=c")'],
  ],
  [
    'variables as an object',
    web({ environmentVariables: { A: 'b' } }),
    ['environmentVariables: must be a list of objects, each {"name": …, "value": …} (is: {"A":"b"})'],
  ],
  [
    'a bad name',
    web({ name: '-web' }),
    [`name: ${PATTERNS['^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$']} (is: "-web")`],
  ],
  ['an empty text', web({ hostname: '' }), ['hostname: must not be empty (is: "")']],
  [
    'a bad extra host',
    web({ extraHosts: ['db'] }),
    ['extraHosts/0: must be `name:address`, as "db:10.0.0.5" (is: "db")'],
  ],
  // What earlier versions and other tools write.
  [
    'exec_command',
    web({ terminationSignals: [{ kind: 'exec', exec_command: 'stop' }] }),
    [
      'terminationSignals/0/command: is missing: kind "exec" needs the program and its arguments',
      'terminationSignals/0/exec_command: unknown field; write `command`, a list of the program and its arguments, as ["sh", "-c", "…"] (is: "stop")',
    ],
  ],
  [
    'the kind connections',
    web({ terminationChecks: [{ kind: 'connections' }] }),
    [`terminationChecks/0/kind: ${KINDS}; the kind is called "connection" (is: "connections")`],
  ],
  [
    'a mistyped kind',
    web({ readyChecks: [{ kind: 'htpp' }] }),
    [`readyChecks/0/kind: ${KINDS}; did you mean "http"? (is: "htpp")`],
  ],
  [
    'a timeout in seconds',
    web({ ports, healthChecks: [{ kind: 'tcp', timeout: 3 }] }),
    ['healthChecks/0/timeout: must be at least 20 milliseconds; write 3000 for 3 seconds (is: 3)'],
  ],
  ['an image', web({ image: 'nginx:1' }), ['image: unknown field; write `repo` and `tag` (is: "nginx:1")']],
  // The image.
  [
    'a tag in repo',
    web({ repo: 'host:5000/shop/web:v2' }),
    [
      'repo: must be the image without its tag: write repo "host:5000/shop/web" and tag "v2" (is: "host:5000/shop/web:v2")',
    ],
  ],
  [
    'capitals in repo',
    web({ repo: 'Nginx' }),
    ['repo: must be in lower case: Docker knows no other image names (is: "Nginx")'],
  ],
  [
    'a cut digest',
    web({ tag: 'sha256:12' }),
    ['tag: must be `sha256:` and 64 hexadecimal digits (is: "sha256:12")'],
  ],
  [
    'a bad tag',
    web({ tag: 'v 2' }),
    ['tag: must be a tag (letters, digits, `_`, `.`, `-`; 128 characters at most) or `sha256:…` (is: "v 2")'],
  ],
  // The project's names, ports and links.
  [
    'a name twice',
    pair({}, { name: 'a' }),
    ['/components/1/name: this name is taken by /components/0 (is: "a")'],
  ],
  [
    'a port twice',
    pair({ ports }, { ports }),
    [
      '/components/1/ports/0/external: port 80 is taken by component "a" at /components/0/ports/0/external (is: 80)',
    ],
  ],
  [
    'a port under a wildcard',
    pair({ ports }, { ports: [{ external: 80, container: 1, address: '127.0.0.1' }] }),
    [
      '/components/1/ports/0/external: port 80 is taken by component "a" at /components/0/ports/0/external (0.0.0.0 and 127.0.0.1 overlap) (is: 80)',
    ],
  ],
  [
    'one IPv6 address in two spellings',
    web({
      ports: [
        { external: 80, container: 1, address: '::1' },
        { external: 80, container: 2, address: '0:0::1' },
      ],
    }),
    [
      'ports/1/external: port 80 is taken by component "web" at /components/0/ports/0/external (::1 and 0:0::1 overlap) (is: 80)',
    ],
  ],
  [
    'a host name as address',
    web({ ports: [{ ...ports[0], address: 'localhost' }] }),
    ['ports/0/address: must be an IP address of this host, as "127.0.0.1" or "::" (is: "localhost")'],
  ],
  [
    'a link twice',
    pair(
      { defineComponentLinks: [{ name: 'db', port: 1 }] },
      { defineComponentLinks: [{ name: 'db', port: 2 }] },
    ),
    [
      '/components/1/defineComponentLinks/0/name: a link of this name is defined at /components/0/defineComponentLinks/0 already (is: "db")',
    ],
  ],
  [
    'a link nobody defines',
    pair(
      { defineComponentLinks: [{ name: 'store', port: 1 }] },
      { requireComponentLinks: [{ name: 'stoer', alias: 'S' }] },
    ),
    [
      '/components/1/requireComponentLinks/0/name: no component defines this link; defined are "store"; did you mean "store"? (is: "stoer")',
    ],
  ],
  [
    'a link where there is none',
    web({ requireComponentLinks: [{ name: 'db', alias: 'DB' }] }),
    ['requireComponentLinks/0/name: no component defines this link; none is defined (is: "db")'],
  ],
  [
    'its own link',
    web({
      defineComponentLinks: [{ name: 'db', port: 1 }],
      requireComponentLinks: [{ name: 'db', alias: 'DB' }],
    }),
    ['requireComponentLinks/0/name: this component defines the link itself; it cannot require it (is: "db")'],
  ],
  [
    'aliases that differ in case',
    pair(
      {
        defineComponentLinks: [
          { name: 'x', port: 1 },
          { name: 'y', port: 2 },
        ],
      },
      {
        requireComponentLinks: [
          { name: 'x', alias: 'db' },
          { name: 'y', alias: 'DB' },
        ],
      },
    ),
    [
      '/components/1/requireComponentLinks/1/alias: the variables DB_CLINK… are those of /components/1/requireComponentLinks/0 already (is: "DB")',
    ],
  ],
  // Checks and signals.
  [
    'a check without a port to take',
    web({ readyChecks: [{ kind: 'http' }] }),
    [
      'readyChecks/0/port: is missing: kind "http" needs the container port to ask (the component has no `ports` to take it from)',
    ],
  ],
  [
    'a signal with several ports to take',
    web({ ports: [...ports, { external: 81, container: 81 }], terminationSignals: [{ kind: 'https' }] }),
    [
      'terminationSignals/0/port: is missing: kind "https" needs the container port to ask (the component has several `ports`)',
    ],
  ],
  [
    'an exec check without command',
    web({ readyChecks: [{ kind: 'exec' }] }),
    ['readyChecks/0/command: is missing: kind "exec" needs the program and its arguments'],
  ],
  [
    'verify on http',
    web({ ports, readyChecks: [{ kind: 'http', verify: true }] }),
    ['readyChecks/0/verify: does not belong to kind "http", only to "https" (is: true)'],
  ],
  [
    'a path on tcp',
    web({ ports, readyChecks: [{ kind: 'tcp', path: '/' }] }),
    ['readyChecks/0/path: does not belong to kind "tcp", only to "http", "https" (is: "/")'],
  ],
  [
    'connection as health check',
    web({ healthChecks: [{ kind: 'connection' }] }),
    [
      'healthChecks/0/kind: "connection" is for terminationChecks only: a new container has no connections (is: "connection")',
    ],
  ],
  // The rest of a component.
  [
    'our own labels',
    web({ labels: { 'io.gantryd.project': 'x' } }),
    [
      'labels/io.gantryd.project: labels beginning with `io.gantryd.` are gantryd\'s own; choose another name (is: "x")',
    ],
  ],
  [
    'two bindings on one volume',
    web({
      bindings: [
        { external: '/a', volume: '/d' },
        { external: '/b', volume: '/d/' },
      ],
    }),
    ['bindings/1/volume: something is mounted here by /components/0/bindings/0 already (is: "/d/")'],
  ],
  [
    'a relative binding',
    web({ bindings: [{ external: './data', volume: '/d' }] }),
    ['bindings/0/external: must be an absolute path on this host or the name of a volume (is: "./data")'],
  ],
  [
    'a variable twice',
    web({
      environmentVariables: [
        { name: 'A', value: '1' },
        { name: 'A', value: '2' },
      ],
    }),
    [
      'environmentVariables/1/name: the variable is set at /components/0/environmentVariables/0 already (is: "A")',
    ],
  ],
  [
    'memory in words',
    web({ resources: { memory: 'much' } }),
    ['resources/memory: must be a number of bytes, or one with `k`, `m` or `g`, as "512m" (is: "much")'],
  ],
  [
    'too little memory',
    web({ resources: { memory: '5m' } }),
    ['resources/memory: must be at least "6m" (6291456 bytes), as Docker demands (is: "5m")'],
  ],
  [
    'a hard limit below the soft one',
    web({ ulimits: [{ name: 'nofile', soft: 10, hard: 5 }] }),
    ['ulimits/0/hard: must not be lower than the soft limit, 10 (is: 5)'],
  ],
  [
    'a limit twice',
    web({
      ulimits: [
        { name: 'nofile', soft: 10 },
        { name: 'nofile', soft: 10 },
      ],
    }),
    ['ulimits/1/name: the limit is set at /components/0/ulimits/0 already (is: "nofile")'],
  ],
  [
    'a secret twice',
    web({ secrets: ['db', 'token', 'db'] }),
    ['secrets/2: the secret is named at /components/0/secrets/0 already (is: "db")'],
  ],
  [
    'a secret that is a path',
    web({ secrets: ['../db'] }),
    [
      'secrets/0: must begin with a letter or digit, go on with letters, digits, `_`, `.` or `-`, and have 63 characters at most (is: "../db")',
    ],
  ],
  [
    'instances on the host network',
    web({ network: 'host', instances: 2 }),
    [
      'instances: must be 1 on the network "host": the containers of "web" would fight for their ports (is: 2)',
    ],
  ],
  [
    "the proxy's port on the host network",
    web({ network: 'host', ports: [{ external: 80, container: 80 }] }),
    [
      'ports/0/container: on the network "host" the container cannot listen on 80 itself: the proxy does (is: 80)',
    ],
  ],
  [
    'datagrams that a process is to carry',
    web({ ports: [{ external: 53, container: 53, kind: 'udp', plane: 'auto' }] }),
    ['ports/0/plane: must be "kernel" with the kind "udp"; leave it out (is: "auto")'],
  ],
  [
    'requests that the kernel is to lead',
    web({ ports: [{ external: 80, container: 80, kind: 'http', plane: 'kernel' }] }),
    [
      'ports/0/plane: must be "userspace" with the kind "http": the kernel leads connections and reads no requests (is: "kernel")',
    ],
  ],
  [
    'ports of the kernel on the host network',
    web({
      network: 'host',
      ports: [
        { external: 80, container: 81, plane: 'kernel' },
        { external: 53, container: 54, kind: 'udp' },
        { external: 82, container: 83, plane: 'auto' },
      ],
    }),
    [
      'ports/0/plane: on the network "host" the container has no address of its own that the kernel could lead to (is: "kernel")',
      'ports/1/kind: on the network "host" the container has no address of its own that the kernel could lead to (is: "udp")',
    ],
  ],
  [
    'one udp port twice, beside one of connections',
    web({
      ports: [
        { external: 53, container: 53 },
        { external: 53, container: 53, kind: 'udp' },
        { external: 53, container: 54, kind: 'udp' },
      ],
    }),
    ['ports/2/external: port 53 is taken by component "web" at /components/0/ports/1/external (is: 53)'],
  ],
  [
    'ports on no network',
    web({ network: 'none', ports }),
    ['network: "none" cuts the container off; its `ports` lead nowhere (is: "none")'],
  ],
  [
    'an empty command',
    web({ command: [] }),
    ["command: must not be empty; leave it out for the image's own (is: [])"],
  ],
  [
    'an empty program',
    web({ command: [''] }),
    ['command/0: must be the program to run, not an empty text (is: "")'],
  ],
  [
    'two of what must never run twice',
    web({ instances: 2, update: { order: 'stop-first' } }),
    ['instances: must be 1: `update.order` "stop-first" is for what must never run twice (is: 2)'],
  ],
  [
    'a total of what must never run twice',
    web({ instances: { total: 1 }, update: { order: 'stop-first' } }),
    ['instances: must be 1: `update.order` "stop-first" is for what must never run twice (is: {"total":1})'],
  ],
  [
    'a total on the network host',
    web({ instances: { total: 2 }, network: 'host' }),
    [
      'instances: must be 1 on the network "host": the containers of "web" would fight for their ports (is: {"total":2})',
    ],
  ],
  [
    'a total without its number',
    web({ instances: {} }),
    ['instances/total: is missing: containers on all hosts that run the component'],
  ],
  [
    'a total of nothing',
    web({ instances: { total: 0 } }),
    ['instances/total: must be between 1 and 1000 (is: 0)'],
  ],
  [
    'instances in words',
    web({ instances: 'many' }),
    ['instances: must be a whole number or {"total": …} (is: "many")'],
  ],
  [
    'a spread of no total',
    web({ instances: 3, spread: 'label.zone' }),
    ['spread: is about a total: write `instances`: {"total": …}, or leave it out (is: "label.zone")'],
  ],
  [
    'a spread over what is no label',
    web({ instances: { total: 3 }, spread: 'zone' }),
    ['spread: must name a label of the hosts, as "label.zone" (is: "zone")'],
  ],
  [
    'a canary of what must never run twice',
    web({ update: { order: 'stop-first', canary: {} } }),
    ['update/canary: is not possible with `order` "stop-first": both releases would run (is: {})'],
  ],
  [
    'a canary that gets everything',
    web({ update: { canary: { percent: 100, minutes: 0 } } }),
    [
      'update/canary/percent: must be between 1 and 99 (is: 100)',
      'update/canary/minutes: must be more than 0 (is: 0)',
    ],
  ],
];

for (const [name, document, expected] of CASES) {
  test(`refused: ${name}`, () => {
    const lines = linesFor(document).map((line) => line.replace(/^\/components\/0\//, ''));
    assert.deepEqual(
      lines,
      expected.map((line) => line.replace(/^\/components\/0\//, '')),
    );
  });
}

const ALLOWED: readonly (readonly [string, unknown])[] = [
  ['ports on the host network', web({ network: 'host', ports })],
  [
    'one port on two addresses',
    web({
      ports: [
        { external: 80, container: 1, address: '127.0.0.1' },
        { external: 80, container: 1, address: '::1' },
      ],
    }),
  ],
  ['a port from `ports` for a check', web({ ports, readyChecks: [{ kind: 'http' }] })],
  ['a named volume', web({ bindings: [{ external: 'data-{container_id}', volume: '/d' }] })],
  ['an unlimited hard limit', web({ ulimits: [{ name: 'core', soft: 0, hard: -1 }] })],
  ['$schema', { $schema: 'x', ...web({}) }],
  ['a digest', web({ tag: `sha256:${'0'.repeat(64)}` })],
];

for (const [name, document] of ALLOWED) {
  test(`allowed: ${name}`, () => assert.deepEqual(linesFor(document), []));
}

test('every pattern of the schemas has a sentence', () => {
  const patterns = (node: SchemaNode): string[] => [
    ...(node.pattern === undefined ? [] : [node.pattern]),
    ...Object.values(node.properties ?? {}).flatMap(patterns),
    ...(node.items === undefined ? [] : patterns(node.items)),
  ];
  const roots = [ROOT, JOB_ROOT, WORKFLOW_ROOT, SCHEDULE_ROOT, DOCKET_ROOT];
  assert.deepEqual([...new Set(roots.flatMap(patterns))].sort(), Object.keys(PATTERNS).sort());
});
