/**
 * What the demonstration stands on: three hosts and a place for etcd, the example images on every host, and the real
 * gantryd command, shown as it is typed on the first host and with what it says.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openFleet } from '../../test/ground/hosts.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const GANTRYD = join(HERE, '..', '..', 'bin', 'gantryd.js');
const HOSTS = ['alpha', 'beta', 'gamma'];
const REPO = 'gantryd-example/shop';
const PORT = 8080;
const ETCD_PORT = 2379;
const START_MS = 30_000;
const POLL_MS = 50;
const COMMAND_TIMEOUT_MS = 120_000;

/** `signal` ends what runs. `close()`, once: takes everything down. */
export async function openStage(signal) {
  const fleet = await openFleet({ hosts: HOSTS, places: ['etcd'] });
  try {
    return await stageOn(fleet, signal);
  } catch (error) {
    await fleet.close();
    throw error;
  }
}

async function stageOn(fleet, signal) {
  const hosts = fleet.machines.filter(({ name }) => HOSTS.includes(name));
  const etcd = fleet.machines.find(({ name }) => name === 'etcd');
  const endpoint = await startEtcd(fleet, etcd, signal);
  const file = join(hosts[0].folder, 'shop.json');
  for (const { folder } of hosts) mkdirSync(join(folder, 'state'));
  const on = (host) => ({
    ...process.env,
    ...fleet.env,
    ...{ DOCKER_HOST: host.docker, GANTRYD_STATE_DIR: join(host.folder, 'state'), GANTRYD_ETCD: endpoint },
  });
  const shown = { cwd: hosts[0].folder, env: on(hosts[0]), prefix: hosts[0].prefix, signal };
  return {
    endpoint,
    places: hosts.map(({ name, address }) => ({ name, host: address, port: PORT })),
    buildImages: (images) =>
      fleet.images(images.map(({ tag, env }) => ({ tag: `${REPO}:${tag}`, env: { VERSION: tag, ...env } }))),
    /** Writes the project file with this tag; answers its text. */
    writeFile(tag) {
      const text = readFileSync(join(HERE, 'shop.json'), 'utf8')
        .replace(/ *"\$schema": .*\n/, '')
        .replace('"tag": "v1"', `"tag": "${tag}"`);
      writeFileSync(file, text);
      return text;
    },
    agents: () => Promise.all(hosts.map((host) => agentOn(host, on(host), signal))),
    gantryd: (line, codes = [0]) => gantryd(line, codes, shown),
    close: () => fleet.close(),
  };
}

async function startEtcd(fleet, { prefix, folder, address }, signal) {
  const [client, peer] = [`http://${address}:${ETCD_PORT}`, `http://${address}:${ETCD_PORT + 1}`];
  const options = [
    ...['--data-dir', join(folder, 'data'), '--log-level', 'error', '--logger', 'zap'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', `default=${peer}`],
  ];
  const [file, ...args] = [...prefix, 'etcd', ...options];
  const child = spawn(file, args, { env: { ...process.env, ...fleet.env }, stdio: 'ignore' });
  for (const end = Date.now() + START_MS; !(await listens(address, ETCD_PORT)); ) {
    if (child.exitCode !== null || Date.now() > end) throw new Error('etcd did not start');
    await delay(POLL_MS, undefined, { signal });
  }
  return client;
}

function listens(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Resolves when it runs. */
async function agentOn(host, env, signal) {
  const [file, ...args] = [...host.prefix, process.execPath, GANTRYD, 'run', 'shop'];
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'inherit'], signal });
  child.on('error', () => {}); // of the abort
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    console.log(`  [${host.name}] ${line}`);
    if (line.startsWith('Gantryd running')) break;
  }
  if (child.exitCode !== null) throw new Error(`the agent on ${host.name} ended with ${child.exitCode}`);
  child.stdout.resume();
}

/** Runs to its end, in a session of its own. `codes`: what it may exit with. Answers the exit code. */
async function gantryd(line, codes, { cwd, env, prefix, signal }) {
  console.log(`\n$ gantryd ${line}`);
  const [file, ...args] = [...prefix, process.execPath, GANTRYD, ...line.split(' ')];
  const late = new AbortController(); // not AbortSignal.timeout: within `any` nothing holds it
  setTimeout(() => late.abort(), COMMAND_TIMEOUT_MS).unref();
  const ended = AbortSignal.any([signal, late.signal]);
  const child = spawn(file, args, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    signal: ended,
  });
  child.on('error', () => {}); // of the abort; what counts is how it ends
  for (const output of [child.stdout, child.stderr])
    createInterface({ input: output }).on('line', (text) => console.log(`  ${text}`));
  const [code] = await once(child, 'close');
  signal.throwIfAborted();
  if (!codes.includes(code)) throw new Error(`gantryd ${line} ended with exit code ${code}`);
  return code;
}
