/** A config that cannot be used must end with 2 and say where it is wrong, before the host is looked at. */
import assert from 'node:assert/strict';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, tempFolder } from '../ground/harness.ts';
import { type Cli, cli } from '../ground/processes.ts';
import { type Case, fails, lastJson } from './cases.ts';

const GOOD = {
  project: 'shop',
  components: [
    { name: 'web', repo: 'shop', ports: [{ external: 8080, container: 80, kind: 'http' }] },
    { name: 'worker', repo: 'shop' },
  ],
};

const FILES: Readonly<Record<string, unknown>> = {
  'good.json': GOOD,
  'comma.json': '{\n  "project": "shop",\n  "components": [\n    { "name": "web", }\n  ]\n}\n',
  'cut.json': '{ "project": "shop", "components": [',
  'empty.json': '',
  'list.json': [],
  'indent.yaml': 'project: shop\ncomponents:\n  - name: web\n   repo: shop\n',
  'tab.yaml': 'project: shop\ncomponents:\n\t- name: web\n',
  'many.yaml':
    'project: shop\ncomponents:\n  - name: web\n    repoo: shop\n    instances: none\n    readyTimeout: -1\n',
  'links.json': {
    project: 'shop',
    components: [{ name: 'web', repo: 'shop', requireComponentLinks: [{ name: 'db', alias: 'DB' }] }],
  },
  'ports.json': {
    project: 'shop',
    components: ['web', 'api'].map((name) => ({
      ...{ name, repo: 'shop' },
      ports: [{ external: 8080, container: 80 }],
    })),
  },
};

const CASES: readonly Omit<Case, 'code'>[] = [
  {
    args: ['nosuch.json', 'list', 'web'],
    says: ['nosuch.json does not exist (looked at /', 'Check the path'],
  },
  { args: ['godo.json', 'list', 'web'], says: ['Did you mean good.json?'] },
  { args: ['folder', 'list', 'web'], says: ['folder is a folder', 'Name the project file in it'] },
  { args: ['comma.json', 'list', 'web'], says: ['comma.json:4:'] },
  { args: ['cut.json', 'list', 'web'], says: ['cut.json:1:'] },
  { args: ['empty.json', 'list', 'web'], says: ['empty.json'] },
  { args: ['list.json', 'list', 'web'], says: ['list.json:1:1'] },
  { args: ['indent.yaml', 'list', 'web'], says: [/indent\.yaml:[34]:/] },
  { args: ['tab.yaml', 'list', 'web'], says: ['tab.yaml:3:'] },
  {
    args: ['many.yaml', 'check'],
    says: ['many.yaml has 4 problems', 'did you mean "repo"?', '/instances', '/readyTimeout', 'many.yaml:6:'],
  },
  { args: ['links.json', 'check'], says: ['/requireComponentLinks/0', 'db'] },
  { args: ['ports.json', 'check'], says: ['8080'] },
  { args: ['good.json', 'list', 'wbe'], says: ['has no component wbe; did you mean "web"?', 'web, worker'] },
  { args: ['good.json', 'check', 'wbe'], says: ['has no component wbe'] },
  { args: ['good.json', 'update', '../web'], says: ['has no component ../web'] },
  { args: ['good.json', 'update'], says: ['update needs the name of a component', 'web, worker'] },
  { args: ['good.json', 'list', 'web', '--set', 'tag'], says: ['--set tag', 'PATH=VALUE'] },
  { args: ['good.json', 'list', 'web', '--set', 'tga=v2'], says: ['--set tga=v2', 'did you mean "tag"?'] },
  { args: ['good.json', 'list', 'web', '--set', 'instances=two'], says: ['--set instances=two', '"two"'] },
  { args: ['good.json', 'list', 'web', '--set', 'resources.memory=1k'], says: ['/resources/memory'] },
  {
    args: ['many.yaml', 'update', 'web', '--set', 'tga=v2'],
    says: ['5 problems', '--set tga=v2', 'many.yaml:'],
  },
];

describe('a config', () => {
  let commands: Cli;
  let folder: string;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  before(async () => {
    folder = await tempFolder(cleanup);
    commands = cli(cleanup, join(folder, 'state'));
    await mkdir(join(folder, 'folder'));
    for (const [name, value] of Object.entries(FILES))
      await writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value, null, 1));
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });
  const there = (args: readonly string[]) => [join(folder, args[0] ?? ''), ...args.slice(1)];

  describe('that cannot be used', { concurrency: 2 }, () => {
    for (const one of CASES)
      test(one.args.join(' '), async () => {
        await fails(commands, { ...one, args: there(one.args), code: 2 });
      });
  });

  test('that may not be read', { skip: process.getuid?.() === 0 && 'root may read everything' }, async () => {
    const path = join(folder, 'secret.json');
    await writeFile(path, '{}');
    await chmod(path, 0);
    await fails(commands, { args: [path, 'check'], code: 2, says: ['may not be read by this user'] });
  });

  test('that cannot be used is a JSON line on stdout with --json', async () => {
    const { code, stdout, stderr } = await commands.gantry([...there(['many.yaml', 'check']), '--json']);
    assert.deepEqual([code, stderr], [2, '']);
    const error = lastJson(stdout);
    assert.deepEqual([error.kind, error.code, error.retryable], ['error', 'config-invalid', false]);
  });

  test('that cannot be used makes no state directory', async () => {
    await commands.gantry(there(['many.yaml', 'update', 'web']));
    const config = there(['good.json']);
    await commands.gantry([...config, 'list', 'web', '--state-dir', join(folder, 'other'), '--set', 'x']);
    await assert.rejects(access(join(folder, 'other')));
  });
});
