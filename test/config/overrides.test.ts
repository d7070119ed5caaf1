/** `--set PATH=VALUE`: each form of the path with its effect, and what a bad one is answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyOverrides } from '../../src/config/overrides.ts';
import { linesFor } from './problem-lines.ts';

const BASE = {
  components: [
    {
      name: 'web',
      repo: 'nginx',
      ports: [{ external: 80, container: 8080 }],
      volumesFrom: ['a'],
      healthChecks: [
        { kind: 'http', id: 'up', port: 1 },
        { kind: 'tcp', port: 2 },
      ],
      environmentVariables: [{ name: 'A.B', value: '1' }],
    },
    { name: 'my.db', repo: 'redis' },
  ],
};

/** Override, path of the result within the component `web`, its value afterwards. */
const EFFECTS: readonly (readonly [string, string, unknown])[] = [
  ['tag=v2', 'tag', 'v2'],
  ['user=a=b=c', 'user', 'a=b=c'],
  ['user=', 'user', ''],
  ['instances=3', 'instances', 3],
  ['privileged=true', 'privileged', true],
  ['resources.cpus=0.5', 'resources', { cpus: 0.5 }],
  ['resources.memory=64m', 'resources', { memory: '64m' }],
  ['resources.memory=67108864', 'resources', { memory: 67108864 }],
  ['update.monitor=0', 'update', { monitor: 0 }],
  ['update.onFailure=pause', 'update', { onFailure: 'pause' }],
  ['resources={"cpus":1}', 'resources', { cpus: 1 }],
  ['volumesFrom=b', 'volumesFrom', ['a', 'b']],
  ['volumesFrom=["b"]', 'volumesFrom', ['b']],
  ['command=["x","y"]', 'command', ['x', 'y']],
  ['capAdd=NET_ADMIN', 'capAdd', ['NET_ADMIN']],
  ['ports.80=90', 'ports', [{ external: 80, container: 90 }]],
  ['ports.80.kind=http', 'ports', [{ external: 80, container: 8080, kind: 'http' }]],
  [
    'ports.81=90',
    'ports',
    [
      { external: 80, container: 8080 },
      { external: 81, container: 90 },
    ],
  ],
  ['ports=[{"external":1,"container":2}]', 'ports', [{ external: 1, container: 2 }]],
  [
    'healthChecks.up.timeout=500',
    'healthChecks',
    [
      { kind: 'http', id: 'up', port: 1, timeout: 500 },
      { kind: 'tcp', port: 2 },
    ],
  ],
  [
    'healthChecks.tcp.port=5',
    'healthChecks',
    [
      { kind: 'http', id: 'up', port: 1 },
      { kind: 'tcp', port: 5 },
    ],
  ],
  ['readyChecks.new=http', 'readyChecks', [{ id: 'new', kind: 'http' }]],
  ['readyChecks.new.port=1', 'readyChecks', [{ id: 'new', port: 1 }]],
  ['environmentVariables.A.B=2', 'environmentVariables', [{ name: 'A.B', value: '2' }]],
  [
    'environmentVariables.X=2',
    'environmentVariables',
    [
      { name: 'A.B', value: '1' },
      { name: 'X', value: '2' },
    ],
  ],
  ['bindings./etc/a.d=/d', 'bindings', [{ external: '/etc/a.d', volume: '/d' }]],
  ['bindings./etc/a.d.readOnly=true', 'bindings', [{ external: '/etc/a.d', readOnly: true }]],
  ['labels.com.example.x=y', 'labels', { 'com.example.x': 'y' }],
  ['logging.options.max-size=1m', 'logging', { options: { 'max-size': '1m' } }],
  ['components.web.tag=v3', 'tag', 'v3'],
];

for (const [override, field, expected] of EFFECTS) {
  test(`--set ${override}`, () => {
    const before = structuredClone(BASE);
    const { value, findings } = applyOverrides(BASE, [override], 'web');
    assert.deepEqual(findings, []);
    assert.deepEqual((value as { components: Record<string, unknown>[] }).components[0]?.[field], expected);
    assert.deepEqual(BASE, before);
  });
}

