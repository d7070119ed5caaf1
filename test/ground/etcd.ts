/**
 * Real etcd for tests: one member or three, that can be killed, stopped, started again, wiped and restored to an older
 * state, with TLS and with users where a test asks for them. All of it ends with the test.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { type Certificates, makeCertificates } from './certificates.ts';
import { isHealthy, type Order, readBelow } from './etcd-reads.ts';
import { type Cleanup, freePort, tempFolder, until } from './harness.ts';
import { type Running, start } from './processes.ts';

const START_MS = 20_000;
/** It collects garbage seldom: what it holds here is small. */
const SELDOM = { GOGC: '400' };
const CONTROL_TIMEOUT_MS = 10_000;
const ROOT_PASSWORD = 'root-secret';

export interface EtcdOptions {
  readonly members?: 1 | 3;
  /** `clients`: only who has a certificate is let in. */
  readonly tls?: 'server' | 'clients';
  /** Where it listens; undefined: 127.0.0.1. */
  readonly address?: string;
  /** Starts programs where that address is, as `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
  /** Writes reach the disk before they are answered, which tests do not need and measurements do. */
  readonly flushes?: boolean;
}

/** What etcd held at one moment, in a file. */
export interface Snapshot {
  readonly file: string;
}

export interface Etcd {
  /** As `http://address:port` or `https://…`, one for each member. */
  readonly endpoints: readonly string[];
  /** With `tls`. */
  readonly certificates: Certificates | undefined;
  /** Settles when it has ended. */
  kill(member?: number, signal?: NodeJS.Signals): Promise<void>;
  /** Settles when it answers; with `false` at once. */
  start(member?: number, ready?: boolean): Promise<void>;
  restart(member?: number): Promise<void>;
  /** It keeps its connections and, once this settles, answers nothing until it is resumed. */
  pause(member?: number): Promise<void>;
  resume(member?: number): void;
  /** What the members that run have told: errors. */
  told(): string;
  /** Which member leads. */
  leader(): Promise<number>;
  /** Forgets all history, also of what is to come until the call ends. */
  compact(): Promise<void>;
  /** The values of all keys below a prefix, one line each, by their keys or as they were made. */
  values(prefix: string, order?: Order): Promise<readonly string[]>;
  /** Deletes all keys below a prefix, as an operator would. */
  wipe(prefix: string): Promise<void>;
  snapshot(): Promise<Snapshot>;
  /** All members are killed, their data replaced, and started. Without a snapshot they begin empty. */
  restore(snapshot?: Snapshot): Promise<void>;
  /** From now on only users are let in: `user` may read and write below `prefix`. */
  addUser(user: string, password: string, prefix: string): Promise<void>;
  /** etcdctl, with all endpoints and rights. */
  control(...args: string[]): Promise<string>;
}

const missing = ['etcd', 'etcdctl'].filter((program) => !isInstalled(program));

/** For the `skip` option of a test that needs etcd. */
export const skipWithoutEtcd: string | false =
  missing.length > 0 ? `not installed: ${missing.join(', ')} (etcd-server, etcd-client)` : false;

interface Member {
  readonly name: string;
  readonly data: string;
  readonly client: string;
  readonly peer: string;
}

export async function startEtcd(t: Cleanup, options: EtcdOptions = {}): Promise<Etcd> {
  const etcd = new RealEtcd(t, options);
  t.after(() => etcd.killAll()); // before the folder goes
  await etcd.setUp();
  return etcd;
}

class RealEtcd implements Etcd {
  endpoints: readonly string[] = [];
  certificates: Certificates | undefined;
  readonly #t: Cleanup;
  readonly #options: EtcdOptions;
  readonly #prefix: readonly string[];
  #folder = '';
  #members: readonly Member[] = [];
  readonly #running = new Map<number, Running>();
  #snapshots = 0;
  #users = false;

  constructor(t: Cleanup, options: EtcdOptions) {
    this.#t = t;
    this.#options = options;
    this.#prefix = options.prefix ?? [];
  }

