/**
 * The ground of the tests of jobs over HTTP: a real server on a memory store, asked with fetch, and a host that serves
 * the logs, outputs and inputs of its runs, whose containers are what the test says.
 */
import { writeFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import type { ApiAround } from '../../../src/api/around.ts';
import { openDoor, peerDoor } from '../../../src/api/auth.ts';
import { jobRoutes } from '../../../src/api/jobs/job-server.ts';
import { runFilesIn } from '../../../src/api/jobs/run-files.ts';
import type { Route } from '../../../src/api/route.ts';
import { openApi } from '../../../src/api/server.ts';
import { type ExecutorValue, type RunValue, readRun } from '../../../src/cluster/job-values.ts';
import { keys, type ProjectKeys } from '../../../src/cluster/keys.ts';
import { makeRunFolder, type RunFolder, runFolder } from '../../../src/jobs/disk/run-folder.ts';
import { RunLogWriter } from '../../../src/jobs/disk/run-log-writer.ts';
import { claimed, ended, endWrites } from '../../../src/jobs/runs.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { tempFolder } from '../../ground/harness.ts';
import { AT } from '../../jobs/job-values.ts';

const TOKEN = 'correct-horse';
const KEYS = keys();

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** undefined: it is no JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  readonly json: any;
}

export interface Served {
  readonly cluster: MemoryCluster;
  readonly store: MemoryStore;
  readonly url: string;
  readonly clock: { at: number };
  /** What is no text is sent as JSON. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export async function serve(
  t: TestContext,
  routes: (around: ApiAround) => readonly Route[],
  over: Partial<ApiAround> = {},
): Promise<Served> {
  const cluster = new MemoryCluster();
  const store = new MemoryStore(cluster);
  const clock = { at: AT };
  const around: ApiAround = { store, keys: KEYS, now: () => clock.at, ...over };
  const api = await openApi({ address: '127.0.0.1', port: 0, door: openDoor(), routes: routes(around) });
  t.after(() => api.close());
  const url = `http://127.0.0.1:${api.port}`;
  return { cluster, store, clock, url, ask: (...what) => ask(url, ...what) };
}

async function ask(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const isText = typeof body === 'string' || body === undefined;
  const sent = isText ? body : JSON.stringify(body);
  const type: Record<string, string> = isText ? {} : { 'content-type': 'application/json' };
  const answer = await fetch(`${url}${path}`, {
    ...{ method, headers: { ...type, ...headers } },
    ...(sent === undefined ? {} : { body: sent }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A host of the project, with its own API and its runs on disk. */
export class Host {
  readonly name: string;
  readonly stateDir: string;
  readonly #cluster: MemoryCluster;
  readonly #project: string;

  constructor(cluster: MemoryCluster, project: string, name: string, stateDir: string) {
    this.#cluster = cluster;
    this.#project = project;
    this.name = name;
    this.stateDir = stateDir;
  }

  /** Claims it, and begins its first step. */
  async begin(id: string): Promise<Running> {
    const run = claimed(activeRun(this.#cluster, this.#keys, id), {
      host: this.name,
      hostId: 'id-1',
      at: AT,
    });
    put(this.#cluster, this.#keys.jobs.run(id), run);
    const folder = runFolder(this.stateDir, this.#project, id);
    await makeRunFolder(folder);
    const log = await RunLogWriter.open({ folder: folder.path, run: id, now: () => AT });
    await log.begin(1, 0);
    return new Running(this.#cluster, this.#keys, run, folder, log);
  }

  get #keys(): ProjectKeys {
    return KEYS.project(this.#project);
  }
}

/** A run in the hands of a host. */
export class Running {
  readonly folder: RunFolder;
  readonly log: RunLogWriter;
  readonly #cluster: MemoryCluster;
  readonly #keys: ProjectKeys;
  readonly #run: RunValue;

  constructor(cluster: MemoryCluster, of: ProjectKeys, run: RunValue, folder: RunFolder, log: RunLogWriter) {
    this.#cluster = cluster;
    this.#keys = of;
    this.#run = run;
    this.folder = folder;
    this.log = log;
  }

  async print(text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    await this.log.print(stream, Buffer.from(text));
    await this.log.settle();
  }

  /** Its last container ends so. */
  async end(exitCode = 0, output = ''): Promise<void> {
    await this.log.end();
    await this.log.close();
    if (exitCode === 0) await writeFile(this.folder.output, output);
    const now = activeRun(this.#cluster, this.#keys, this.#run.id);
    const done = { state: exitCode === 0 ? 'complete' : 'failed', exitCode } as const;
    const steps = now.steps.map((step, index) =>
      exitCode === 0 || index === 0 ? { ...step, ...done, container: 'c0ffee', startedAt: now.at } : step,
    );
    const why = exitCode === 0 ? '' : `step 1 ended with exit code ${exitCode}`;
    const end = { kind: 'exit', exitCode, step: 0, why, lines: [] } as const;
    const over = ended({ ...now, steps }, end, AT + 1_500).run;
    this.#cluster.commit([], endWrites(this.#keys, over));
  }
}

/** Who may run jobs is there; the first one's API is real. */
export async function aHost(t: TestContext, { cluster }: Served, project = 'shop'): Promise<Host> {
  const stateDir = await tempFolder(t);
  const api = await openApi({
    ...{ address: '127.0.0.1', port: 0, door: peerDoor(TOKEN) },
    routes: jobRoutes(runFilesIn(stateDir, project, { begunOnly: true })),
  });
  t.after(() => api.close());
  const value: ExecutorValue = {
    ...{ format: 1, host: 'h1', hostId: 'id-1', address: '127.0.0.1', port: api.port, token: TOKEN },
    ...{ labels: {}, slots: 4, since: new Date(AT).toISOString() },
  };
  put(cluster, KEYS.project(project).jobs.executor('h1'), value);
  return new Host(cluster, project, 'h1', stateDir);
}

export function put(cluster: MemoryCluster, key: string, value: object): void {
  cluster.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
}

export function activeRun(cluster: MemoryCluster, of: ProjectKeys, id: string): RunValue {
  const run = readRun(cluster.get(of.jobs.run(id)));
  if (run === undefined) throw new Error(`${id} is not under way`);
  return run;
}
