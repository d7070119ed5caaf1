/**
 * A whole private gantryd for one end-to-end test: state directory, project name, config files, commands.
 * At the end it takes down what the test left standing, and fails the test when something stays that
 * gantryd itself should have ended or deleted.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LABELS } from '../../src/docker/spec.ts';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import type { ProxyStatus } from '../../src/proxy/control/protocol.ts';
import { containersWith, type ObservedContainer, removeContainer } from './docker.ts';
import { type Cleanup, skipWithoutEngine, until } from './harness.ts';
import { type Cli, cli } from './processes.ts';

const PROXY_END_MS = 15_000;
const PROXY_ANSWER_MS = 15_000;

export interface Sandbox extends Cli {
  readonly folder: string;
  readonly stateDir: string;
  /** Unique to the sandbox; for the config's project name and for image names. */
  readonly project: string;
  /** Writes a config file and answers its path. */
  config(value: unknown, name?: string): Promise<string>;
  /** As `proxy status --json` has it, from this process; one that has just taken over serves before it tells. */
  proxy(): Promise<ProxyStatus>;
  /** What gantryd of this sandbox has on the engine. */
  containers(): Promise<readonly ObservedContainer[]>;
}

/** `proxyEndMs`: for how long its proxy may take to end. */
export async function sandbox(t: Cleanup, { proxyEndMs = PROXY_END_MS } = {}): Promise<Sandbox> {
  const folder = await mkdtemp(join(tmpdir(), 'g-'));
  const stateDir = join(folder, 's');
  const cleanups: (() => Promise<void> | void)[] = [];
  t.after(() => takeDown(folder, stateDir, cleanups, proxyEndMs));
  await mkdir(stateDir);
  const commands = cli({ after: (clean) => cleanups.push(clean) }, stateDir);
  const containers = () => ownContainers(stateDir);
  const client = new ProxyClient({ stateDir });
  const proxy = () => until(() => client.status(), { timeoutMs: PROXY_ANSWER_MS, what: 'a proxy to answer' });
  const config = configWriter(folder);
  return { ...commands, folder, stateDir, project: uniqueName(), containers, proxy, config };
}

function uniqueName(): string {
  return `t${Math.random().toString(36).slice(2, 8).padEnd(6, '0')}`;
}

function configWriter(folder: string) {
  return async (value: unknown, name = 'project.json'): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value, null, 2));
    return path;
  };
}

async function ownContainers(stateDir: string): Promise<readonly ObservedContainer[]> {
  if (skipWithoutEngine !== false) return [];
  const host = await readFile(join(stateDir, 'host-id'), 'utf8').catch(() => undefined);
  return host === undefined ? [] : containersWith({ [LABELS.host]: host.trim() });
}

/** In this order: the commands a test left running, the proxy, containers, the folder. */
async function takeDown(
  folder: string,
  stateDir: string,
  cleanups: readonly (() => Promise<void> | void)[],
  proxyEndMs: number,
): Promise<void> {
  for (const clean of cleanups) await clean();
  const leaks = [...(await proxyLeak(stateDir, proxyEndMs)), ...temporaryFiles(stateDir)];
  for (const container of await ownContainers(stateDir)) await removeContainer(container.id);
  const left = await ownContainers(stateDir);
  leaks.push(...left.map((c) => `container ${c.name} (${c.state})`));
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  if (leaks.length > 0) throw new Error(`the test left behind: ${leaks.join('; ')}`);
}

/** The proxy may run; when told to end, every process of the state directory must be gone. */
async function proxyLeak(stateDir: string, timeoutMs: number): Promise<string[]> {
  if (processesOf(stateDir).length === 0) return [];
  const proxy = new ProxyClient({ stateDir });
  let said = '';
  const ended = async () => {
    said = await proxy.stop(true).then(() => 'it would', String);
    return processesOf(stateDir).length === 0;
  };
  const left = await until(ended, { timeoutMs, what: 'the proxy to end' }).then(
    () => [],
    () => processesOf(stateDir),
  );
  for (const { pid } of left) process.kill(pid, 'SIGKILL');
  return left.map(({ pid, command }) => `process ${pid}: ${command} (told to stop, the proxy said: ${said})`);
}

function temporaryFiles(stateDir: string): string[] {
  const names = readdirSync(stateDir, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => /\.tmp/.test(name)).map((name) => `file ${name}`);
}

/** Node processes whose environment or command line names the state directory. */
export function processesOf(stateDir: string): readonly { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => ({ pid: Number(pid), command: procFile(pid, 'cmdline'), env: procFile(pid, 'environ') }))
    .filter(({ command, env }) => command.includes(stateDir) || env.includes(`GANTRYD_STATE_DIR=${stateDir}`))
    .map(({ pid, command }) => ({ pid, command }));
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // ended meanwhile, or another user's
  }
}
