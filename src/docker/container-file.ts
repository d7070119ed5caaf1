/**
 * One file out of a container: the engine gives it as a tar, which is unpacked as it comes. Symbolic links are followed
 * inside the container. https://docs.docker.com/reference/api/engine/ "Get an archive of a filesystem resource"
 */
import type { IncomingMessage } from 'node:http';
import { posix } from 'node:path';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { extract, type Headers } from 'tar-stream';
import { GantryError } from '../errors.ts';
import { type Connection, getStream } from './connection.ts';
import { onAbort } from './deadline.ts';
import { brokenOff, isNoSuchPath } from './failures.ts';
import { goneOr, short } from './inspect.ts';

const OPEN_MS = 60_000;
/** As the kernel's, roughly: longer chains are circles. */
const MAX_LINKS = 5;

interface Entry {
  readonly header: Headers;
  /** Its bytes; fails when the rest does not come. */
  readonly content: Readable;
}

/** See JobEngine.readFile. */
export async function readContainerFile(connection: Connection, id: string, path: string): Promise<Readable> {
  let at = posix.resolve('/', path);
  for (let links = 0; links <= MAX_LINKS; links++) {
    const { body, entry } = await openEntry(connection, id, at);
    if (entry.header.type === 'file') return entry.content;
    entry.content.destroy();
    if (entry.header.type !== 'symlink') throw missing(id, path, `it is a ${entry.header.type}`);
    at = targetOf(body) ?? posix.resolve(posix.dirname(at), entry.header.linkname ?? '');
  }
  throw missing(id, path, 'its symbolic links lead nowhere');
}

async function openEntry(connection: Connection, id: string, path: string) {
  const { address } = await connection.info();
  const what = `read ${path} in the container ${short(id)}`;
  const call = { name: 'read-file', what, timeoutMs: OPEN_MS, slow: true };
  return connection.open(call, async (docker, signal) => {
    const at = `/containers/${encodeURIComponent(id)}/archive`;
    const body = (await getStream(docker, at, { path }, signal).catch((error) =>
      Promise.reject(refusal(error, id, path)),
    )) as IncomingMessage;
    const broken = (error: unknown) =>
      connection.closing.aborted ? connection.closing.reason : brokenOff(what, address, error);
    const detach = onAbort(connection.closing, () => body.destroy());
    body.once('close', detach);
    return { body, entry: await firstEntry(body, broken) };
  });
}

/** Whatever follows the first entry is passed by. */
function firstEntry(body: Readable, broken: (error: unknown) => GantryError): Promise<Entry> {
  const content = new PassThrough();
  // An error before anybody reads is kept for the one who does.
  content.on('error', () => {}).once('close', () => body.destroy());
  const archive = extract();
  return new Promise((resolve, reject) => {
    archive.once('entry', (header, bytes, next) => {
      bytes.pipe(content).once('finish', next);
      archive.on('entry', (_header, rest, pass) => rest.resume().once('end', pass));
      resolve({ header, content });
    });
    pipeline(body, archive, (error) => {
      // After its last byte the file is whole, whatever becomes of the connection.
      const failure = broken(error ?? new Error('the archive is empty'));
      if (!content.writableEnded) content.destroy(failure);
      reject(failure);
    });
  });
}

/** Where the engine says that a symbolic link leads, all links of its path resolved. */
function targetOf(body: IncomingMessage): string | undefined {
  const stat = body.headers['x-docker-container-path-stat'];
  if (typeof stat !== 'string') return undefined;
  try {
    const { linkTarget } = JSON.parse(Buffer.from(stat, 'base64').toString('utf8'));
    return typeof linkTarget === 'string' && linkTarget !== '' ? linkTarget : undefined;
  } catch {
    return undefined;
  }
}

function refusal(error: unknown, id: string, path: string): unknown {
  return isNoSuchPath(error) ? missing(id, path, 'there is nothing', error) : goneOr(id, error);
}

function missing(id: string, path: string, why: string, cause?: unknown): GantryError {
  return new GantryError('file-missing', `The container ${short(id)} has no file ${path}: ${why}.`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'What is to be read must be one regular file, and there when the container ends.',
  });
}
