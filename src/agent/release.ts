/**
 * Makes a release: freezes image, component, listeners and link variables into one numbered value.
 * Asks the engine for the image and the networks; changes nothing.
 */
import { createServer } from 'node:net';
import type { Component, Project } from '../config/project.ts';
import type { Engine, Image } from '../docker/engine.ts';
import { GantryError } from '../errors.ts';
import type { Listener } from '../proxy/tables/routes.ts';
import { exporterOf, linkListeners, linkVariables } from './links.ts';
import type { Release } from './plan/state.ts';
import { type ComponentRecord, newestNumber, type RecordFile } from './record.ts';

/** Where the link of a component on the host's own network is reached. */
const LOOPBACK = '127.0.0.1';
const HOST_NETWORK = 'host';

export interface ReleaseInput {
  readonly project: Project;
  readonly component: Component;
  readonly image: Image;
  readonly record: ComponentRecord;
  /** Highest release number among the component's containers: the record may have been lost. */
  readonly newestHere: number;
  /** The releases whose containers run. */
  readonly runningHere: ReadonlySet<number>;
  readonly recordOf: (component: string) => RecordFile;
  readonly engine: Engine;
  readonly now: number;
}

export interface MadeRelease {
  readonly release: Release;
  /** Host ports of the component's links, old and new. */
  readonly linkPorts: Readonly<Record<string, number>>;
}

/**
 * link-unavailable when a required link's exporter does not run here; port-taken when the new container could not
 * listen beside the one that runs.
 */
export async function makeRelease(input: ReleaseInput): Promise<MadeRelease> {
  const { component, record } = input;
  refuseSharedPort(input);
  const addresses = component.definesLinks.length === 0 ? [] : await importerAddresses(input);
  const linkPorts = await chooseLinkPorts(component, record.linkPorts, addresses);
  const listeners: readonly Listener[] = [
    ...component.ports,
    ...linkListeners(component, linkPorts, addresses),
  ];
  const release: Release = {
    number: Math.max(newestNumber(record), input.newestHere) + 1,
    image: component.image,
    imageId: input.image.id,
    component,
    listeners,
    linkEnvironment: await linkEnvironment(input),
    at: new Date(input.now).toISOString(),
    proven: false,
  };
  return { release, linkPorts };
}

/** On the host's network the checks of a new container would be answered by the one that has its port. */
function refuseSharedPort({ component, record, runningHere }: ReleaseInput): void {
  if (component.network !== HOST_NETWORK) return;
  const beside = record.releases.filter((r) => runningHere.has(r.number)).map((r) => r.component);
  const taken = new Set(beside.filter((c) => c.network === HOST_NETWORK).flatMap(innerPorts));
  const port = innerPorts(component).find((p) => taken.has(p));
  if (port === undefined) return;
  throw new GantryError(
    'port-taken',
    `On the network "host" a new container of ${component.name} cannot listen on ${port}: the one that runs does`,
    { hint: 'Give the new release another container port, or stop the component first.' },
  );
}

/** Where a component's containers listen, as far as it says so. */
function innerPorts({ ports, definesLinks, readyChecks }: Component): readonly number[] {
  const checked = readyChecks.flatMap((c) => c.port ?? []);
  return [...ports.map((p) => p.containerPort), ...definesLinks.map((l) => l.port), ...checked];
}

/** The host's address on every network that a component of the project is on. */
async function importerAddresses({ project, engine }: ReleaseInput): Promise<readonly string[]> {
  const networks = new Set(project.components.map((c) => c.network));
  const addresses = await Promise.all([...networks].map((n) => hostAddress(engine, n)));
  return [...new Set(addresses)].sort();
}

export async function hostAddress(engine: Engine, network: string | undefined): Promise<string> {
  return (await engine.gateway(network)) ?? LOOPBACK;
}

export async function chooseLinkPorts(
  component: Component,
  known: Readonly<Record<string, number>>,
  addresses: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  const ports: Record<string, number> = { ...known };
  for (const link of component.definesLinks) {
    ports[link.name] ??= await freePort(addresses[0] ?? LOOPBACK);
  }
  return ports;
}

/** A port nothing listens on now; the proxy's own bind decides in the end. */
export function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: address, port: 0, exclusive: true }, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0));
    });
  });
}

async function linkEnvironment(input: ReleaseInput): Promise<Readonly<Record<string, string>>> {
  const { component, engine } = input;
  if (component.requiresLinks.length === 0) return {};
  const host = await hostAddress(engine, component.network);
  const all = await Promise.all(
    component.requiresLinks.map(async ({ name, alias }) =>
      linkVariables(alias, await addressOf(input, name, host)),
    ),
  );
  return Object.assign({}, ...all);
}

async function addressOf(input: ReleaseInput, name: string, host: string) {
  const exporter = exporterOf(input.project, name);
  const link = exporter?.definesLinks.find((l) => l.name === name);
  if (exporter === undefined || link === undefined) {
    throw new GantryError(
      'link-unavailable',
      `No component of project ${input.project.name} defines the link ${name}`,
    );
  }
  const record = await input.recordOf(exporter.name).read();
  const port = record.linkPorts[name];
  const runs =
    record.status === 'ready' && record.releases.some((r) => r.number === record.release && r.proven);
  if (!runs || port === undefined) {
    throw new GantryError(
      'link-unavailable',
      `${input.component.name} needs the link ${name} of ${exporter.name}, which does not run on this host`,
      { hint: `Start ${exporter.name} first.` },
    );
  }
  return { host, port, kind: link.kind, containerPort: link.port };
}
