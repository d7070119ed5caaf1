/**
 * A private gantryd for one part of the benchmark: state directory, project file, two versions of the example
 * application. `close()` takes away all of it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buildAppImage, removeAppImages } from '../../examples/app/image.mjs';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const GANTRY = join(ROOT, 'bin', 'gantry.js');
const GANTRYD = join(ROOT, 'bin', 'gantryd.js');
const COMMAND_TIMEOUT_MS = 60_000;
export const ADDRESS = '127.0.0.1';
export const PORT = 18_480;
export const TAGS = ['v1', 'v2'];
export const COMPONENT = 'web';

export async function openStage() {
  const folder = await mkdtemp(join(tmpdir(), 'gb-'));
  const name = `gantryd-bench-${process.pid}`;
  const config = join(folder, 'project.json');
  const env = { ...process.env, GANTRYD_STATE_DIR: join(folder, 's'), NO_COLOR: '1' };
  const stage = { config, env, close: () => takeDown(folder, name, env, config) };
  try {
    for (const tag of TAGS) await buildAppImage({ tag: `${name}:${tag}`, env: { VERSION: tag } });
    await writeFile(config, JSON.stringify(project(name)));
    return stage;
  } catch (error) {
    await stage.close();
    throw error;
  }
}

/** The command line of one gantry command on the stage's component. */
export function gantry({ config }, args) {
  return [process.execPath, GANTRY, config, ...args];
}

/** Runs one to its end and calls `onEvent` with each line of its --json output. */
export async function follow({ env }, [command, ...args], onEvent) {
  const child = spawn(command, [...args, '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: COMMAND_TIMEOUT_MS,
  });
  const code = new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) onEvent(JSON.parse(line));
  if ((await code) !== 0) throw new Error(`${args.join(' ')} ended with ${await code}`);
}

/** Runs one to its end; throws with its output when it fails. */
export function run({ env }, [command, ...args]) {
  const done = spawnSync(command, args, { env, encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS });
  if (done.status === 0) return;
  throw new Error(
    `${args.join(' ')} ended with ${done.status ?? done.signal}:\n${done.stdout}${done.stderr}`,
  );
}

function project(name) {
  const web = {
    name: COMPONENT,
    repo: name,
    tag: TAGS[0],
    ports: [{ external: PORT, container: 8080, kind: 'http', address: ADDRESS }],
    readyChecks: [{ kind: 'http', port: 8080, path: '/health' }],
  };
  return { project: name, components: [web] };
}

async function takeDown(folder, name, env, config) {
  const stage = { env, config };
  const steps = [
    () => run(stage, gantry(stage, ['kill', COMPONENT])),
    () => run(stage, [process.execPath, GANTRYD, 'proxy', 'stop', '--force']),
    () => removeAppImages({ tags: TAGS.map((tag) => `${name}:${tag}`) }),
    () => rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  ];
  const errors = [];
  for (const step of steps)
    await Promise.resolve()
      .then(step)
      .catch((error) => errors.push(error.message));
  if (errors.length > 0) process.stderr.write(`bench: left behind: ${errors.join('; ')}\n`);
}
