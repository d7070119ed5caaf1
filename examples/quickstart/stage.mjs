/**
 * What the demonstration stands on: a folder with a project file and a state directory of its own, the
 * example images, and the real gantry command, shown as it is typed and with what it says.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buildAppImage, removeAppImages } from '../app/image.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BIN = join(HERE, '..', '..', 'bin');
const FILE = 'shop.json';
const COMMAND_TIMEOUT_MS = 60_000;

/** `signal` ends the commands that run. */
export async function openStage(folder, signal) {
  const port = await freePort();
  const project = projectOn(port, process.pid);
  writeFileSync(join(folder, FILE), project);
  const { repo } = JSON.parse(project).components[0];
  return {
    port,
    file: join(folder, FILE),
    showFile: () => console.log(indented(project)),
    async buildImages(versions) {
      for (const version of versions) {
        await buildAppImage({ tag: `${repo}:${version}`, env: { VERSION: version } });
        signal.throwIfAborted();
      }
    },
    gantry: (line) => gantry(folder, line, signal),
  };
}

/** Removes all that a demonstration in `folder` made and may have left, however it ended. */
export async function clearStage(folder) {
  await silently(folder, 'gantry.js', [FILE, 'kill', 'web']);
  await silently(folder, 'gantryd.js', ['proxy', 'stop', '--force']);
  await removeAppImages();
}

/** shop.json with a port that is free here and an image name that is nobody else's. */
function projectOn(port, unique) {
  const text = readFileSync(join(HERE, FILE), 'utf8');
  return text
    .replace('"external": 8080', `"external": ${port}`)
    .replace('"gantryd-quickstart"', `"gantryd-quickstart-${unique}"`)
    .replace('../../schema', join(HERE, '..', '..', 'schema'));
}

/** Runs at once. `done`: epoch milliseconds of its end; rejects when it failed. */
function gantry(folder, line, signal) {
  const startedAt = Date.now();
  console.log(`\n$ gantry ${FILE} ${line}`);
  const child = start(folder, 'gantry.js', [FILE, ...line.split(' ')], signal);
  for (const output of [child.stdout, child.stderr])
    createInterface({ input: output }).on('line', (text) => console.log(`  ${text}`));
  const done = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`gantry ${line} ended with exit code ${code}`);
    return Date.now();
  });
  done.catch(() => {}); // whoever awaits it hears of it; a command that nobody awaits any more may fail
  return { startedAt, done };
}

async function silently(folder, command, args) {
  const child = start(folder, command, args);
  let said = '';
  for (const output of [child.stdout, child.stderr])
    output.on('data', (text) => {
      said += text;
    });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with exit code ${code}:\n${said}`);
}

/** In a session of its own: Ctrl-C reaches it once, through `signal`, and it ends in order. */
function start(folder, command, args, signal) {
  const late = new AbortController(); // not AbortSignal.timeout: within `any` nothing holds it
  setTimeout(() => late.abort(), COMMAND_TIMEOUT_MS).unref();
  const child = spawn(process.execPath, [join(BIN, command), ...args], {
    cwd: folder,
    env: { ...process.env, GANTRYD_STATE_DIR: join(folder, 'state') },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
  });
  child.on('error', () => {}); // of the abort; what counts is how it ends
  return child;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function indented(text) {
  return text.trimEnd().replaceAll(/^/gm, '  ');
}
