/**
 * What a host of a fleet does for a project beside its components: answers other agents and commands, with the logs of
 * its containers and runs, and commands in its containers; and, unless it is to run no jobs, claims and executes runs.
 * Whatever goes wrong here is told and tried again, and never ends what serves.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { peerDoor } from '../../api/auth.ts';
import { Execs } from '../../api/exec/exec-server.ts';
import { jobRoutes } from '../../api/jobs/job-server.ts';
import { runFilesIn } from '../../api/jobs/run-files.ts';
import { componentLogRoutes } from '../../api/logs/log-server.ts';
import { type Api, openApi } from '../../api/server.ts';
import { codeOf, isGantryError, messageOf } from '../../errors.ts';
import { execute } from '../../jobs/execution/execution.ts';
import { type JobsHostInput, runJobsHost } from '../../jobs/jobs-host.ts';
import { pause } from '../../poke.ts';
import { mountedSecrets, SPARED_MS } from '../../secrets/mounted.ts';

const RETRY_MS = 5_000;
const TOKEN_BYTES = 32;
/** Of a name or address that is this host's to others, but none of its own. */
const NOT_OURS = ['EADDRNOTAVAIL', 'ENOTFOUND'];
const ALL_ADDRESSES = '0.0.0.0';

type Passed =
  | ('store' | 'keys' | 'project' | 'host' | 'hostId' | 'labels')
  | ('stateDir' | 'engine' | 'slots' | 'secrets' | 'emit');

export interface RunJobsInput extends Pick<JobsHostInput, Passed> {
  /** Where others reach this host, and what the API listens on unless `apiAddress` says otherwise. */
  readonly address: string;
  readonly apiAddress: string | undefined;
  readonly apiPort: number;
  /** Claims and executes runs, too. */
  readonly jobs: boolean;
  /** Called when it listens, again after each trouble: others are to know. */
  readonly onServing: (api: PeerApi) => void;
}

export interface PeerApi {
  readonly address: string;
  readonly port: number;
  readonly token: string;
}

/** Until aborted. Never rejects. */
export async function runJobs(input: RunJobsInput, signal: AbortSignal): Promise<void> {
  for (let told = ''; !signal.aborted; ) {
    try {
      await serve(input, signal);
    } catch (error) {
      if (messageOf(error) !== told) tellTrouble(input, error);
      told = messageOf(error);
      await pause(RETRY_MS, signal);
    }
  }
}

async function serve(input: RunJobsInput, signal: AbortSignal): Promise<void> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const execs = new Execs({ ...input, now: Date.now });
  const server = await listen(input, execs, token);
  const api = { address: input.apiAddress ?? input.address, port: server.port, token };
  try {
    input.onServing(api);
    await (input.jobs ? jobsHost(input, api, signal) : aborted(signal));
  } finally {
    await execs.close();
    await server.close();
  }
}

function jobsHost(input: RunJobsInput, api: PeerApi, signal: AbortSignal): Promise<void> {
  const { store, keys, project, host, hostId, labels, stateDir, engine, slots, emit, secrets } = input;
  return runJobsHost(
    {
      ...{ store, keys, project, host, hostId, labels, stateDir, engine, slots, emit, secrets, execute },
      secretFiles: mountedSecrets({ stateDir, scope: `jobs/${project}`, sparedMs: SPARED_MS }),
      ...{ api, alone: true, now: Date.now },
    },
    signal,
  );
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

/** On the address that others are told; on all, where that one leads here from elsewhere. */
async function listen(
  { stateDir, project, hostId, engine, ...input }: RunJobsInput,
  execs: Execs,
  token: string,
): Promise<Api> {
  const address = input.apiAddress ?? input.address;
  const door = peerDoor(token);
  const routes = [
    ...jobRoutes(runFilesIn(stateDir, project, { begunOnly: true })),
    ...componentLogRoutes({ engine, project, hostId }),
    ...execs.routes(),
  ];
  try {
    return await openApi({ address, port: input.apiPort, door, routes });
  } catch (error) {
    if (!isGantryError(error) || !NOT_OURS.includes(codeOf(error.cause))) throw error;
    return openApi({ address: ALL_ADDRESSES, port: input.apiPort, door, routes });
  }
}

function tellTrouble({ emit, jobs }: RunJobsInput, error: unknown): void {
  const known = isGantryError(error) ? error : undefined;
  emit({
    ...{ kind: 'trouble', code: known?.code ?? 'internal', component: '', at: Date.now() },
    message: `${jobs ? 'Jobs do not run' : 'Logs are not served'} here: ${messageOf(error)}`,
    ...(known?.hint === undefined ? {} : { hint: known.hint }),
  });
}
