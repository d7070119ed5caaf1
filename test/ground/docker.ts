/**
 * The engine as the tests see it: its HTTP API, asked directly and not through src/docker, so that what
 * gantryd did is observed from outside. Also the example application's images.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { engineAddress } from './harness.ts';

const CALL_TIMEOUT_MS = 30_000;

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
}

export interface AppImage {
  /** `repo:tag` */
  readonly tag: string;
  /** VERSION is what the application says of itself; see examples/app/server.mjs for the others. */
  readonly env?: Readonly<Record<string, string | number>>;
}

interface ImageBuilder {
  buildAppImage(image: AppImage & { docker: string }): Promise<string>;
  removeAppImages(options: { tags?: readonly string[]; docker: string }): Promise<void>;
}

/** Makes an image of the example application; answers its id. */
export async function buildAppImage(image: AppImage): Promise<string> {
  return (await builder()).buildAppImage({ ...image, docker: engineAddress() });
}

/** Removes these images. The base stays for the next test file; the run removes it at its end. */
export async function removeAppImages(tags: readonly string[]): Promise<void> {
  await (await builder()).removeAppImages({ tags, docker: engineAddress() });
}

/** All containers, running or not, that carry all of these labels. `docker`: the engine's address. */
export async function containersWith(
  labels: Readonly<Record<string, string>>,
  docker = engineAddress(),
): Promise<readonly ObservedContainer[]> {
  const wanted = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  const filters = encodeURIComponent(JSON.stringify({ label: wanted }));
  const path = `/containers/json?all=1&filters=${filters}`;
  const found = (await dockerCall('GET', path, undefined, [200], docker)) as {
    Id: string;
    Names: string[];
    Image: string;
    Labels: Record<string, string>;
    State: string;
  }[];
  return found.map((c) => ({
    id: c.Id,
    name: c.Names[0]?.slice(1) ?? '',
    image: c.Image,
    labels: c.Labels,
    state: c.State,
  }));
}

/** Kills and removes; gone already is success. */
export async function removeContainer(id: string, docker = engineAddress()): Promise<void> {
  await dockerCall('DELETE', `/containers/${id}?force=1&v=1`, undefined, [204, 404, 409], docker);
}

/** One call of the engine's API; answers the JSON it said, or undefined. */
export async function dockerCall(
  method: string,
  path: string,
  body?: unknown,
  accepted: readonly number[] = [200, 201, 204, 304],
  docker = engineAddress(),
): Promise<unknown> {
  const { status, text } = await exchange(docker, method, path, body);
  if (!accepted.includes(status)) throw new Error(`Docker answered ${status} to ${method} ${path}: ${text}`);
  return text.trim() === '' ? undefined : JSON.parse(text);
}

function exchange(
  docker: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; text: string }> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const call = request({ ...connection(docker), method, path, headers, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.once('error', reject).once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    call.once('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function connection(address: string): { socketPath: string } | { host: string; port: string } {
  if (address.startsWith('unix://')) return { socketPath: address.slice('unix://'.length) };
  const { hostname, port } = new URL(address.replace(/^tcp:/, 'http:'));
  return { host: hostname, port: port || '2375' };
}

/** Plain JavaScript outside the build, because the quickstart uses it before there is a build. */
async function builder(): Promise<ImageBuilder> {
  return import(pathToFileURL(join(PACKAGE_ROOT, 'examples', 'app', 'image.mjs')).href);
}
