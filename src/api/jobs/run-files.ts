/** What a host has of its runs on disk, as its API and the commands on its own box read it. */
import { GantryError } from '../../errors.ts';
import { outputOf, type RunFolder, receiveInput, runFolder, sizeOf } from '../../jobs/disk/run-folder.ts';
import { readRunLog } from '../../jobs/disk/run-log.ts';
import type { RunFiles } from './job-server.ts';

export interface RunFilesOptions {
  /** Takes an input only for runs that this host has begun: what comes over the network makes no folders. */
  readonly begunOnly?: boolean;
}

export function runFilesIn(
  stateDir: string,
  project: string,
  { begunOnly = false }: RunFilesOptions = {},
): RunFiles {
  const folderOf = (run: string) => runFolder(stateDir, project, run);
  return {
    log: (run, query, signal) => readRunLog(folderOf(run), query, signal),
    output: (run) => outputOf(folderOf(run)),
    async input(run, bytes, signal) {
      const folder = folderOf(run);
      if (begunOnly) await refuseUnknown(run, folder);
      await receiveInput(folder, bytes, signal);
    },
  };
}

async function refuseUnknown(run: string, { path }: RunFolder): Promise<void> {
  if ((await sizeOf(path)) !== undefined) return;
  throw new GantryError('run-unknown', `no run ${run} waits for its input here`, { retryable: true });
}
