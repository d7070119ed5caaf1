/**
 * A real image registry (the program docker-registry), one that never answers, and images to publish: each with content of its own, so that there is something to pull.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { EngineApi } from '../docker/api.ts';
import { busyboxImage, removeImage, tarOf } from '../docker/images.ts';
import { removeContainer } from './docker.ts';
import { type Cleanup, engineAddress, freePort, skipWithoutEngine, tempFolder, until } from './harness.ts';
import { start } from './processes.ts';

const START_MS = 20_000;
const ASK_MS = 1_000;
const MOVE_MS = 20_000;
/** What engines push; https://distribution.github.io/distribution/spec/manifest-v2-2/ */
const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const CONTENT_BYTES = 3 * 1024 * 1024;

export interface User {
  readonly username: string;
  readonly password: string;
}

/** Where a registry listens, what starts programs there, and the engine that images are made on. */
export interface RegistryPlace {
  readonly address: string;
  readonly prefix: readonly string[];
  readonly docker: string;
}

export interface Registry {
  /** `host:port` */
  readonly address: string;
  /** The folder with all it holds, which another one may serve as well. */
  readonly data: string;
  /**
   * Makes an image `address/name:tag`, pushes it and takes it away from the engine; answers its id. `t` removes
   * what was pulled of it: open what makes containers of it first, for it is taken down first.
   */
  publish(t: Cleanup, name: string, tag: string): Promise<string>;
}

export interface StalledRegistry {
  readonly address: string;
  readonly connections: number;
}

const missing = ['docker-registry', 'htpasswd'].filter((program) => !isInstalled(program));

/** For the `skip` option of a test that needs a registry. */
export const skipWithoutRegistry: string | false =
  missing.length > 0
    ? `not installed: ${missing.join(', ')} (docker-registry, apache2-utils)`
    : skipWithoutEngine;

/** With `user`, nobody else is let in. Without a `place`, on the loopback; without `shared`, with data of its own. */
export async function registry(
  t: Cleanup,
  user?: User,
  place = loopback(),
  shared?: string,
): Promise<Registry> {
  const folder = await tempFolder(t);
  const data = shared ?? join(folder, 'data');
  const { docker, prefix } = place;
  const address = `${place.address}:${await freePort()}`;
  const file = join(folder, 'registry.yml');
  await writeFile(file, await settings({ folder, data, address, user }));
  const [program = '', ...args] = [...prefix, 'docker-registry', 'serve', file];
  const server = start(t, program, args);
  const what = `a registry at ${address}`;
  await until(() => answers(address), { timeoutMs: START_MS, what }).catch((error) => {
    throw new Error(`${error.message}\n${server.stderr}`);
  });
  return {
    address,
    data,
    async publish(t, name, tag) {
      const id = await makeImage(docker, `${address}/${name}`, tag);
      t.after(() => removeImage(docker, id));
      await push(docker, `${address}/${name}`, tag, user);
      await removeImage(docker, id);
      return id;
    },
  };
}

/** Takes every connection and says nothing. */
export async function stalledRegistry(t: Cleanup): Promise<StalledRegistry> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()); // the engine gave up
    socket.on('close', () => sockets.delete(socket)).resume();
  });
  const port = await freePort();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    address: `127.0.0.1:${port}`,
    get connections() {
      return sockets.size;
    },
  };
}

function loopback(): RegistryPlace {
  return { address: '127.0.0.1', prefix: [], docker: engineAddress() };
}

interface Settings {
  readonly folder: string;
  readonly data: string;
  readonly address: string;
  readonly user: User | undefined;
}

async function settings({ folder, data, address, user }: Settings): Promise<string> {
  const lines = [
    'version: 0.1',
    'log: {level: error}',
    `storage: {filesystem: {rootdirectory: ${data}}}`,
    `http: {addr: "${address}"}`,
  ];
  if (user !== undefined) {
    const path = join(folder, 'htpasswd');
    await writeFile(path, execFileSync('htpasswd', ['-Bbn', user.username, user.password]));
    lines.push(`auth: {htpasswd: {realm: test, path: ${path}}}`);
  }
  return `${lines.join('\n')}\n`;
}

async function answers(address: string): Promise<boolean> {
  const { status } = await fetch(`http://${address}/v2/`, { signal: AbortSignal.timeout(ASK_MS) });
  return status === 200 || status === 401;
}

/** Busybox with a layer that no other image has. */
async function makeImage(docker: string, repo: string, tag: string): Promise<string> {
  const base = `${repo}:${tag}-base`;
  await busyboxImage(docker, base);
  try {
    return await withOwnLayer(docker, base, repo, tag);
  } finally {
    await removeImage(docker, base); // its name; the rest goes with the image made of it
  }
}

/** Makes an image of `base` and of a layer that no other image has; answers its id. */
export async function withOwnLayer(docker: string, base: string, repo: string, tag: string): Promise<string> {
  const engine = new EngineApi(docker);
  const { Id } = await engine.json<{ Id: string }>('POST', '/containers/create', { Image: base });
  try {
    const content = tarOf([{ path: 'content', content: randomBytes(CONTENT_BYTES) }]);
    await succeeds(docker, 'PUT', `/containers/${Id}/archive?path=/`, content);
    const query = new URLSearchParams({ container: Id, repo, tag });
    return (await engine.json<{ Id: string }>('POST', `/commit?${query}`, {})).Id;
  } finally {
    await removeContainer(Id, docker);
  }
}

export async function push(docker: string, repo: string, tag: string, user?: User): Promise<void> {
  const auth = Buffer.from(JSON.stringify(user ?? {})).toString('base64url');
  await succeeds(docker, 'POST', `/images/${repo}/push?tag=${tag}`, undefined, { 'x-registry-auth': auth });
}

/** Gives a tag to the image of another one of its repository, as somebody else's push does. */
export async function moveTag(address: string, name: string, from: string, to: string): Promise<void> {
  const at = (tag: string) => `http://${address}/v2/${name}/manifests/${tag}`;
  const signal = AbortSignal.timeout(MOVE_MS);
  const found = await fetch(at(from), { headers: { accept: MANIFEST }, signal });
  assert.equal(found.status, 200, from);
  const body = await found.text();
  const put = { method: 'PUT', headers: { 'content-type': MANIFEST }, body, signal };
  assert.equal((await fetch(at(to), put)).status, 201, to);
}

/** Also the engine's answers that begin as a success and end with an error. */
async function succeeds(
  docker: string,
  method: string,
  path: string,
  body?: Buffer,
  headers?: Record<string, string>,
) {
  const { status, text } = await new EngineApi(docker).send(method, path, body, headers);
  assert.ok(status === 200 && !text.includes('"error"'), `${method} ${path}: ${status} ${text}`);
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
