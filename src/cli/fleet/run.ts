/** `gantryd run`: the agent of a project on this host, until it is told to end. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { openStateDir } from '../../agent/state-dir.ts';
import { troubleOf } from '../../agent/stay.ts';
import { steadyNow } from '../../clock.ts';
import { openStore } from '../../cluster/etcd/etcd-store.ts';
import { keys } from '../../cluster/keys.ts';
import type { Store } from '../../cluster/store.ts';
import { type PeerValue, readConfig } from '../../cluster/values.ts';
import { didYouMean } from '../../config/suggest.ts';
import { openJobEngine } from '../../docker/dockerode.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import { ownAddress } from '../../fleet/address.ts';
import { telling } from '../../fleet/events/telling.ts';
import { type HostInput, runHost } from '../../fleet/host.ts';
import { openLog } from '../../log.ts';
import { eventRecorder } from '../../metrics/agent-events.ts';
import { NO_METRICS } from '../../metrics/metrics.ts';
import { openMetrics } from '../../metrics/open.ts';
import { ProxyClient } from '../../proxy/control/client.ts';
import { isOutdated, upgradeProxy } from '../../proxy/generations/launch.ts';
import { placeOf, refuseOpenElsewhere } from '../api/place.ts';
import { prefixOf, refuseName, storeOptions } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { type PeerApi, runJobs } from '../jobs/run-jobs.ts';
import { type Output, openOutput } from '../output.ts';
import { logOutput } from './log-output.ts';
import type { RunArguments } from './options.ts';
import { fleetSecrets } from './secrets.ts';

/** An agent that has etcd on its own host, and was told no address, is there for this host alone. */
const LOOPBACK = '127.0.0.1';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** As a part of a key, and of a command line. */
const HOST_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,252}$/;

export async function runAgent(args: RunArguments): Promise<number> {
  refuseName(args.project);
  const host = hostNameOf(args);
  const labels = labelsOf(args.label);
  const prefix = prefixOf(args);
  if (args.api !== undefined) refuseOpenElsewhere(args, placeOf(args.api).address);
  const output = await outputFor(args, host);
  const stateDir = await openStateDir(args.stateDir);
  // Nobody asks an agent without it.
  const metrics = args.api === undefined ? undefined : await openMetrics({ project: args.project });
  const measured = metrics === undefined ? {} : { metrics };
  const store = openStore({ ...(await storeOptions(args)), ...measured });
  const engine = openJobEngine({
    ...(args.docker === undefined ? {} : { address: args.docker }),
    ...measured,
  });
  const record = eventRecorder(metrics ?? NO_METRICS);
  try {
    await refuseUnfit(store, args, prefix);
    await upgradeOutdated(stateDir.path, output);
    const address = args.address ?? (await ownAddress(args.etcd.split(',')[0] ?? ''));
    const words = `Gantryd running: project ${args.project} on host ${host}`;
    const secrets = fleetSecrets({
      ...{ store, prefix, project: args.project, engine },
      ...{ stateDir: stateDir.path, file: args.secretsKey },
    });
    const told = telling({
      ...{ store, keys: keys(prefix), project: args.project, host, secrets: secrets.secrets },
      now: steadyNow,
      emit: (event: AgentEvent) => {
        record(event);
        output.event(event);
      },
    });
    const { emit } = told;
    const { project } = args;
    const { hostId } = stateDir;
    const boot = await bootId();
    const common = { project, host, labels, engine, store, emit, hostId, ...measured };
    let tell: (key: string, value: object) => void = () => {};
    const jobs = new Beside((signal) => {
      const { jobSlots: slots, apiAddress, apiPort } = args;
      const around = { ...common, keys: keys(prefix), stateDir: stateDir.path, secrets: secrets.secrets };
      const onServing = (at: PeerApi) => tell(keys(prefix).project(project).peer(host), peerValue(host, at));
      const served = { slots, apiAddress, apiPort, jobs: args.jobs, onServing };
      return runJobs({ ...around, ...served, address: address ?? LOOPBACK }, signal);
    });
    const api = new Beside(async (signal) => {
      if (args.api === undefined) return;
      const { serveBeside } = await import('../api/serve.ts'); // an agent without it holds none of it
      const around = { ...common, keys: keys(prefix), now: Date.now, stateDir: stateDir.path };
      const onServing = (url: string) => output.result({ kind: 'api', url }, `API at ${url}`);
      await serveBeside({ around, args: { ...args, api: args.api }, emit, onServing }, signal);
    });
    const onRunning: HostInput['onRunning'] = (put) => {
      tell = put;
      output.result({ kind: 'running', project: args.project, host, address }, words);
      // Not before: until then another agent may be running them here.
      jobs.start();
    };
    api.start();
    await interruptible((signal) =>
      runHost(
        {
          ...{ ...common, address, prefix, secrets, onRunning, stateDir: stateDir.path },
          boot,
          components: args.component.length === 0 ? undefined : args.component,
          stopOnExit: args.stopOnExit,
        },
        signal,
      )
        .finally(() => Promise.all([api.end(), jobs.end()]))
        .finally(() => told.close()),
    );
    return 0;
  } finally {
    output.end();
    engine.close();
    await store.close();
  }
}

