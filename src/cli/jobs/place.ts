/**
 * Where the runs are that a command is about: those of a project in etcd, whose hosts are asked for logs over their API,
 * or those of this box, in its state directory.
 */
import type { RunFiles } from '../../api/jobs/job-server.ts';
import { filesOf } from '../../api/jobs/run-elsewhere.ts';
import type { RunValue } from '../../cluster/job-values.ts';
import { type Keys, keys } from '../../cluster/keys.ts';
import { type Store, startingWith } from '../../cluster/store.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { BOX_PROJECT } from '../../secrets/box.ts';
import type { SealingOptions } from '../../secrets/sealing-key.ts';
import { whoAsks } from '../access/who-asks.ts';
import type { JobArguments } from './options.ts';

/** A box's own: its runs are executed by the command, or by its runner. */
export interface Box {
  readonly stateDir: string;
  readonly hostId: string;
  readonly docker: string | undefined;
}

export interface Place {
  readonly fleet: JobFleet;
  readonly box: Box | undefined;
  /** How it is found out which key secrets of a fleet's job are sealed for. */
  sealingFor(): Promise<SealingOptions>;
  /** What is on disk of a run, wherever that is. Throws output-gone, retryable while its host may come back. */
  files(run: RunValue): Promise<RunFiles>;
}

export async function withPlace<T>(args: JobArguments, body: (place: Place) => Promise<T>): Promise<T> {
  const { store, ...place } = args.program === 'gantry' ? await boxPlace(args) : await fleetPlace(args);
  try {
    return await body(place);
  } finally {
    await store.close();
  }
}

type OpenPlace = Place & { readonly store: Store };

async function boxPlace({ stateDir, docker }: JobArguments): Promise<OpenPlace> {
  const { openStateDir } = await import('../../agent/state-dir.ts');
  const { path, hostId } = await openStateDir(stateDir);
  const { openBoxStore } = await import('../../cluster/box.ts');
  const store = openBoxStore(path);
  const { runFilesIn } = await import('../../api/jobs/run-files.ts');
  const files = runFilesIn(path, BOX_PROJECT);
  return {
    ...{ store, box: { stateDir: path, hostId, docker }, files: async () => files },
    sealingFor: async () => ({ stateDir: path, at: '', file: undefined, isPublishedTrusted: false }),
    fleet: { store, keys: keys(), project: BOX_PROJECT, by: whoAsks(), now: Date.now, isBox: true },
  };
}

async function fleetPlace(args: JobArguments): Promise<OpenPlace> {
  const { openFleetStore, prefixOf, refuseName } = await import('../etcd.ts');
  const all = keys(prefixOf(args));
  if (args.project !== undefined) refuseName(args.project);
  const store = await openFleetStore(args);
  try {
    const project = args.project ?? (await onlyProject(store, all));
    const fleet = { store, keys: all, project, by: whoAsks(), now: Date.now };
    const at = `${args.etcd} ${all.project(project).secretsKey}`;
    return {
      ...{ store, fleet, box: undefined, files: (run) => filesOf(fleet, run) },
      sealingFor: async () => {
        const { openStateDir } = await import('../../agent/state-dir.ts');
        const { path } = await openStateDir(args.stateDir);
        return { stateDir: path, at, file: undefined, isPublishedTrusted: false };
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The one that has agents; without any, the one that has anything. Throws usage when that is not one. */
async function onlyProject(store: Store, all: Keys): Promise<string> {
  const agents = await store.list(all.hosts());
  const live = new Set(agents.entries.map(({ key }) => key.slice(key.lastIndexOf('/') + 1)));
  const names = [...(live.size > 0 ? live : await knownProjects(store, all))].sort();
  const [only, second] = names;
  if (only !== undefined && second === undefined) return only;
  const message =
    only === undefined ? 'There is no project in etcd' : `There are several projects: ${names.join(', ')}`;
  throw new GantryError('usage', `${message}; say which one with --project`, {
    hint: only === undefined ? 'gantryd run PROJECT starts an agent.' : 'Or set GANTRYD_PROJECT.',
  });
}

async function knownProjects(store: Store, { prefix }: Keys): Promise<ReadonlySet<string>> {
  const base = `${prefix}/projects/`;
  const { entries } = await store.list(startingWith(base));
  return new Set(entries.map(({ key }) => key.slice(base.length).split('/')[0] ?? ''));
}
