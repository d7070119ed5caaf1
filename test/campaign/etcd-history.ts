/** Follows all that happens below a project's keys in etcd, from outside and with etcd's own program. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Change, Queue } from './queue.ts';

const AGAIN_MS = 200;

interface Told {
  readonly Events?: readonly { readonly type?: number; readonly kv: Kv }[];
}

interface Kv {
  readonly key: string;
  readonly value?: string;
  readonly create_revision: number;
  readonly mod_revision: number;
  readonly lease?: number;
}

export interface Following {
  /** What it heard, in words, for the logs. */
  readonly heard: readonly string[];
  stop(): Promise<void>;
}

/** `run`: etcdctl to its end. `prefix`: starts programs where etcd can be reached. */
export function followEtcd(
  queue: Queue,
  base: string,
  endpoints: readonly string[],
  prefix: readonly string[],
  control: (...args: string[]) => Promise<string>,
): Following {
  const stopping = new AbortController();
  const heard: string[] = [];
  const known = new Set<string>();
  const take = (changes: readonly Change[]) => {
    for (const { key, value, revision, at } of changes) {
      if (value === undefined) known.delete(key);
      else known.add(key);
      heard.push(`${new Date(at).toISOString()} ${revision} ${key} ${value ?? '(deleted)'}`);
    }
    queue.take(changes);
  };
  const going = (async () => {
    while (!stopping.signal.aborted) {
      try {
        const revision = await snapshot(base, known, control, take);
        await watched(base, revision + 1, endpoints, prefix, stopping.signal, take);
      } catch (error) {
        heard.push(`${new Date().toISOString()} etcd does not answer: ${String(error).slice(0, 200)}`);
      }
      await delay(AGAIN_MS);
    }
  })();
  return {
    heard,
    async stop() {
      stopping.abort();
      await going;
    },
  };
}

/** How all is now, as one change; what is known and gone was deleted meanwhile. */
async function snapshot(
  base: string,
  known: ReadonlySet<string>,
  control: (...args: string[]) => Promise<string>,
  take: (changes: readonly Change[]) => void,
): Promise<number> {
  const told = JSON.parse(await control('get', '--prefix', base, '-w', 'json')) as {
    header: { revision: number };
    kvs?: readonly Kv[];
  };
  const at = Date.now();
  const there = (told.kvs ?? []).map((kv) => changeOf(kv, false, at));
  const keys = new Set(there.map(({ key }) => key));
  const { revision } = told.header;
  const gone = [...known].filter((key) => !keys.has(key));
  const deleted = gone.map((key) => ({
    key,
    revision,
    createRevision: 0,
    value: undefined,
    lease: '0',
    at,
  }));
  if (there.length + deleted.length > 0) take([...deleted, ...there]);
  return revision;
}

async function watched(
  base: string,
  revision: number,
  endpoints: readonly string[],
  prefix: readonly string[],
  signal: AbortSignal,
  take: (changes: readonly Change[]) => void,
): Promise<void> {
  const words = ['watch', '--prefix', base, '--rev', String(revision), '-w', 'json'];
  const [file = '', ...args] = [...prefix, 'etcdctl', '--endpoints', endpoints.join(','), ...words];
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  const end = () => void child.kill('SIGKILL');
  signal.addEventListener('abort', end);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  for await (const line of createInterface({ input: child.stdout })) {
    const at = Date.now();
    const changes = ((JSON.parse(line) as Told).Events ?? []).map(({ type, kv }) =>
      changeOf(kv, type === 1, at),
    );
    for (const of of byRevision(changes)) take(of);
  }
  await ended;
  signal.removeEventListener('abort', end);
}

function byRevision(changes: readonly Change[]): readonly (readonly Change[])[] {
  const revisions = [...new Set(changes.map(({ revision }) => revision))];
  return revisions.map((revision) => changes.filter((change) => change.revision === revision));
}

function changeOf(kv: Kv, isDeleted: boolean, at: number): Change {
  const text = (base64: string) => Buffer.from(base64, 'base64').toString();
  return {
    key: text(kv.key),
    revision: kv.mod_revision,
    createRevision: kv.create_revision,
    value: isDeleted ? undefined : text(kv.value ?? ''),
    lease: String(kv.lease ?? 0),
    at,
  };
}
