/**
 * A process of the benchmark with hosts in it: the real agents, each with a store, that is connections to etcd, and a
 * state directory of its own, around engines and proxies in memory. Does what its parent orders, and ends with it.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { recordFile } from '../../../src/agent/record.ts';
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { type ContainerSpec, LABELS } from '../../../src/docker/spec.ts';
import { messageOf } from '../../../src/errors.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { runHost } from '../../../src/fleet/host.ts';
import { FakeEngine } from '../../docker/fake-engine.ts';
import { FakeProxy } from '../../fleet/fake-proxy.ts';
import { selfTimes } from '../self-times.ts';
import type { Answered, HostsOrder, Moment, Order, Template, Usage } from './agents-process.ts';
import { IMAGES, imageId, monotonicMs, PROJECT } from './operator.ts';

/** Agents that begin at the same time. */
const AT_ONCE = 10;

/** Keeps what its containers were made from. */
class RecordingEngine extends FakeEngine {
  readonly specs: ContainerSpec[] = [];

  override async create(spec: ContainerSpec): Promise<string> {
    this.specs.push(spec);
    return super.create(spec);
  }
}

interface Simulated {
  readonly name: string;
  readonly stateDir: string;
  readonly engine: RecordingEngine;
  readonly proxy: FakeProxy;
}

const hosts: Simulated[] = [];
let moments: Moment[] = [];
let profiler: Session | undefined;

const orders: { readonly [K in keyof Order]: (order: Order[K]['asks']) => Promise<Order[K]['answers']> } = {
  async run(order) {
    for (let at = 0; at < order.names.length; at += AT_ONCE)
      await Promise.all(order.names.slice(at, at + AT_ONCE).map((name) => begin(name, order)));
    return {};
  },
  async template({ components }) {
    const [host] = hosts;
    if (host === undefined) throw new Error('no host runs here');
    const records = await Promise.all(
      components.map(async (name) => {
        return [name, await readFile(recordFile(host.stateDir, PROJECT, name).path, 'utf8')] as const;
      }),
    );
    return { records, specs: host.engine.specs, table: host.proxy.table(PROJECT) };
  },
  async moments() {
    const told = moments;
    moments = [];
    return told;
  },
  usage,
  async profile({ on }) {
    if (on) {
      profiler = new Session();
      profiler.connect();
      await profiler.post('Profiler.enable');
      await profiler.post('Profiler.start');
      return undefined;
    }
    const stopped = await profiler?.post('Profiler.stop');
    profiler?.disconnect();
    return stopped && selfTimes(stopped.profile);
  },
};

process.on('disconnect', () => process.exit(0));
process.on('message', ({ id, kind, order }: { id: number; kind: keyof Order; order: never }) => {
  const carryOut: (order: never) => Promise<unknown> = orders[kind];
  const answer = (answered: Omit<Answered, 'id'>) => process.send?.({ id, ...answered });
  void carryOut(order).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: messageOf(error) }),
  );
});

/** Settles when everything is followed. */
async function begin(name: string, { endpoints, folder, template, fullMoments }: HostsOrder): Promise<void> {
  const host = { name, stateDir: join(folder, name), engine: engineOf(), proxy: new FakeProxy() };
  await mkdir(host.stateDir, { recursive: true });
  if (template !== undefined) await restore(host, template);
  hosts.push(host);
  const emit = (event: AgentEvent) => {
    const what = wordOf(event);
    if (fullMoments || what !== undefined)
      moments.push([name, event.component, what ?? event.kind, monotonicMs()]);
  };
  await new Promise<void>((running, failed) => {
    runHost(
      {
        ...{ project: PROJECT, components: undefined, host: name, address: '127.0.0.1', labels: {} },
        ...{ stateDir: host.stateDir, hostId: hostIdOf(name), engine: host.engine, proxy: host.proxy },
        ...{ store: openStore({ endpoints }), prefix: '/gantryd', stopOnExit: false },
        emit,
        onRunning: () => running(),
      },
      new AbortController().signal,
    ).catch(failed);
  });
}

/** As if the host had been switched off and on: its records, its containers and its routes are those of the template. */
async function restore(host: Simulated, { records, specs, table }: Template): Promise<void> {
  for (const [name, text] of records) {
    const file = recordFile(host.stateDir, PROJECT, name);
    await file.prepare();
    await writeFile(file.path, text);
  }
  for (const spec of specs) {
    const labels = { ...spec.labels, [LABELS.host]: hostIdOf(host.name) };
    await host.engine.start(await host.engine.create({ ...spec, labels }));
  }
  for (const route of table.routes) await host.proxy.setRoute(PROJECT, route.component, route, table.limits);
}

function engineOf(): RecordingEngine {
  const engine = new RecordingEngine();
  for (const image of IMAGES) engine.addImage(image, imageId(image));
  return engine;
}

function hostIdOf(name: string): string {
  return `id-of-${name}`;
}

/** What of an event is kept when only some are. */
function wordOf(event: AgentEvent): string | undefined {
  if (event.kind === 'rollout-step') return event.step;
  if (event.kind === 'trouble') return `trouble: ${event.message}`;
  if (['container-created', 'container-started', 'switched', 'release-proven'].includes(event.kind))
    return event.kind;
  return undefined;
}

async function usage(): Promise<Usage> {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return { rss, heapUsed, cpuMs: (user + system) / 1000, childrenMs: await childrenMs(), at: monotonicMs() };
}

/** Fields 16 and 17 of /proc/PID/stat, proc(5), in ticks of 10 ms. */
async function childrenMs(): Promise<number> {
  const stat = (await readFile('/proc/self/stat', 'utf8')).replace(/^.*\) /s, '');
  const [user = 0, system = 0] = stat.split(' ').slice(13, 15).map(Number);
  return (user + system) * 10;
}
