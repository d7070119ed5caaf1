/** The form a project is stored in: what it holds, that it means the same as its file, and what it refuses. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadForStore, loadProject, problemsOf, projectOfStored } from '../../src/config/load.ts';
import { EXAMPLE } from '../../src/config/reference.ts';
import { GantryError } from '../../src/errors.ts';

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gantryd-stored-'));
});

after(() => rm(folder, { recursive: true, force: true }));

async function written(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** As it comes back from where it was stored. */
async function stored(path: string, project: string, overrides: readonly string[] = []): Promise<unknown> {
  return JSON.parse(JSON.stringify(await loadForStore(path, project, overrides)));
}

async function refusal(work: () => unknown): Promise<GantryError> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof GantryError && error.code === 'config-invalid', String(error));
    return error;
  }
  assert.fail('it was taken');
}

const YAML = `
# yaml-language-server: $schema=./gantryd.schema.json
$schema: ./gantryd.schema.json
components:
  - &web
    name: web
    repo: nginx
    registryAuth: secrets/auth.json
    readyChecks: [{ kind: http, port: 80 }]
    labels: { __proto__: x }
  - { <<: *web, name: blog, registryAuth: /etc/auth.json }
`;

test('it holds what the file says, the name it is stored under, and absolute paths', async () => {
  const path = await written('gantry.yaml', YAML);
  const labels = JSON.parse('{ "__proto__": "x" }');
  const web = { repo: 'nginx', readyChecks: [{ kind: 'http', port: 80 }], labels };
  assert.deepEqual(await stored(path, 'shop'), {
    project: 'shop',
    components: [
      { ...web, name: 'web', registryAuth: join(folder, 'secrets/auth.json') },
      { ...web, name: 'blog', registryAuth: '/etc/auth.json' },
    ],
  });
});

test('it is the same project as its file', async () => {
  for (const [name, text] of [
    ['shop.yaml', YAML],
    ['shop.json', EXAMPLE],
  ] as const) {
    const path = await written(name, text);
    assert.deepEqual(projectOfStored(await stored(path, 'shop'), 'shop'), await loadProject(path));
  }
});

test('stored again from what was stored, it stays as it is', async () => {
  const once = await stored(await written('shop.yaml', YAML), 'shop');
  const path = await written('again.json', JSON.stringify(once));
  assert.deepEqual(await stored(path, 'shop'), once);
});

test('overrides go into what is stored, and onto what is taken from there', async () => {
  const path = await written('shop.yaml', YAML);
  const file = await stored(path, 'shop', ['components.web.tag=v2']);
  assert.equal(projectOfStored(file, 'shop').components[0]?.image, 'nginx:v2');
  const project = projectOfStored(file, 'shop', ['tag=v3'], { component: 'web' });
  assert.equal(project.components[0]?.image, 'nginx:v3');
});

test('a file of a name that no project can have is stored under the name it is given', async () => {
  const path = await written('my shop!.yaml', YAML);
  assert.equal(projectOfStored(await stored(path, 'shop'), 'shop').name, 'shop');
});

test('a file that names another project is refused where it does', async () => {
  const path = await written(
    'blog.json',
    '{\n  "project": "blog",\n  "components": [{"name": "a", "repo": "b"}]\n}',
  );
  const error = await refusal(() => loadForStore(path, 'shop'));
  assert.equal(
    error.message,
    `${path} has 1 problem:\n  ${path}:2:14  /project: is another project than "shop", which it is to be; leave the name out, or ask for that project (is: "blog")`,
  );
  const file = await stored(path, 'blog');
  const override = await refusal(() => projectOfStored(file, 'blog', ['project=shop']));
  assert.match(override.message, /--set project=shop {2}\/project: is another project than "blog"/);
});

test('a name that no project can have is refused', async () => {
  const path = await written('shop.yaml', YAML);
  const { message } = await refusal(() => loadForStore(path, 'my/shop'));
  assert.match(
    message,
    /cannot be the project "my\/shop": a project's name must begin with a letter or digit/,
  );
});

test('whatever is stored is looked at like a file, all problems at once', async () => {
  const bad = { project: 'shop', components: [{ name: 'web', repo: 'nginx', instances: '2', tga: 'x' }] };
  const error = await refusal(() => projectOfStored(bad, 'shop'));
  assert.deepEqual(error.message.split('\n'), [
    'the stored config of shop has 2 problems:',
    '  shop  /components/0/tga: unknown field; did you mean "tag"? (is: "x")',
    '  shop  /components/0/instances: must be a whole number or {"total": …}: write 2 without quotes (is: "2")',
  ]);
  assert.equal(error.hint, 'Correct its file, then store it again: `gantryd setconfig shop FILE`.');
  assert.equal(problemsOf(error).length, 2);
  for (const nothing of [undefined, null, [], 'x', {}]) await refusal(() => projectOfStored(nothing, 'shop'));
});