test('paths of the project count from the top, with and without a component', () => {
  for (const component of ['web', undefined]) {
    const { value } = applyOverrides(
      BASE,
      ['project=p', 'proxy.connectTimeout=5', 'components.my.db.tag=7'],
      component,
    );
    const { project, proxy, components } = value as typeof BASE & { project: unknown; proxy: unknown };
    assert.deepEqual([project, proxy], ['p', { connectTimeout: 5 }]);
    assert.deepEqual(components[1], { name: 'my.db', repo: 'redis', tag: '7' });
  }
});

test('a label called __proto__ is a label', () => {
  const { value } = applyOverrides(BASE, ['labels.__proto__=x'], 'web');
  const labels = (value as { components: { labels: object }[] }).components[0]?.labels ?? {};
  assert.deepEqual(Object.entries(labels), [['__proto__', 'x']]);
  assert.equal(Object.getPrototypeOf(labels), Object.prototype);
});

/** Override, the line it is answered with. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['tagg=v2', '--set tagg=v2  /components/0: unknown field "tagg"; did you mean "tag"?'],
  [
    'ports.80.contaner=1',
    '--set ports.80.contaner=1  /components/0/ports/0: unknown field "contaner"; did you mean "container"?',
  ],
  [
    'ports.99.contaner=1',
    '--set ports.99.contaner=1  /components/0/ports/99: unknown field "contaner"; did you mean "container"?',
  ],
  [
    'healthChecks.up.timeot=1',
    '--set healthChecks.up.timeot=1  /components/0/healthChecks/0: unknown field "timeot"; did you mean "timeout"?',
  ],
  ['tag', '--set tag  must be PATH=VALUE, as tag=v2'],
  ['=v2', '--set =v2  must be PATH=VALUE, as tag=v2'],
  ['ports=80', '--set ports=80  /components/0/ports: `ports` is a list; name the entry, as ports.NAME=VALUE'],
  ['tag.x=1', '--set tag.x=1  /components/0/tag: `tag` is a plain value; nothing can follow it'],
  [
    'volumesFrom.x=1',
    '--set volumesFrom.x=1  /components/0/volumesFrom: `volumesFrom` is a list of texts; write volumesFrom=VALUE',
  ],
  [
    'components.wbe.tag=1',
    '--set components.wbe.tag=1  /components: no component is called "wbe"; did you mean "web"?',
  ],
  [
    'components.web=1',
    '--set components.web=1  /components: name a field of the component, as components.NAME.tag=v2',
  ],
  [
    'instances=two',
    '--set instances=two  /components/0/instances: must be a whole number or {"total": …} (is: "two")',
  ],
  ['ports.x=1', '--set ports.x=1  /components/0/ports/1/external: must be a whole number (is: "x")'],
  [
    'readyChecks.a=htp',
    '--set readyChecks.a=htp  /components/0/readyChecks/0/kind: must be one of "http", "https", "tcp", "exec", "connection"; did you mean "http"? (is: "htp")',
  ],
];

for (const [override, expected] of REFUSED) {
  test(`refused: --set ${override}`, () => {
    const lines = linesFor(BASE, { overrides: [override], component: 'web' });
    assert.deepEqual(lines, [expected]);
  });
}

test('without a component, a path begins at the top', () => {
  assert.deepEqual(linesFor(BASE, { overrides: ['proxi.connectTimeout=1'] }), [
    '--set proxi.connectTimeout=1  a path begins with $schema, project, components, proxy, notify, as components.NAME.tag; did you mean "proxy"?',
  ]);
});

test('an override can mend the file, and an unknown component is left to the caller', () => {
  const broken = { components: [{ name: 'web', repo: 'nginx', instances: 0 }] };
  assert.equal(linesFor(broken).length, 1);
  assert.deepEqual(linesFor(broken, { overrides: ['instances=1'], component: 'web' }), []);
  assert.deepEqual(linesFor(BASE, { overrides: ['tag=1'], component: 'nobody' }), []);
});
