/**
 * Images of the example application on many hosts, with the same ids on all: put together here, as `docker save`
 * would, and loaded into each. Built on each they would have ids of their own; built on one, saved and loaded
 * they take three times as long.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { baseConfig, baseFiles, tarOf } from '../../examples/app/image.mjs';
import { keptLayer } from './hosts-disk.mjs';

const CALL_MS = 120_000;
const ARCHITECTURES = { x64: 'amd64', ia32: '386' };
/** The same settings are the same image, whenever it is made. */
const CREATED = '2000-01-01T00:00:00Z';

/** Makes images of the example application, `{tag, env}` as for buildAppImage, for the hosts of one fleet. */
export class ImageMaker {
  #folder;
  #layer;

  constructor(folder) {
    this.#folder = folder;
  }

  /** Answers the ids, in order. */
  async make(images, hosts) {
    const digest = await this.digest();
    const made = images.map(({ tag, env = {} }) => ({ tag, ...configured(env, digest) }));
    await Promise.all(hosts.map((host) => this.#load(host, made)));
    return made.map(({ id }) => `sha256:${id}`);
  }

  /** Of the only layer. */
  async digest() {
    return keptLayer() ?? (await this.#whole()).digest;
  }

  /** An engine that has the layer takes an image without; any other one refuses it. */
  async #load(host, made) {
    if (keptLayer() !== undefined && (await load(host, made)) === undefined) return;
    const refused = await load(host, made, await this.#whole());
    if (refused !== undefined) throw new Error(`loading images on ${host.name}: ${refused}`);
  }

  #whole() {
    this.#layer ??= layerIn(this.#folder);
    return this.#layer;
  }
}

/** The only layer, as a file, since its size must be known before it is sent. */
async function layerIn(folder) {
  const file = join(folder, 'layer.tar');
  const hash = createHash('sha256');
  async function* hashed() {
    for await (const part of tarOf(baseFiles())) {
      hash.update(part);
      yield part;
    }
  }
  await writeFile(file, hashed());
  return { file, digest: `sha256:${hash.digest('hex')}` };
}

/** An image's id is the hash of its config. */
function configured(env, layer) {
  const base = baseConfig(baseFiles());
  const variables = new Map([...base.Env.map((line) => line.split(/=(.*)/s)), ...Object.entries(env)]);
  const text = JSON.stringify({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    created: CREATED,
    config: { ...base, Env: [...variables].map(([name, value]) => `${name}=${value}`) },
    rootfs: { type: 'layers', diff_ids: [layer] },
    history: [{ created: CREATED, comment: 'the example application' }],
  });
  return { text, id: createHash('sha256').update(text).digest('hex') };
}

/** Answers why not: the engine answers 200 to a load that failed, and says so in its stream of JSON lines. */
async function load(host, images, layer) {
  const manifest = images.map(({ id, tag }) => ({
    Config: `${id}.json`,
    RepoTags: [tag],
    Layers: ['layer.tar'],
  }));
  const archive = tarOf([
    ...images.map(({ id, text }) => ({ at: `/${id}.json`, text })),
    { at: '/manifest.json', text: JSON.stringify(manifest) },
    ...(layer === undefined ? [] : [{ at: '/layer.tar', from: layer.file }]),
  ]);
  const said = await post(host.docker, '/images/load?quiet=1', Readable.from(archive));
  return said.includes('"error"') ? said : undefined;
}

async function post(docker, path, body) {
  const place = { socketPath: docker.slice('unix://'.length) };
  const headers = { 'content-type': 'application/x-tar' };
  const sent = request({ ...place, method: 'POST', path, headers, signal: AbortSignal.timeout(CALL_MS) });
  const answered = new Promise((resolve, reject) => sent.once('response', resolve).once('error', reject));
  pipeline(body, sent).catch(() => {}); // told by `answered`, unless the engine has refused before it read all
  const answer = await answered;
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += part;
  if (answer.statusCode === 200) return text;
  throw new Error(`${docker} answered ${answer.statusCode} to ${path}: ${text}`);
}
