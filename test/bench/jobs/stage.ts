/** What the parts of `jobs` have in common: hosts with a busybox image on them, and commands timed as a whole. */
import { busyboxImage, uniqueTag } from '../../docker/images.ts';
import { type Fleet, type Host, startHosts } from '../../ground/hosts.ts';
import type { RunResult } from '../../ground/processes.ts';
import type { Ends } from '../ends.ts';

export type Say = (line: string) => void;

export interface JobsStage {
  readonly fleet: Fleet;
  readonly image: string;
}

export async function openStage(
  t: Ends,
  hosts: readonly string[],
  places: readonly string[] = [],
): Promise<JobsStage> {
  const fleet = await startHosts(t, { hosts, places });
  const image = uniqueTag();
  await Promise.all(fleet.hosts.map((host) => busyboxImage(host.docker, image)));
  return { fleet, image };
}

/** Milliseconds from the start of the command to its end; throws unless it ends with 0. */
export async function timed(run: () => Promise<RunResult>): Promise<{ ms: number; result: RunResult }> {
  const began = performance.now();
  const result = await run();
  const ms = performance.now() - began;
  if (result.code === 0) return { ms, result };
  throw new Error(
    `a command ended with ${result.code}: ${result.stdout.slice(-500)}${result.stderr.slice(-500)}`,
  );
}

/** A command line for the shell of a host; `docker` speaks to the host's engine. */
export function shell(host: Host, line: string): Promise<RunResult> {
  return host.run('sh', ['-c', line], {
    env: { ...process.env, DOCKER_HOST: host.docker },
    timeoutMs: 900_000,
  });
}
