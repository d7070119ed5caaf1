/**
 * Deploys one after the other on one box, `gantry FILE update web`, under every kind of load. Counted is what clients
 * lost. Streams that are opened on a release are held over the deploys that follow it, while its container drains.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LABELS } from '../../../src/docker/spec.ts';
import { type Cleanup, until } from '../../ground/harness.ts';
import { type Host, startHosts } from '../../ground/hosts.ts';
import {
  keepAliveClient,
  newConnectionClient,
  type Place,
  postClient,
  type Source,
  slowClient,
  uploadClient,
} from '../../ground/requests.ts';
import { openEvents, openTcp, openWebSocket, type Stream } from '../../ground/streams.ts';
import type { Tally } from '../../ground/tally.ts';
import { askVersion, type Say, WEB } from './stage.ts';
import { WrkLoad, type WrkSlice } from './wrk.ts';

export interface DeploysOptions {
  readonly deploys: number;
  /** It goes on deploying until so many were sent. */
  readonly requests: number;
  readonly say: Say;
}

export interface Deploys {
  /** Milliseconds of each command, from its start to its end. */
  readonly deployMs: readonly number[];
  readonly wallMs: number;
  readonly sources: readonly Counted[];
  readonly wrk: readonly WrkSlice[];
  readonly errors: readonly string[];
  readonly streams: number;
  readonly cut: number;
  readonly crossed: number;
  /** Containers at the same time, at most. */
  readonly mostContainers: number;
}

export interface Counted {
  readonly name: string;
  readonly sent: number;
  readonly failed: number;
}

const IMAGE = { repo: 'gantryd-bench', tag: 'app' } as const;
const HTTP_PORT = 8080;
const TCP_PORT = 9000;
const WRK_CONNECTIONS = 16;
/** Deploys that a stream is held over. */
const CROSSED = 5;
const SLOW_MS = 1_500;
const SAID_EVERY = 10;
const DEPLOY_MS = 120_000;
const EMPTY_MS = 60_000;

export async function measureDeploys(t: Cleanup, options: DeploysOptions): Promise<Deploys> {
  const box = await openBox(t);
  await box.deploy(1);
  const held = new HeldStreams(t, box);
  await held.renew();
  const wrk = new WrkLoad(t, box.http, WRK_CONNECTIONS);
  const clients = clientsOf(box.http);
  t.after(() => ended(clients));
  const began = performance.now();
  const { deployMs, mostContainers } = await deployed(
    box,
    held,
    options,
    () => wrk.requests + sentBy(clients),
  );
  const wallMs = performance.now() - began;
  await ended(clients);
  const slices = await wrk.stop();
  const streams = await held.end();
  await box.drained(deployMs.length + 2);
  const tallies = [...clients, ...streams].map(({ tally }) => tally);
  return {
    ...{ deployMs, wallMs, mostContainers, crossed: CROSSED, wrk: slices, streams: streams.length },
    cut: streams.filter(({ cutAt }) => cutAt !== undefined).length,
    sources: [countedBy(slices), ...counted(tallies)],
    errors: tallies.flatMap(({ errors }) => errors),
  };
}

async function deployed(
  box: Box,
  held: HeldStreams,
  { deploys, requests, say }: DeploysOptions,
  sent: () => number,
) {
  const deployMs: number[] = [];
  let mostContainers = 0;
  while (deployMs.length < deploys || sent() < requests) {
    deployMs.push(await box.deploy(deployMs.length + 2));
    mostContainers = Math.max(mostContainers, await box.containers());
    await held.renew();
    if (deployMs.length % SAID_EVERY === 0) say(`${deployMs.length} deploys, ${sent()} requests`);
  }
  return { deployMs, mostContainers };
}

function clientsOf(http: Place): readonly Source[] {
  return [
    ...Array.from({ length: 2 }, () => keepAliveClient(http, 20)),
    ...Array.from({ length: 4 }, () => newConnectionClient(http, 10)),
    ...Array.from({ length: 2 }, () => postClient(http, 50)),
    ...Array.from({ length: 2 }, () => uploadClient(http, 50)),
    ...Array.from({ length: 2 }, () => slowClient(http, 10, SLOW_MS)),
  ];
}

async function ended(clients: readonly Source[]): Promise<void> {
  await Promise.all(clients.map((client) => client.stop()));
}

