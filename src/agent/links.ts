/**
 * Component links: what an exporter listens on and what an importer is told. The address is the
 * proxy's, so an importer survives every update of the exporter. Pure.
 */
import type { Component, Project } from '../config/project.ts';
import type { Listener } from '../proxy/tables/routes.ts';

export interface LinkAddress {
  readonly host: string;
  readonly port: number;
  readonly kind: 'http' | 'tcp';
  /** Port of the exporter's container; part of the variables' names. */
  readonly containerPort: number;
}

/** Who defines a link; undefined: nobody (the config rules refuse that). */
export function exporterOf(project: Project, link: string): Component | undefined {
  return project.components.find((c) => c.definesLinks.some((l) => l.name === link));
}

/** The listeners of a component's own links: one for each address that an importer may come from. */
export function linkListeners(
  component: Component,
  ports: Readonly<Record<string, number>>,
  addresses: readonly string[],
): readonly Listener[] {
  return component.definesLinks.flatMap((link) => {
    const port = ports[link.name];
    if (port === undefined) return [];
    return addresses.map((address) => ({ address, port, kind: link.kind, containerPort: link.port }));
  });
}

/** The variables of one required link; the names are those of the first gantryd. */
export function linkVariables(alias: string, link: LinkAddress): Readonly<Record<string, string>> {
  const base = `${alias.toUpperCase()}_CLINK`;
  const long = `${base}_${link.containerPort}_${link.kind.toUpperCase()}`;
  const url = linkUrl(link);
  return {
    [base]: url,
    [long]: url,
    [`${long}_PROTO`]: link.kind,
    [`${long}_ADDR`]: link.host,
    [`${long}_PORT`]: String(link.port),
  };
}

export function linkUrl({ kind, host, port }: Pick<LinkAddress, 'kind' | 'host' | 'port'>): string {
  return `${kind}://${host}:${port}`;
}