/** Linux makes one with each start of the machine (random(4)). */
async function bootId(): Promise<string | undefined> {
  return readFile(BOOT_ID, 'utf8').then(
    (text) => text.trim(),
    () => undefined, // not to be seen from here: then a copy is not told apart
  );
}

function peerValue(host: string, { address, port, token }: PeerApi): PeerValue {
  return { format: 1, host, address, port, token };
}

async function outputFor({ json, logLevel: level, logFormat }: RunArguments, host: string): Promise<Output> {
  if (logFormat === 'json') return logOutput(await openLog(level, process.stdout.fd), host);
  return openOutput({ json, level, components: 'many' });
}

/** Begins when the agent has, and ends with it. */
class Beside {
  readonly #ended = new AbortController();
  readonly #run: (signal: AbortSignal) => Promise<void>;
  #running: Promise<void> | undefined;

  constructor(run: (signal: AbortSignal) => Promise<void>) {
    this.#run = run;
  }

  start(): void {
    this.#running ??= this.#run(this.#ended.signal);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }
}

/** An agent of a newer version brings its proxy along. One that cannot be replaced serves on as it is. */
async function upgradeOutdated(stateDir: string, output: Output): Promise<void> {
  try {
    const status = await new ProxyClient({ stateDir }).status();
    if (isOutdated(status)) await upgradeProxy({ stateDir });
  } catch (error) {
    if (!isGantryError(error, 'proxy-unreachable'))
      output.event({ ...troubleOf(error), component: '', at: Date.now() });
  }
}

function hostNameOf({ hostName = hostname() }: RunArguments): string {
  if (HOST_NAME.test(hostName)) return hostName;
  throw new GantryError('usage', `${JSON.stringify(hostName)} cannot be the name of a host`, {
    hint: 'Give it one with --host-name: letters, digits, `_`, `.` and `-`.',
  });
}

function labelsOf(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    given.map((text) => {
      const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
      if (key !== undefined && value !== undefined) return [key, value];
      throw new GantryError('usage', `--label ${text} is no label`, { hint: 'It is NAME=VALUE, as rack=7.' });
    }),
  );
}

/** An etcd that is away is waited for; one that refuses us, and a component that nobody knows, are mistakes. */
async function refuseUnfit(
  store: Store,
  { project, component }: RunArguments,
  prefix: string,
): Promise<void> {
  try {
    const config = readConfig(await store.get(keys(prefix).project(project).config));
    const listed = Array.isArray(config?.file.components) ? config.file.components : [];
    const names = listed.map((c: unknown) => String((c as { name?: unknown }).name));
    const unknown = component.find((name) => names.length > 0 && !names.includes(name));
    if (unknown === undefined) return;
    const message = `Project ${project} has no component ${unknown}${didYouMean(unknown, names)}`;
    throw new GantryError('component-unknown', message, { hint: `Its components are: ${names.join(', ')}.` });
  } catch (error) {
    if (!isGantryError(error, 'cluster-unreachable')) throw error;
  }
}
