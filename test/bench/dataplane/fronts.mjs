/**
 * What part `dataplane` sends load through: programs in front of one container, each pinned to the proxy's core, and
 * gantryd's three paths, of one proxy process. `direct` is the container itself.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureProxy } from '../../../dist/src/proxy/generations/launch.js';
import { DEFAULT_LIMITS } from '../../../dist/src/proxy/tables/routes.js';
import { killMarked } from '../../ground/leftovers.mjs';
import { until } from '../fronts.mjs';
import { caddyConfig, haproxyConfig, nginxConfig } from './configs.mjs';
import { ECHO_PORT, HOST, isUp, mostFiles, PROXY_CPU, scriptPath, WEB_PORT } from './ground.mjs';
import { AGENT, CADDY, DIRECT, HAPROXY_HTTP, HAPROXY_TCP, NAIVE, NFT, NGINX, OURS } from './names.mjs';

const OWNER = 'bench';
const END_MS = 5_000;
const ANY = '0.0.0.0';
const LOOPBACK = '127.0.0.1';
const NFT_TABLE = 'bench';

/** By name: where each listens, for requests and for WebSockets. */
const PORTS = {
  [HAPROXY_HTTP]: { port: 8101, echoPort: 8111 },
  [HAPROXY_TCP]: { port: 8102, echoPort: 8112 },
  [NGINX]: { port: 8103, echoPort: 8113 },
  [CADDY]: { port: 8104, echoPort: 8114 },
  [NAIVE]: { port: 8105, echoPort: 8115 },
  [AGENT]: { port: 8106, echoPort: 8116 },
  [NFT]: { port: 8107, echoPort: 8117 },
  [OURS.http]: { port: 8201, echoPort: 8211 },
  [OURS.tcp]: { port: 8202, echoPort: 8212 },
  [OURS.kernel]: { port: 8203, echoPort: 8213 },
};
export const HTTP_FRONTS = [HAPROXY_HTTP, NGINX, CADDY, NAIVE, AGENT, OURS.http];
export const TCP_FRONTS = [HAPROXY_TCP, OURS.tcp, OURS.kernel];

/** Command and environment of a program that is no gantryd. */
const PROGRAMS = {
  [HAPROXY_HTTP]: (at) =>
    configured('haproxy', ['-db', '-q', '-f'], at, haproxyConfig('http', mostFiles(), ...at.places)),
  [HAPROXY_TCP]: (at) =>
    configured('haproxy', ['-db', '-q', '-f'], at, haproxyConfig('tcp', mostFiles(), ...at.places)),
  [NGINX]: (at) =>
    configured('nginx', ['-p', at.folder, '-c'], at, nginxConfig(at.folder, mostFiles(), ...at.places)),
  [CADDY]: (at) =>
    configured('caddy', ['run', '--adapter', 'caddyfile', '--config'], at, caddyConfig(...at.places)),
  [NAIVE]: ({ places }) => naive(places, []),
  [AGENT]: ({ places }) => naive(places, ['agent']),
};

/** The container itself, on the core that the proxies have for themselves. */
export function direct({ host, pid }) {
  const places = { port: WEB_PORT, echoPort: ECHO_PORT };
  return { name: DIRECT, ...places, hostFor: () => host, backendCpu: PROXY_CPU, isAlive: () => true, pid };
}

/** Those of these names that could be started; the others are told to `failed(name, error)`. */
export async function startFronts(ground, ends, names, container, failed) {
  const fronts = [];
  for (const name of names.filter((known) => known in PROGRAMS))
    await startProgram(ground, name, container).then(
      (front) => fronts.push(front),
      (error) => failed(name, error),
    );
  if (names.includes(NFT))
    await startNft(ends, container).then(
      (front) => fronts.push(front),
      (error) => failed(NFT, error),
    );
  const proxy = startGantryd(ground, ends);
  for (const name of names.filter((known) => Object.values(OURS).includes(known)))
    await proxy
      .then((started) => started.lead(name, container))
      .then(
        (front) => fronts.push(front),
        (error) => failed(name, error),
      );
  return fronts;
}

/** One that is no gantryd. */
export async function startProgram(ground, name, container) {
  const folder = join(ground.folder, `${name.replace(/\W+/g, '-')}-${process.hrtime.bigint()}`);
  await mkdir(folder);
  const places = [PORTS[name], `${container.host}:${WEB_PORT}`, `${container.host}:${ECHO_PORT}`];
  const { command, env } = await PROGRAMS[name]({ folder, places });
  const running = ground.start(name, [...ground.pin(PROXY_CPU), ...command], { ...process.env, ...env });
  await isUp(running, LOOPBACK, PORTS[name].port);
  const { pid, isAlive, close } = running;
  return { name, ...PORTS[name], hostFor, pid, hasProcess: true, isAlive, close };
}

