/**
 * Images on many hosts, with the same ids: built on the first, saved once, and loaded into the others. Building
 * anew on each would give each an id of its own.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { buildAppImage } from '../../examples/app/image.mjs';

const CALL_MS = 120_000;
const SAVED = 'images.tar';

/** `images`: as for buildAppImage. Answers their ids, in order. */
export async function spreadImages(folder, images, [first, ...others]) {
  if (first === undefined) throw new Error('no host to make images on');
  const ids = [];
  for (const { tag, env } of images) ids.push(await buildAppImage({ tag, env, docker: first.docker }));
  await copyImages(
    join(folder, SAVED),
    images.map(({ tag }) => tag),
    first,
    others,
  );
  return ids;
}

async function copyImages(file, tags, from, to) {
  if (to.length === 0) return;
  const query = new URLSearchParams(tags.map((tag) => ['names', tag]));
  try {
    await pipeline(await call(from.docker, 'GET', `/images/get?${query}`), createWriteStream(file));
    await Promise.all(to.map((host) => load(host, file)));
  } finally {
    await rm(file, { force: true });
  }
}

/** The engine answers 200 to a load that failed, and says so in its stream of JSON lines. */
async function load(host, file) {
  const said = await textOf(await call(host.docker, 'POST', '/images/load?quiet=1', createReadStream(file)));
  if (said.includes('"error"')) throw new Error(`loading images on ${host.name}: ${said}`);
}

async function call(docker, method, path, body) {
  const headers = body === undefined ? {} : { 'content-type': 'application/x-tar' };
  const place = { socketPath: docker.slice('unix://'.length) };
  const sent = request({ ...place, method, path, headers, signal: AbortSignal.timeout(CALL_MS) });
  const answered = new Promise((resolve, reject) => sent.once('response', resolve).once('error', reject));
  const upload = body === undefined ? sent.end() : pipeline(body, sent);
  const [answer] = await Promise.all([answered, upload]);
  if (answer.statusCode === 200) return answer;
  throw new Error(`${docker} answered ${answer.statusCode} to ${method} ${path}: ${await textOf(answer)}`);
}

async function textOf(stream) {
  let text = '';
  for await (const part of stream.setEncoding('utf8')) text += part;
  return text;
}
