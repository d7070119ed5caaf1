/**
 * A fleet's release as this host runs it: the listeners and link addresses are the host's own, all else is as the
 * release says. Links reach their consumers at this host's gateway addresses, whoever serves them; other hosts reach
 * an exporter at this host's address.
 */

import { linkListeners, linkVariables } from '../agent/links.ts';
import type { Release } from '../agent/plan/state.ts';
import { chooseLinkPorts, hostAddress } from '../agent/release.ts';
import type { ReleaseValue } from '../cluster/values.ts';
import type { Engine } from '../docker/engine.ts';

export interface HostReleaseInput {
  readonly value: ReleaseValue;
  readonly engine: Engine;
  /** Where other hosts reach this one; undefined: they do not. */
  readonly address: string | undefined;
  /** Ports on `address` of the links the component defines, as chosen before. */
  readonly linkPorts: Readonly<Record<string, number>>;
  /** Port of a required link on this host. */
  readonly linkPort: (link: string) => number;
}

export interface HostRelease {
  readonly release: Release;
  readonly linkPorts: Readonly<Record<string, number>>;
}

export async function hostRelease(input: HostReleaseInput): Promise<HostRelease> {
  const { value, engine, address } = input;
  const offered = address === undefined ? [] : [address];
  const linkPorts = await chooseLinkPorts(value.spec, input.linkPorts, offered);
  const host = value.requires.length === 0 ? '' : await hostAddress(engine, value.spec.network);
  const variables = value.requires.map(({ name, alias, kind, containerPort }) =>
    linkVariables(alias, { host, port: input.linkPort(name), kind, containerPort }),
  );
  const [digest] = value.image.digests;
  const release: Release = {
    number: value.number,
    image: value.image.name,
    imageId: value.image.id,
    ...(digest === undefined ? {} : { digest }),
    component: value.spec,
    listeners: [...value.spec.ports, ...linkListeners(value.spec, linkPorts, offered)],
    linkEnvironment: Object.assign({}, ...variables),
    at: value.at,
    proven: false,
  };
  return { release, linkPorts };
}
