/**
 * Makes images of the example application on the spot, without a registry: a base of this Node binary, the
 * libraries it needs and the two programs, imported once per engine; a version of it is the base plus variables.
 * Talks to the engine over its HTTP API with Node alone. By hand:
 * `node image.mjs build app:v1 VERSION=v1` and `node image.mjs remove`.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, realpathSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
/** What the images can run; the server is what they run when nothing else is asked for. */
const PROGRAMS = ['server.mjs', 'worker.mjs'];
const BASE = 'gantryd-app-base';
/** Whose images they are: a test run has a ground folder, and removes its own and no other's. */
const MAKER = basename(process.env.GANTRYD_GROUND ?? 'anyone').toLowerCase();
const LABEL_NAME = 'io.gantryd.example';
const LABEL = `${LABEL_NAME}=${MAKER}`;
const CALL_TIMEOUT_MS = 120_000;
const TAR_BLOCK = 512;

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));

async function main([command, tag, ...variables]) {
  const env = Object.fromEntries(variables.map((variable) => variable.split(/=(.*)/s)));
  if (command === 'build' && tag !== undefined) console.log(await buildAppImage({ tag, env }));
  else if (command === 'remove') await removeAppImages(tag === undefined ? {} : { tags: [tag] });
  else throw new Error('usage: image.mjs build TAG [NAME=VALUE…] | remove [TAG]');
}

/**
 * Builds `tag` (`repo:tag`); `env` becomes the image's variables, VERSION being what the app says of itself.
 * `docker`: address of the engine. Answers the image's id. The base takes seconds once, a version well under one.
 */
export async function buildAppImage({ tag, env = {}, docker = engineAddress() }) {
  const base = await ensureBase(docker);
  const variables = Object.entries(env).map(([name, value]) => `ENV ${name}=${quoted(String(value))}`);
  const dockerfile = Buffer.from([`FROM ${base}`, ...variables, ''].join('\n'));
  const context = Readable.from([tarHeader('Dockerfile', dockerfile.length), padded(dockerfile), tarEnd()]);
  const query = new URLSearchParams({ t: tag, rm: '1', forcerm: '1' });
  const answer = await call(docker, 'POST', `/build?${query}`, context);
  refuseReported(answer, `building ${tag}`);
  return JSON.parse(await call(docker, 'GET', `/images/${encodeURIComponent(tag)}/json`)).Id;
}

/** As a Dockerfile wants it; `$` would be a variable of its own. */
function quoted(value) {
  return JSON.stringify(value).replaceAll('$', '\\$');
}

/** Removes those of `tags`, or all that this maker made, the base as well. Gone already is success. */
export async function removeAppImages({ tags, docker = engineAddress() } = {}) {
  const all = tags ?? (await labelled(docker));
  for (const name of all) {
    await call(docker, 'DELETE', `/images/${encodeURIComponent(name)}?force=1`, undefined, [200, 404]);
  }
}

function engineAddress() {
  return process.env.GANTRYD_TEST_DOCKER || process.env.DOCKER_HOST || 'unix:///var/run/docker.sock';
}

async function ensureBase(docker) {
  const files = baseFiles();
  const tag = baseTag(files);
  const path = `/images/${encodeURIComponent(`${BASE}:${tag}`)}/json`;
  const known = await call(docker, 'GET', path, undefined, [200, 404]);
  if (JSON.parse(known).Id === undefined) await importBase(docker, tag, files);
  return `${BASE}:${tag}`;
}

async function importBase(docker, tag, files) {
  const { Cmd, ExposedPorts, Env } = baseConfig(files);
  const changes = [
    `CMD ${JSON.stringify(Cmd)}`,
    `EXPOSE ${Object.keys(ExposedPorts).join(' ')}`,
    `ENV ${Env.join(' ')}`,
  ];
  await importImage({ repo: BASE, tag, changes, files, docker });
}

/** Makes the image `repo:tag` of `files`; `changes` are lines of a Dockerfile. It carries this maker's label. */
export async function importImage({ repo, tag, changes, files, docker = engineAddress() }) {
  const query = new URLSearchParams({ fromSrc: '-', repo, tag });
  for (const change of [...changes, `LABEL ${LABEL}`]) query.append('changes', change);
  const answer = await call(docker, 'POST', `/images/create?${query}`, Readable.from(tarOf(files)));
  refuseReported(answer, `importing ${repo}:${tag}`);
}

/** What the base is run with, as an image's config says it. */
export function baseConfig(files) {
  return {
    Cmd: ['/bin/node', '/app/server.mjs'],
    ExposedPorts: { '8080/tcp': {}, '9000/tcp': {} },
    Env: searchPaths(files),
    Labels: { [LABEL_NAME]: MAKER },
  };
}

