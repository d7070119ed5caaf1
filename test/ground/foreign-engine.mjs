/**
 * A Docker engine that was there before: whether it answers, and how to take from it what a run has made.
 * Everything made of the example application carries the run's ground folder in a label (examples/app/image.mjs),
 * containers by way of their image; nothing else is touched.
 */
import { request } from 'node:http';

const PING_MS = 3_000;
const CALL_MS = 30_000;
const LABEL = 'io.gantryd.example';
const GONE = 404;

/** Whether an engine answers at `unix://…` or `tcp://…`; an address of any other kind does not. */
export async function answers(address) {
  try {
    return (await call(address, 'GET', '/_ping', PING_MS)).status === 200;
  } catch {
    return false;
  }
}

/** Removes the containers, then the images, that the run of this ground made; answers how many. */
export async function removeMadeBy(ground, address) {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL}=${ground.toLowerCase()}`] }));
  const containers = await list(address, `/containers/json?all=1&filters=${filters}`);
  const images = await list(address, `/images/json?filters=${filters}`);
  for (const { Id } of containers) await remove(address, `/containers/${Id}?force=1&v=1`);
  for (const name of images.flatMap(namesOf))
    await remove(address, `/images/${encodeURIComponent(name)}?force=1`);
  return containers.length + images.length;
}

/** An image goes with its last name. */
function namesOf({ Id, RepoTags }) {
  const tags = (RepoTags ?? []).filter((tag) => !tag.startsWith('<none>'));
  return tags.length > 0 ? tags : [Id];
}

async function list(address, path) {
  const { status, text } = await call(address, 'GET', path);
  if (status !== 200)
    throw new Error(`the Docker engine at ${address} answered ${status} to ${path}: ${text}`);
  return JSON.parse(text);
}

async function remove(address, path) {
  const { status, text } = await call(address, 'DELETE', path);
  if (status >= 300 && status !== GONE)
    throw new Error(`the Docker engine at ${address} answered ${status} to DELETE ${path}: ${text}`);
}

/** One call of an engine's API; answers `{status, text}`. */
export function call(address, method, path, timeoutMs = CALL_MS) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ ...connection(address), method, path, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      answer.once('error', reject).once('end', () => resolve({ status: answer.statusCode, text }));
    });
    asked.once('error', reject).end();
  });
}

function connection(address) {
  if (address.startsWith('unix://')) return { socketPath: address.slice('unix://'.length) };
  if (!address.startsWith('tcp://')) throw new Error(`${address} is no address of a Docker engine`);
  const { hostname, port } = new URL(address.replace(/^tcp:/, 'http:'));
  return { host: hostname, port: port || 2375 };
}
