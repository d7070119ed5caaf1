/**
 * What the proxy benchmark sends load through: nginx as the backend, HAProxy and the proxy of this checkout in
 * front of it, each pinned to a core. All end with `close()`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureProxy } from '../../dist/src/proxy/generations/launch.js';
import { DEFAULT_LIMITS } from '../../dist/src/proxy/tables/routes.js';

const START_MS = 15_000;
const END_MS = 5_000;
const BIG_BYTES = 1024 * 1024;
const ADDRESS = '127.0.0.1';
const PORTS = { backend: 8080, haproxyHttp: 8101, haproxyTcp: 8102, gantrydHttp: 8201, gantrydTcp: 8202 };

export const URLS = Object.fromEntries(
  Object.entries(PORTS).map(([name, port]) => [name, `http://${ADDRESS}:${port}`]),
);

/** One worker; answers `/` from memory and `/big` from a file. */
export async function startBackend(folder, pin) {
  await mkdir(join(folder, 'nginx'), { recursive: true });
  await writeFile(join(folder, 'nginx', 'big'), Buffer.alloc(BIG_BYTES, 'x'));
  const path = join(folder, 'nginx.conf');
  await writeFile(path, nginxConfig(join(folder, 'nginx')));
  return started('nginx', [...pin, 'nginx', '-c', path, '-p', join(folder, 'nginx')], PORTS.backend);
}

export async function startHaproxy(folder, pin) {
  const path = join(folder, 'haproxy.cfg');
  await writeFile(path, HAPROXY_CONFIG);
  return started('haproxy', [...pin, 'haproxy', '-db', '-q', '-f', path], PORTS.haproxyTcp);
}

/** The real process, started as any command starts it, with one table put through its control socket. */
export async function startGantryd(folder, cpu) {
  const client = await ensureProxy({ stateDir: join(folder, 'state') });
  const { pid } = await client.status();
  if (cpu !== undefined) movePinned(pid, cpu);
  const { revision } = await client.table('bench');
  await client.put('bench', { ifRevision: revision, table: TABLE });
  return { pid, close: () => end(pid, () => client.stop(true)) };
}

/** Moves all threads of a process to one core. */
export function movePinned(pid, cpu) {
  const moved = spawnSync('taskset', ['-a', '-p', '-c', `${cpu}`, `${pid}`], { encoding: 'utf8' });
  if (moved.status !== 0) throw new Error(`cannot pin process ${pid} to core ${cpu}: ${moved.stderr}`);
}

const BACKENDS = [{ id: 'nginx', host: ADDRESS }];

export const TABLE = {
  limits: DEFAULT_LIMITS,
  routes: [
    { component: 'http', listeners: [listener(PORTS.gantrydHttp, 'http')], backends: BACKENDS },
    { component: 'tcp', listeners: [listener(PORTS.gantrydTcp, 'tcp')], backends: BACKENDS },
  ],
};

function listener(port, kind) {
  return { address: ADDRESS, port, kind, containerPort: PORTS.backend };
}

/** Keep-alive without end: a connection that the backend closes would be counted as a failure of the front. */
function nginxConfig(folder) {
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log warn;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 3600;
  keepalive_requests 1000000000;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${folder}/${n};`).join('\n  ')}
  server {
    listen ${ADDRESS}:${PORTS.backend} backlog=4096;
    root ${folder};
    location = / { default_type text/plain; return 200 "ok\\n"; }
  }
}
`;
}

/** One thread, upstream connections kept and shared, and the client's address forwarded: what gantryd does as well. */
const HAPROXY_CONFIG = `
global
  nbthread 1
  maxconn 8192
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  backlog 4096
listen http
  mode http
  bind ${ADDRESS}:${PORTS.haproxyHttp}
  option forwardfor
  http-reuse always
  server nginx ${ADDRESS}:${PORTS.backend}
listen tcp
  mode tcp
  bind ${ADDRESS}:${PORTS.haproxyTcp}
  server nginx ${ADDRESS}:${PORTS.backend}
`;

async function started(name, [command, ...args], port) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += chunk;
    });
  child.once('error', (error) => {
    said += error.message;
  });
  const close = () => end(child.pid, () => child.kill('SIGTERM'));
  const up = await until(async () => child.exitCode !== null || (await listens(port)), START_MS);
  if (up && child.exitCode === null && child.pid !== undefined) return { pid: child.pid, close };
  if (child.pid !== undefined) await close();
  throw new Error(`${name} did not start: ${said}`);
}

async function end(pid, ask) {
  await ask();
  if (await until(() => !isAlive(pid), END_MS)) return;
  process.kill(pid, 'SIGKILL');
  await until(() => !isAlive(pid), END_MS);
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

export async function until(check, timeoutMs) {
  for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(20))
    if (await check()) return true;
  return false;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: ADDRESS, port }, () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