/** The variables with which the programs in /bin and the libraries among `files` are found. */
export function searchPaths(files) {
  const folders = [...new Set(files.filter((f) => f.library).map((f) => dirname(f.at)))];
  return ['PATH=/bin', ...(folders.length > 0 ? [`LD_LIBRARY_PATH=${folders.join(':')}`] : [])];
}

/** Where each file of the base comes from and where it goes. */
export function baseFiles() {
  const node = realpathSync(process.execPath);
  return [
    { at: '/bin/node', from: node, mode: 0o755 },
    ...libraryFiles(node),
    ...PROGRAMS.map((name) => ({ at: `/app/${name}`, from: join(HERE, name), mode: 0o644 })),
    { at: '/etc/passwd', text: 'root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
    { at: '/etc/group', text: 'root:x:0:\nnogroup:x:65534:\n' },
    { at: '/tmp/', text: '', mode: 0o1777 },
  ];
}

/** What ldd names; none for a static binary. */
export function libraryFiles(binary) {
  const { stdout } = spawnSync('ldd', [binary], { encoding: 'utf8' });
  const paths = [...(stdout ?? '').matchAll(/(?:=>\s+|^\s+)(\/\S+)\s+\(0x/gm)].map(([, path]) => path);
  return paths.map((path) => ({ at: path, from: realpathSync(path), mode: 0o755, library: true }));
}

function baseTag(files) {
  const hash = createHash('sha256').update(`${LABEL}\n`);
  for (const { at, from, text } of files) hash.update(`${at} ${text ?? stamp(from)}\n`);
  for (const name of PROGRAMS) hash.update(readFileSync(join(HERE, name)));
  return hash.digest('hex').slice(0, 12);
}

function stamp(path) {
  const { size, mtimeMs } = statSync(path);
  return `${path} ${size} ${mtimeMs}`;
}

/** Each of `files` has its content in the file `from`, or as `text`, or is a symbolic link to `link`. */
export async function* tarOf(files) {
  for (const { at, from, link, text = '', mode = 0o644 } of files) {
    const size = from === undefined ? Buffer.byteLength(text) : statSync(from).size;
    yield tarHeader(at.slice(1), size, mode, link);
    if (from === undefined) yield padded(text);
    else {
      yield* createReadStream(from, { highWaterMark: 1024 * 1024 });
      yield Buffer.alloc(-size & (TAR_BLOCK - 1));
    }
  }
  yield tarEnd();
}

/** One header block in POSIX ustar format; a name ending in a slash is a folder. */
function tarHeader(name, size, mode = 0o644, link) {
  const block = Buffer.alloc(TAR_BLOCK);
  const octal = (value, at, width) => block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
  block.write(name, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148);
  block.write(link !== undefined ? '2' : name.endsWith('/') ? '5' : '0', 156);
  block.write(link ?? '', 157);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function padded(text) {
  const data = Buffer.from(text);
  return Buffer.concat([data, Buffer.alloc(-data.length & (TAR_BLOCK - 1))]);
}

function tarEnd() {
  return Buffer.alloc(2 * TAR_BLOCK);
}

async function labelled(docker) {
  const filters = encodeURIComponent(JSON.stringify({ label: [LABEL] }));
  const images = JSON.parse(await call(docker, 'GET', `/images/json?filters=${filters}`));
  return images.flatMap(({ Id, RepoTags }) => {
    const tags = (RepoTags ?? []).filter((tag) => !tag.startsWith('<none>'));
    return tags.length > 0 ? tags : [Id];
  });
}

/** The engine answers 200 to a build or import that failed, and says so in its stream of JSON lines. */
function refuseReported(stream, doing) {
  const error = stream
    .split('\n')
    .filter((line) => line.includes('"error"'))
    .map((line) => JSON.parse(line).error)[0];
  if (error !== undefined) throw new Error(`${doing}: ${error}`);
}

async function call(docker, method, path, body, accepted = [200]) {
  const headers = body === undefined ? {} : { 'content-type': 'application/x-tar' };
  const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
  const sent = request({ ...connection(docker), method, path, headers, signal });
  const answered = new Promise((resolve, reject) => sent.once('response', resolve).once('error', reject));
  const upload = body === undefined ? sent.end() : pipeline(body, sent);
  const [answer] = await Promise.all([answered, upload]);
  const text = await new Response(Readable.toWeb(answer)).text();
  if (accepted.includes(answer.statusCode)) return text;
  throw new Error(
    `the Docker engine at ${docker} answered ${answer.statusCode} to ${method} ${path}: ${text}`,
  );
}

function connection(docker) {
  if (docker.startsWith('unix://')) return { socketPath: docker.slice('unix://'.length) };
  const { hostname, port } = new URL(docker.replace(/^tcp:/, 'http:'));
  return { host: hostname, port: port || 2375 };
}