function sentBy(sources: readonly Source[]): number {
  return sources.reduce((sum, { tally }) => sum + tally.sent, 0);
}

/** Summed over all of the same kind. */
function counted(tallies: readonly Tally[]): readonly Counted[] {
  return [...new Set(tallies.map(({ name }) => name))].map((name) => {
    const own = tallies.filter((tally) => tally.name === name);
    const sum = (of: (tally: Tally) => number) => own.reduce((total, tally) => total + of(tally), 0);
    return { name, sent: sum(({ sent }) => sent), failed: sum(({ failed }) => failed) };
  });
}

function countedBy(slices: readonly WrkSlice[]): Counted {
  const sum = (of: (slice: WrkSlice) => number) => slices.reduce((total, slice) => total + of(slice), 0);
  const failed = sum(({ notOk, socketErrors }) => notOk + socketErrors);
  return { name: 'wrk', sent: sum(({ requests }) => requests), failed };
}

/** Three of each release: events, a WebSocket, raw TCP. */
class HeldStreams {
  readonly #all: Stream[][] = [];
  readonly #box: Box;
  #open = 0;

  constructor(t: Cleanup, box: Box) {
    this.#box = box;
    t.after(async () => void (await this.end()));
  }

  /** Opens those of the release that serves now, and ends those that have crossed enough deploys. */
  async renew(): Promise<void> {
    const { http, tcp } = this.#box;
    this.#all.push(await Promise.all([openEvents(http), openWebSocket(http), openTcp(tcp)]));
    if (this.#all.length - this.#open > CROSSED) await stopped(this.#all[this.#open++] ?? []);
  }

  async end(): Promise<readonly Stream[]> {
    for (; this.#open < this.#all.length; this.#open++) await stopped(this.#all[this.#open] ?? []);
    return this.#all.flat();
  }
}

async function stopped(streams: readonly Stream[]): Promise<void> {
  await Promise.all(streams.map((stream) => stream.stop()));
}

interface Box {
  readonly http: Place;
  readonly tcp: Place;
  /** Answers how long the command took; throws unless the new release answers when it is over. */
  deploy(release: number): Promise<number>;
  containers(): Promise<number>;
  /** One more deploy, and only its container is left. */
  drained(release: number): Promise<void>;
}

/** A host with an engine and without etcd. */
async function openBox(t: Cleanup): Promise<Box> {
  const fleet = await startHosts(t, { hosts: ['a'] });
  const host = fleet.host('a');
  await fleet.images([{ tag: `${IMAGE.repo}:${IMAGE.tag}`, env: { VERSION: 'none' } }]);
  const file = join(host.folder, 'project.json');
  await writeFile(file, JSON.stringify({ project: 'shop', components: [COMPONENT] }));
  const [http, tcp] = [HTTP_PORT, TCP_PORT].map((port) => ({ host: host.address, port })) as [Place, Place];
  const update = async (release: number, ...args: readonly string[]) => {
    const began = performance.now();
    const words = [file, 'update', WEB, '--set', `environmentVariables.VERSION=v${release}`, ...args];
    await must(host, words);
    const tookMs = performance.now() - began;
    const answers = await askVersion(http);
    if (answers !== `v${release}`) throw new Error(`${answers} answers after the deploy of v${release}`);
    return tookMs;
  };
  const containers = async () => (await host.containers({ [LABELS.component]: WEB })).length;
  return {
    ...{ http, tcp, containers },
    deploy: (release) => update(release, '--detach'),
    async drained(release) {
      await update(release);
      const what = 'all but the last container to be gone';
      await until(async () => (await containers()) === 1, { timeoutMs: EMPTY_MS, what });
    },
  };
}

const COMPONENT = {
  ...{ name: WEB, ...IMAGE, readyTimeout: 60_000 },
  ports: [
    { external: HTTP_PORT, container: HTTP_PORT, kind: 'http' },
    { external: TCP_PORT, container: TCP_PORT, kind: 'tcp' },
  ],
  readyChecks: [{ kind: 'http', path: '/health', port: HTTP_PORT }],
};

async function must(host: Host, words: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await host.gantry(words, { timeoutMs: DEPLOY_MS });
  if (code !== 0) throw new Error(`gantry ${words.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
}
