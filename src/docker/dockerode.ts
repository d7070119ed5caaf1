/**
 * The only file that loads dockerode, and only with the first call: commands that need no engine do not
 * pay for it, the others as little as possible.
 */
import type Docker from 'dockerode';
import type { Metrics } from '../metrics/metrics.ts';
import { loadPackage } from '../packages.ts';
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

/** Without BuildKit sessions, SSH and the packing of build contexts, which the build leaves out of it. */
export async function loadDockerode(): Promise<DockerClass> {
  return loadPackage<DockerClass>('dockerode', (require) => require('dockerode'));
}
