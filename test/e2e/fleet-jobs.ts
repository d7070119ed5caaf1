/**
 * A fleet whose hosts run jobs, for end-to-end tests: commands come from a machine without an engine, containers leave
 * evidence in a folder that all hosts see, and what happened is told by that, by the commands and by the engines.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunValue } from '../../src/cluster/job-values.ts';
import { keys } from '../../src/cluster/keys.ts';
import { JOB_LABELS } from '../../src/docker/job-engine.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { busyboxImage, uniqueTag } from '../docker/images.ts';
import { dockerCall, type ObservedContainer } from '../ground/docker.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import type { Host, Place } from '../ground/hosts.ts';
import type { Running, RunOptions, RunResult } from '../ground/processes.ts';
import { type FleetShop, openFleetShop, PROJECT, WAIT_MS } from './fleet.ts';
import { exitedWith } from './shop.ts';

const GANTRYD = join(PACKAGE_ROOT, 'bin', 'gantryd.js');
const COMMAND_MS = 120_000;
/** Where containers find the folder for their evidence. */
const EVIDENCE = '/evidence';

export class JobShop {
  readonly shop: FleetShop;
  /** A machine without an engine. */
  readonly client: Place;
  readonly image: string;
  /** On this machine. */
  readonly evidence: string;

  constructor(shop: FleetShop, image: string, evidence: string) {
    this.shop = shop;
    this.client = shop.fleet.place('client');
    this.image = image;
    this.evidence = evidence;
  }

  /** `gantryd …` on the client, to its end. */
  gantryd(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.client.run(process.execPath, [GANTRYD, ...args], this.#with(options));
  }

  /** The same; fails the test when it exits with anything but 0. Answers stdout. */
  async must(...args: readonly string[]): Promise<string> {
    const result = await this.gantryd(args);
    exitedWith(0, result);
    return result.stdout;
  }

  /** The same with --json: the document. */
  async told<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.must(...args, '--json')) as T;
  }

  /** The same, with stdout byte for byte. */
  async bytes(...args: readonly string[]): Promise<RunResult & { readonly bytes: Buffer }> {
    const file = join(this.client.folder, 'bytes');
    const line = ['-c', 'exec "$@" > "$0"', file, process.execPath, GANTRYD, ...args];
    const result = await this.client.run('/bin/sh', line, this.#with({}));
    return { ...result, bytes: await readFile(file) };
  }

  /** On the client, and goes on. */
  begin(...args: readonly string[]): Running {
    return this.client.spawn(process.execPath, [GANTRYD, ...args], this.#with({}));
  }

  /** Words for `job run` of a shell's script. */
  script(script: string, ...args: readonly string[]): readonly string[] {
    const command = `sh -c '${script.replaceAll("'", `'"'"'`)}'`;
    return ['job', 'run', '--image', this.image, '--mount', this.mount, '--command', command, ...args];
  }

  get mount(): string {
    return `${this.evidence}=${EVIDENCE}`;
  }

  show(id: string): Promise<RunValue> {
    return this.told('job', 'show', id);
  }

  /** Newest first, also those that are over. */
  async runs(): Promise<readonly RunValue[]> {
    return (await this.told<{ runs: RunValue[] }>('job', 'list', '--all')).runs;
  }

  /** Waits until runs are over, straight from etcd: each look of a command would start a Node. */
  async untilOver(what: string, which: (run: RunValue) => boolean, timeoutMs = WAIT_MS): Promise<void> {
    const at = keys().project(PROJECT);
    const over = async () => {
      const open = await this.shop.values<RunValue>(at.jobs.runs().from);
      return !open.some((run) => which(run) && run.endedAt === undefined);
    };
    await until(over, { timeoutMs, what });
  }

  async untilHosts(count: number): Promise<void> {
    const prefix = keys().project(PROJECT).jobs.executors().from;
    const all = async () => (await this.shop.values(prefix)).length === count;
    await until(all, { timeoutMs: WAIT_MS, what: `${count} hosts that run jobs` });
  }

  /** What containers wrote to a file of theirs, line by line. */
  async written(file: string): Promise<readonly string[]> {
    const text = await readFile(join(this.evidence, file), 'utf8').catch(() => '');
    return text.split('\n').slice(0, -1);
  }

  /** Makes a file that containers wait for. */
  allow(file: string): Promise<void> {
    return writeFile(join(this.evidence, file), '');
  }

  /** Of jobs on these hosts, whatever their state. */
  async containers(hosts: readonly Host[] = this.shop.hosts): Promise<readonly ObservedContainer[]> {
    const all = await Promise.all(hosts.map((host) => host.containers()));
    return all.flat().filter(({ labels }) => labels[JOB_LABELS.run] !== undefined);
  }

  async untilNothingLeft(hosts: readonly Host[] = this.shop.hosts): Promise<void> {
    const none = async () => (await this.containers(hosts)).length === 0;
    await until(none, { timeoutMs: WAIT_MS, what: 'no container of a job anywhere' });
  }

  async inspected(hosts: readonly Host[]): Promise<string> {
    const all = hosts.map(async (host) => {
      const ids = (await host.containers()).map(({ id }) => id);
      const look = (id: string) => dockerCall('GET', `/containers/${id}/json`, undefined, [200], host.docker);
      return Promise.all(ids.map(look));
    });
    return JSON.stringify(await Promise.all(all));
  }

  #with(options: RunOptions): RunOptions {
    return { timeoutMs: COMMAND_MS, ...options, env: { ...this.shop.env, ...options.env } };
  }
}

export async function openJobShop(t: Cleanup, hosts: readonly string[]): Promise<JobShop> {
  const shop = await openFleetShop(t, { hosts, places: ['client'] });
  const image = uniqueTag();
  await Promise.all(shop.hosts.map((host) => busyboxImage(host.docker, image)));
  const evidence = join(shop.fleet.place('client').folder, 'evidence');
  await mkdir(evidence);
  return new JobShop(shop, image, evidence);
}

/** A script that prints a line of each kind every tenth of a second; after `held` of them only once it is allowed `more`. */
export function counting(to: number, held: number): string {
  const line = (end: number) =>
    `while [ $i -lt ${end} ]; do echo out $i; echo err $i >&2; i=$((i+1)); sleep 0.1; done`;
  return `i=0; ${line(held)}; until test -e ${EVIDENCE}/more; do sleep 0.1; done; ${line(to)}`;
}

/** What that prints. */
export function counted(word: string, to: number): string {
  return Array.from({ length: to }, (_, i) => `${word} ${i}\n`).join('');
}