  async setUp(): Promise<void> {
    const { members = 1, tls, address = '127.0.0.1' } = this.#options;
    this.#folder = await tempFolder(this.#t);
    if (tls !== undefined) {
      await mkdir(join(this.#folder, 'tls'));
      this.certificates = await makeCertificates(join(this.#folder, 'tls'), [address]);
    }
    const scheme = tls === undefined ? 'http' : 'https';
    const made = Array.from({ length: members }, async (_, i) => ({
      name: `m${i}`,
      data: join(this.#folder, `m${i}`),
      client: `${scheme}://${address}:${await freePort()}`,
      peer: `http://${address}:${await freePort()}`,
    }));
    this.#members = await Promise.all(made);
    this.endpoints = this.#members.map(({ client }) => client);
    await this.#startAll();
  }

  async kill(member = 0, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = this.#running.get(member);
    running?.signal(signal);
    await running?.ended;
    this.#running.delete(member);
  }

  async killAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((member) => this.kill(member)));
  }

  async start(member = 0, ready = true): Promise<void> {
    const [file = 'etcd', ...args] = [...this.#prefix, 'etcd', ...this.#settings(this.#member(member))];
    this.#running.set(
      member,
      start(this.#t, file, args, { cwd: this.#folder, env: { ...process.env, ...SELDOM } }),
    );
    if (ready) await this.#healthy(member);
  }

  async restart(member = 0): Promise<void> {
    await this.kill(member);
    await this.start(member);
  }

  async pause(member = 0): Promise<void> {
    const running = this.#running.get(member);
    if (running === undefined) return;
    running.signal('SIGSTOP');
    await until(() => isStopped(running.pid), { timeoutMs: START_MS, what: 'etcd to be stopped' });
  }

  resume(member = 0): void {
    this.#running.get(member)?.signal('SIGCONT');
  }

  told(): string {
    const told = [...this.#running].map(([member, { stderr }]) => `# member ${member}\n${stderr}`);
    return told.join('\n');
  }

  async leader(): Promise<number> {
    const told = JSON.parse(await this.control('endpoint', 'status', '-w', 'json')) as {
      Endpoint: string;
      Status: { leader: number; header: { member_id: number } };
    }[];
    const leads = told.find(({ Status }) => Status.leader === Status.header.member_id);
    return this.endpoints.indexOf(leads?.Endpoint ?? '');
  }

  async compact(): Promise<void> {
    const told = JSON.parse(await this.control('get', 'none', '-w', 'json')) as {
      header: { revision: number };
    };
    await this.control('compact', String(told.header.revision));
  }

  async values(prefix: string, order: Order = 'key'): Promise<readonly string[]> {
    if (this.certificates === undefined && !this.#users) return readBelow(this.endpoints, prefix, order);
    const sorted = order === 'made' ? ['--sort-by=CREATE', '--order=ASCEND'] : [];
    const text = await this.control('get', '--prefix', prefix, '--print-value-only', ...sorted);
    return text.split('\n').filter((line) => line !== '');
  }

  async wipe(prefix: string): Promise<void> {
    await this.control('del', '--prefix', prefix);
  }

  async snapshot(): Promise<Snapshot> {
    const file = join(this.#folder, `snapshot-${++this.#snapshots}`);
    await this.#etcdctl(0, 'snapshot', 'save', file);
    return { file };
  }

  async restore(snapshot?: Snapshot): Promise<void> {
    await this.killAll();
    for (const member of this.#members) {
      await rm(member.data, { recursive: true, force: true });
      if (snapshot !== undefined) await this.#fill(member, snapshot);
    }
    await this.#startAll();
  }

  async addUser(user: string, password: string, prefix: string): Promise<void> {
    await this.control('user', 'add', `root:${ROOT_PASSWORD}`);
    await this.control('user', 'grant-role', 'root', 'root');
    await this.control('role', 'add', user);
    await this.control('role', 'grant-permission', user, '--prefix=true', 'readwrite', prefix);
    await this.control('user', 'add', `${user}:${password}`);
    await this.control('user', 'grant-role', user, user);
    await this.control('auth', 'enable');
    this.#users = true;
  }

  control(...args: string[]): Promise<string> {
    return this.#etcdctl(undefined, ...args);
  }

  async #startAll(): Promise<void> {
    for (const i of this.#members.keys()) await this.start(i, false);
    await Promise.all([...this.#members.keys()].map((i) => this.#healthy(i)));
  }

  async #healthy(member: number): Promise<void> {
    const running = this.#running.get(member);
    const ended = running?.ended.then(({ stderr }) => Promise.reject(new Error(`etcd ended:\n${stderr}`)));
    const { client } = this.#member(member);
    const what = `etcd to answer at ${client}`;
    const byCommand = () => this.#etcdctl(member, 'endpoint', 'health').then(() => true);
    const answers = this.certificates === undefined ? () => isHealthy(client) : byCommand;
    await Promise.race([ended, until(answers, { timeoutMs: START_MS, what })]);
  }

  async #fill(member: Member, { file }: Snapshot): Promise<void> {
    const { name, data, peer } = member;
    const cluster = ['--initial-cluster', this.#cluster(), '--initial-advertise-peer-urls', peer];
    await this.#etcdctl(0, 'snapshot', 'restore', file, '--name', name, '--data-dir', data, ...cluster);
  }

  #settings({ name, data, client, peer }: Member): readonly string[] {
    const { certificates: pem } = this;
    const asked =
      this.#options.tls === 'clients' && pem ? ['--client-cert-auth', '--trusted-ca-file', pem.ca] : [];
    return [
      ...['--name', name, '--data-dir', data, '--initial-cluster', this.#cluster()],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...(this.#options.flushes === true ? [] : ['--unsafe-no-fsync']),
      ...['--logger', 'zap', '--log-level', 'error'],
      ...(pem ? ['--cert-file', pem.server.cert, '--key-file', pem.server.key] : []),
      ...asked,
    ];
  }

  #cluster(): string {
    return this.#members.map(({ name, peer }) => `${name}=${peer}`).join(',');
  }

  async #etcdctl(member: number | undefined, ...args: string[]): Promise<string> {
    const endpoints = member === undefined ? this.endpoints : [this.#member(member).client];
    const pem = this.certificates;
    const [file = 'etcdctl', ...line] = [
      ...[...this.#prefix, 'etcdctl', '--endpoints', endpoints.join(',')],
      ...(this.#users ? ['--user', `root:${ROOT_PASSWORD}`] : []),
      ...(pem ? ['--cacert', pem.ca, '--cert', pem.client.cert, '--key', pem.client.key] : []),
      ...args,
    ];
    const env = { ...process.env, ...SELDOM, ETCDCTL_API: '3' };
    const { stdout } = await promisify(execFile)(file, line, { env, timeout: CONTROL_TIMEOUT_MS });
    return stdout;
  }

  #member(i: number): Member {
    const member = this.#members[i];
    if (member === undefined) throw new Error(`etcd has no member ${i}`);
    return member;
  }
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Each thread stops when it is next to run: proc_pid_stat(5). */
function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) => /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1')));
}
