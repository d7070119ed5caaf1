/**
 * Images for the tests, made on the spot: busybox (statically linked, of this machine) in a tar that the
 * engine imports. No registry is asked.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { EngineApi } from './api.ts';

/** Whose the images are, so that the ground finds what a killed run left. */
const OWNER = basename(process.env.GANTRYD_GROUND ?? 'anyone').toLowerCase();

export interface TarEntry {
  readonly path: string;
  readonly content?: Buffer;
  readonly linkTo?: string;
}

/** A name no other run uses. */
export function uniqueTag(): string {
  return `gantryd-test/${randomBytes(4).toString('hex')}:1`;
}

/** An image with a shell and the usual commands in /bin, and these files and Dockerfile lines. Answers its id. */
export async function busyboxImage(
  engineAddress: string | undefined,
  tag: string,
  more: { readonly files?: readonly TarEntry[]; readonly changes?: readonly string[] } = {},
): Promise<string> {
  const colon = tag.lastIndexOf(':');
  const query = new URLSearchParams({ fromSrc: '-', repo: tag.slice(0, colon), tag: tag.slice(colon + 1) });
  query.append('changes', 'ENV PATH=/bin');
  query.append('changes', 'CMD ["sleep","3600"]');
  query.append('changes', `LABEL io.gantryd.example=${OWNER}`);
  for (const line of more.changes ?? []) query.append('changes', line);
  const api = new EngineApi(engineAddress);
  const answer = await api.send('POST', `/images/create?${query}`, busyboxTar(more.files));
  if (answer.status !== 200 || answer.text.includes('"error"'))
    throw new Error(`import failed: ${answer.text}`);
  return (await api.json<{ Id: string }>('GET', `/images/${tag}/json`)).Id;
}

/** Gone already is fine. */
export async function removeImage(engineAddress: string | undefined, tag: string): Promise<void> {
  const answer = await new EngineApi(engineAddress).send('DELETE', `/images/${tag}?force=1`);
  if (answer.status >= 300 && answer.status !== 404) throw new Error(`removing ${tag}: ${answer.text}`);
}

function busyboxTar(files: readonly TarEntry[] = []): Buffer {
  const program = findBusybox();
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).split('\n');
  const links = applets.filter((a) => a !== '' && a !== 'busybox');
  return tarOf([
    ...['bin/', 'etc/', 'tmp/', 'proc/', 'sys/', 'dev/'].map((path) => ({ path })),
    { path: 'bin/busybox', content: readFileSync(program) },
    ...links.map((applet) => ({ path: `bin/${applet}`, linkTo: 'busybox' })),
    ...files,
  ]);
}

function findBusybox(): string {
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
  } catch {
    throw new Error('these tests need a statically linked busybox: apt-get install busybox-static');
  }
}

const BLOCK = 512;

/** A ustar archive: files and folders mode 755, owned by root, of the beginning of time. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap(({ path, content, linkTo }) => {
    const type = path.endsWith('/') ? '5' : linkTo === undefined ? '0' : '2';
    const body = content ?? Buffer.alloc(0);
    const padding = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK);
    return [tarHeader(path, type, body.length, linkTo ?? ''), body, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function tarHeader(path: string, type: string, size: number, link: string): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(path, 0);
  header.write(octal(0o755, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(octal(0, 11), 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(link, 157);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
