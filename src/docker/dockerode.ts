/**
 * The only file that loads dockerode, and only with the first call: commands that need no engine do not
 * pay for it, the others as little as possible.
 */
import { createRequire } from 'node:module';
import type Docker from 'dockerode';
import type { Metrics } from '../metrics/metrics.ts';
import { Connection } from './connection.ts';
import { DockerEngine } from './docker-engine.ts';
import { DockerJobEngine } from './docker-job-engine.ts';
import type { Engine } from './engine.ts';
import type { JobEngine } from './job-engine.ts';

export interface EngineOptions {
  /** `unix:///path`, `tcp://host:port`, `http(s)://…`; undefined: DOCKER_HOST, else the local socket. */
  readonly address?: string;
  /** Of calls: how long each takes, and which fail. */
  readonly metrics?: Metrics;
}

/** Dials with the first call, not before. */
export function openEngine(options: EngineOptions = {}): Engine {
  return new DockerEngine(new Connection(options.address, loadDockerode, options.metrics));
}

/** As openEngine, for whoever runs jobs. */
export function openJobEngine(options: EngineOptions = {}): JobEngine {
  return new DockerJobEngine(new Connection(options.address, loadDockerode, options.metrics));
}

type DockerClass = new (options: Docker.DockerOptions) => Docker;

/**
 * The BuildKit session (gRPC) and the SSH transport are three quarters of dockerode's loading time, 75 of
 * 100 ms, and what packs the context of a build is a third of the rest; gantryd uses none of it: empty modules
 * stand in for them while it loads.
 */
const UNUSED = ['dockerode/lib/session', 'docker-modem/lib/ssh', 'tar-fs', '@balena/dockerignore'];

export async function loadDockerode(): Promise<DockerClass> {
  const require = createRequire(import.meta.url);
  const stubs = UNUSED.flatMap((id) => stubFor(require, id));
  for (const stub of stubs) require.cache[stub.id] ??= stub;
  try {
    const { default: Dockerode } = await import('dockerode');
    return Dockerode;
  } finally {
    for (const { id } of stubs) if (require.cache[id]?.exports === NOTHING) delete require.cache[id];
  }
}

const NOTHING = {};

/** None when the package is laid out otherwise: then it is loaded whole. */
function stubFor(require: NodeJS.Require, module: string): NodeJS.Module[] {
  try {
    const id = require.resolve(module);
    const stub = { id, filename: id, path: id, exports: NOTHING, loaded: true, children: [], paths: [] };
    return [{ ...stub, parent: null, isPreloading: false, require }];
  } catch {
    return [];
  }
}
