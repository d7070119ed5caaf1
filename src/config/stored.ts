/**
 * The form in which a project is kept where other hosts read it: the project file as JSON, as it was
 * written, with what it had from its surroundings put in. Defaults are left out: each reader has them. Pure.
 */
import { resolve } from 'node:path';
import type { Surroundings } from './normalise.ts';
import type { RawProject } from './schema.ts';

/** Fit for JSON; holds whatever the schema allows, with the project's name and absolute paths. */
export type StoredProject = Readonly<Record<string, unknown>>;

export function toStored(raw: RawProject, { name, folder }: Surroundings): StoredProject {
  // Where an editor finds the schema means nothing to a host.
  const { $schema: _, project: __, ...rest } = raw;
  const components = raw.components.map((component) =>
    component.registryAuth === undefined
      ? component
      : { ...component, registryAuth: resolve(folder, component.registryAuth) },
  );
  return { project: name, ...rest, components };
}
