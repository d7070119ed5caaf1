/** The example application as a container on the real engine: made on the spot, told apart by version. */
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { buildAppImage, containersWith, dockerCall, removeAppImages, removeContainer } from './docker.ts';
import { type Cleanup, engineAddress, skipWithoutEngine, tempFolder, until } from './harness.ts';
import { startLoad } from './load.ts';
import { run } from './processes.ts';

const START_MS = 20_000;
const NAME = `ground-${process.pid}`;
const LABEL = { 'ground.test': NAME };

test('a version of the application answers under load from its container', {
  skip: skipWithoutEngine,
}, async (t) => {
  const tag = `${NAME}:v1`;
  t.after(async () => {
    for (const { id } of await containersWith(LABEL)) await removeContainer(id);
    await removeAppImages([tag]);
  });
  const image = await buildAppImage({ tag, env: { VERSION: 'v1', SAYING: 'a "b" $c' } });
  const host = await runContainer(tag);
  const load = await startLoad(t, { http: { host, port: 8080 }, tcp: { host, port: 9000 }, slowMs: 100 });
  const report = await load.stop();
  assert.deepEqual([report.failed, report.cut, report.errors], [0, 0, []]);
  const [container] = await containersWith(LABEL);
  assert.deepEqual([container?.name, container?.state, container?.image], [NAME, 'running', tag]);
  const { Image, Config } = (await dockerCall('GET', `/containers/${NAME}/json`)) as Inspected;
  assert.equal(Image, image);
  assert.ok(Config.Env.includes('SAYING=a "b" $c'), String(Config.Env));
});

test('versions are images of their own, and are gone when removed', {
  skip: skipWithoutEngine,
}, async (t) => {
  const tags = ['v1', 'v2'].map((version) => `${NAME}-two:${version}`);
  t.after(() => removeAppImages(tags));
  const ids = await Promise.all(tags.map((tag, i) => buildAppImage({ tag, env: { VERSION: `v${i}` } })));
  assert.notEqual(ids[0], ids[1]);
  await removeAppImages(tags);
  for (const tag of tags) await dockerCall('GET', `/images/${tag}/json`, undefined, [404]);
});

test('what a killed run made on an engine that stays is removed by the next, and nothing else', {
  skip: skipWithoutEngine,
}, async (t) => {
  const [tag, copy, box] = [`${NAME}-three:v1`, `${NAME}-left:v1`, `${NAME}-left`];
  const env = { ...process.env, TMPDIR: await tempFolder(t) };
  t.after(async () => {
    await removeContainer(box);
    await removeAppImages([copy, tag]);
  });
  const record = `m.recordForeignEngine(folder, ${JSON.stringify(engineAddress())})`;
  const ground = await leftovers(t, env, `const folder = m.openFolder(); ${record}; console.log(folder)`);
  await buildAppImage({ tag });
  const labels = { 'io.gantryd.example': basename(ground).toLowerCase() };
  await dockerCall('POST', `/containers/create?name=${box}`, { Image: tag, Labels: labels });
  await dockerCall('POST', `/containers/${box}/start`);
  await dockerCall('POST', `/commit?container=${box}&repo=${copy.replace(':', '&tag=')}`, {});

  assert.equal(await leftovers(t, env, 'console.log(await m.removeLeftovers())'), '1');

  await dockerCall('GET', `/containers/${box}/json`, undefined, [404]);
  await dockerCall('GET', `/images/${copy}/json`, undefined, [404]);
  await dockerCall('GET', `/images/${tag}/json`);
});

/** Runs `script` on the module `m` in a process of its own, and answers what it printed. */
async function leftovers(t: Cleanup, env: NodeJS.ProcessEnv, script: string): Promise<string> {
  const file = pathToFileURL(join(PACKAGE_ROOT, 'test', 'ground', 'leftovers.mjs')).href;
  const text = `const m = await import('${file}'); ${script}`;
  const result = await run(t, process.execPath, ['--input-type=module', '-e', text], { env });
  assert.equal(result.code, 0, result.stderr);
  return result.stdout.trim();
}

interface Inspected {
  readonly Image: string;
  readonly Config: { readonly Env: readonly string[] };
  readonly NetworkSettings: { readonly Networks: { readonly bridge: { readonly IPAddress: string } } };
}

async function runContainer(image: string): Promise<string> {
  await dockerCall('POST', `/containers/create?name=${NAME}`, { Image: image, Labels: LABEL });
  await dockerCall('POST', `/containers/${NAME}/start`);
  const { NetworkSettings } = (await dockerCall('GET', `/containers/${NAME}/json`)) as Inspected;
  const host = NetworkSettings.Networks.bridge.IPAddress;
  const answers = async () => (await fetch(`http://${host}:8080/health`)).ok;
  await until(answers, { timeoutMs: START_MS, what: 'the application in its container' });
  return host;
}