/** For clients on another machine. */
async function startNft(ends, { host, pid }) {
  const { port, echoPort } = PORTS[NFT];
  const lines = [
    `table ip ${NFT_TABLE} {`,
    'chain to_container {',
    'type nat hook prerouting priority dstnat',
    `tcp dport ${port} dnat to ${host}:${WEB_PORT}`,
    `tcp dport ${echoPort} dnat to ${host}:${ECHO_PORT}`,
    '}',
    '}',
  ];
  const input = `${lines.join('\n')}\n`;
  const { status, stderr } = spawnSync('nft', ['-f', '-'], { input, encoding: 'utf8' });
  if (status !== 0) throw new Error(`nft took no table: ${stderr}`);
  ends.after(() => void spawnSync('nft', ['delete', 'table', 'ip', NFT_TABLE]));
  return { name: NFT, ...PORTS[NFT], hostFor, pid, backendCpu: PROXY_CPU, isAlive: () => true };
}

async function configured(file, args, { folder }, text) {
  const path = join(folder, 'conf');
  await writeFile(path, text);
  const homes = ['HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'].map((name) => [name, folder]);
  return { command: [file, ...args, path], env: { ...Object.fromEntries(homes), GOMAXPROCS: '1' } };
}

function naive([{ port, echoPort }, backend, echo], more) {
  const script = scriptPath('naive.mjs');
  return { command: [process.execPath, script, `${port}`, backend, `${echoPort}`, echo, ...more], env: {} };
}

/** The real process, started as any command starts it; tables are put through its control socket, with these limits. */
export async function startGantryd(ground, ends, limits = {}) {
  const starting = startProxy(join(ground.folder, `state-${process.hrtime.bigint()}`));
  // Also when it is asked to end while it starts: nobody else would end it.
  const close = () => starting.then(stopProxy, () => {});
  ends.after(close);
  const { client, pid } = await starting;
  ground.move(pid, PROXY_CPU);
  return new Gantryd(client, pid, close, limits);
}

async function startProxy(stateDir) {
  const client = await ensureProxy({ stateDir });
  const { pid } = await client.status();
  return { client, pid, stateDir };
}

/** One that does not answer any more is killed, with whoever would take its place; that is told. */
async function stopProxy({ client, pid, stateDir }) {
  if (!isThere(pid)) return;
  try {
    await client.stop(true, true);
    await until(() => !isThere(pid), END_MS);
  } finally {
    if (isThere(pid)) await killMarked(stateDir);
  }
}

class Gantryd {
  #client;
  #limits;
  #routes = [];

  constructor(client, pid, close, limits) {
    this.#client = client;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.pid = pid;
    this.close = close;
  }

  /** Answers the front of this path, before the container. */
  async lead(name, container) {
    const route = routeOf(name, PORTS[name], [backendOf(container)]);
    await this.put([...this.#routes, route]);
    const isKernel = name === OURS.kernel;
    const process = isKernel ? { backendCpu: PROXY_CPU } : { hasProcess: true };
    const isAlive = () => isThere(this.pid);
    return { name, ...PORTS[name], hostFor, pid: this.pid, ...process, isAlive, close: this.close };
  }

  /** Processes that accept clients beside the first, as it tells them. */
  async workers() {
    const { workers = [] } = await this.#client.status();
    return workers.map(({ pid }) => pid).filter((pid) => pid !== this.pid);
  }

  /** Exactly these from now on; answers how long the proxy took, in ms. */
  async put(routes) {
    const { revision } = await this.#client.table(OWNER);
    const began = performance.now();
    await this.#client.put(OWNER, { ifRevision: revision, table: { limits: this.#limits, routes } });
    const tookMs = performance.now() - began;
    this.#routes = routes;
    return tookMs;
  }
}

/** Of one of our paths, by its name. */
export function routeOf(name, { port, echoPort }, backends) {
  const listener = (at, containerPort) => ({
    ...{ address: ANY, port: at, containerPort, kind: name === OURS.http ? 'http' : 'tcp' },
    ...(name === OURS.kernel ? { plane: 'kernel' } : {}),
  });
  const echo = echoPort === undefined ? [] : [listener(echoPort, ECHO_PORT)];
  return { component: `${name}-${port}`, listeners: [listener(port, WEB_PORT), ...echo], backends };
}

export function backendOf({ name, host, pid }) {
  return { id: name, host, pid };
}

function hostFor(place) {
  return place === 'remote' ? HOST : LOOPBACK;
}

export function isThere(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
