/** Things on a host that are not gantryd's: put there before a campaign, and as they were after it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dockerCall } from '../ground/docker.ts';
import type { Host } from '../ground/hosts.ts';
import type { Running } from '../ground/processes.ts';

const NAME = 'foreign';
const KEY = '/another/program';
const CHAIN = 'FOREIGN';
const TEXT = 'not gantryd’s\n';
const WAIT_MS = 30_000;

interface Seen {
  readonly container: string;
  readonly images: string;
  readonly filters: string;
  readonly file: string;
  readonly process: boolean;
  readonly port: string;
}

export interface Foreign {
  /** What has changed, in words. */
  changes(): Promise<readonly string[]>;
  /** Takes all of it away. */
  end(): Promise<void>;
}

export async function placeForeign(host: Host, image: string): Promise<Foreign> {
  const file = join(host.folder, 'foreign-file');
  await writeFile(file, TEXT);
  await dockerCall('POST', `/containers/create?name=${NAME}`, { Image: image }, [201], host.docker);
  await dockerCall('POST', `/containers/${NAME}/start`, undefined, [204], host.docker);
  for (const args of [
    ['-N', CHAIN],
    ['-A', CHAIN, '-s', '192.0.2.1', '-j', 'RETURN'],
  ])
    await host.run('iptables', ['-w', ...args]);
  const program = `require('node:net').createServer().listen(8999, () => console.log('listens'))`;
  const process_ = host.spawn(process.execPath, ['-e', program]);
  await process_.says('listens', WAIT_MS);
  const before = await seen(host, file, process_);
  return {
    async changes() {
      const now = await seen(host, file, process_);
      const changed = (Object.keys(before) as (keyof Seen)[]).filter((what) => before[what] !== now[what]);
      return changed.map((what) => `${what} of ${host.name}: ${difference(before[what], now[what])}`);
    },
    async end() {
      process_.signal('SIGKILL');
      await process_.ended;
      await dockerCall('DELETE', `/containers/${NAME}?force=1`, undefined, [204, 404], host.docker);
    },
  };
}

/** Of etcd as a whole. */
export async function placeForeignKey(
  control: (...args: string[]) => Promise<string>,
): Promise<() => Promise<readonly string[]>> {
  await control('put', KEY, TEXT);
  const before = await control('get', KEY, '-w', 'json');
  const [, revision] = /"mod_revision":(\d+)/.exec(before) ?? [];
  return async () => {
    const now = await control('get', KEY, '-w', 'json');
    return now.includes(`"mod_revision":${revision}`) ? [] : [`the key ${KEY} of etcd is not as it was`];
  };
}

/** By lines: those that are gone, and those that have come. */
function difference(before: string | boolean, now: string | boolean): string {
  const [was, is] = [String(before).split('\n'), String(now).split('\n')];
  const gone = was.filter((line) => !is.includes(line)).map((line) => `- ${line}`);
  return [...gone, ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`)].join('; ');
}

/**
 * Packets that were counted are no change, nor is the order that an engine that was restarted leaves, nor the chain by
 * which the ground cuts hosts off.
 */
async function seen(host: Host, file: string, process_: Running): Promise<Seen> {
  const { Id, RestartCount, State } = (await dockerCall(
    ...(['GET', `/containers/${NAME}/json`, undefined, [200], host.docker] as const),
  )) as {
    readonly Id: string;
    readonly RestartCount: number;
    readonly State: { readonly StartedAt: string; readonly Pid: number; readonly Status: string };
  };
  const { stdout } = await host.run('iptables-save', []);
  const rules = stdout.split('\n').filter((line) => /^[-:]/.test(line) && !/\bCUT\b/.test(line));
  const ended = await Promise.race([process_.ended.then(() => true), Promise.resolve(false)]);
  return {
    container: [Id, RestartCount, State.StartedAt, State.Pid, State.Status].join(' '),
    images: await imagesOf(host),
    filters: [...new Set(rules.map((line) => line.replace(/\[\d+:\d+\]/, '')))].sort().join('\n'),
    file: await readFile(file, 'utf8'),
    process: !ended,
    port: (await host.run('ss', ['-Hltn', 'sport = :8999'])).stdout.replace(/\s+/g, ' ').trim(),
  };
}

/** The application's, by which the foreign container runs; what is pulled comes and goes. */
async function imagesOf(host: Host): Promise<string> {
  const all = (await dockerCall('GET', '/images/json', undefined, [200], host.docker)) as {
    readonly Id: string;
    readonly RepoTags: readonly string[] | null;
  }[];
  return all
    .filter(({ RepoTags }) => RepoTags?.some((tag) => tag.startsWith('gantryd-e2e-fleet:')))
    .map(({ Id }) => Id)
    .join();
}
