/**
 * The secrets of one component's containers: their files are there before a container is created, belong to its user
 * before it starts, and go with it. What the values are is between the files and the container alone.
 */
import type { Component } from '../config/project.ts';
import type { Engine } from '../docker/engine.ts';
import type { JobEngine } from '../docker/job-engine.ts';
import { GantryError } from '../errors.ts';
import { checkSecretsFolder, mountedSecrets } from '../secrets/mounted.ts';
import type { LastingSecrets } from '../secrets/opened.ts';
import { findOwner, ROOT } from '../secrets/owner.ts';
import type { ContainerId, Release } from './plan/state.ts';

/** What a host needs to give secrets to components. */
export interface SecretPort {
  readonly secrets: LastingSecrets;
  /** Of a container that need not run. */
  readonly readFile: JobEngine['readFile'];
}

/**
 * Before anything is made that needs them: all are set, this host can open them and has where to put them. What is
 * fetched now lasts for as long as the release. secret-unknown, secrets-key, host-unfit, cluster-unreachable.
 */
export async function requireSecrets(
  port: SecretPort | undefined,
  { name, secrets }: Component,
): Promise<void> {
  if (secrets.length === 0) return;
  if (port === undefined) throw nothingOpens(name);
  await checkSecretsFolder();
  await port.secrets.renew(secrets);
}

export interface SecretMounts {
  /**
   * Has `make` create the container of this name with the binds it is given; when it fails nothing is left. Only under
   * the component's lock.
   */
  create(
    name: string,
    component: Component,
    make: (binds: readonly string[]) => Promise<ContainerId>,
  ): Promise<ContainerId>;
  /** Right before its start: the files are there, also when the machine was restarted since, and are its user's. */
  beforeStart(id: ContainerId, name: string, release: Release): Promise<void>;
  /** Of a container that is gone. */
  remove(name: string): Promise<void>;
  /** Whether there are files that may be of no container. */
  mayHaveLeft(): Promise<boolean>;
  /** Removes the files of containers that are gone. Only under the component's lock. */
  sweep(): Promise<void>;
}

export interface SecretMountsInput {
  readonly project: string;
  readonly component: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly engine: Engine;
  readonly port: SecretPort | undefined;
}

export function secretMounts(input: SecretMountsInput): SecretMounts {
  const { project, component: name, hostId: host, stateDir, engine } = input;
  const files = mountedSecrets({ stateDir, scope: `components/${project}/${name}` });

  return {
    async create(container, component, make) {
      if (component.secrets.length === 0) return make([]);
      try {
        return await make(await files.place(container, await valuesFor(component), ROOT));
      } catch (error) {
        await files.remove(container);
        throw error;
      }
    },

    async beforeStart(id, container, { component, imageId }) {
      if (component.secrets.length === 0) return;
      const { readFile } = requirePort(component);
      const user = component.user || (await engine.image(imageId))?.user;
      const owner = await findOwner(user, (path) => readFile(id, path));
      await files.place(container, await valuesFor(component), owner);
    },

    remove: (container) => files.remove(container),

    mayHaveLeft: async () => (await files.containers()).length > 0,

    async sweep() {
      const there = await engine.containers({ project, component: name, host });
      await files.keepOnly(there.map((c) => c.name));
    },
  };

  function valuesFor(component: Component): Promise<ReadonlyMap<string, Buffer>> {
    return requirePort(component).secrets.lasting(component.secrets);
  }

  function requirePort(component: Component): SecretPort {
    if (input.port !== undefined) return input.port;
    throw nothingOpens(component.name);
  }
}

function nothingOpens(component: string): GantryError {
  return new GantryError('internal', `${component} has secrets, and nothing here can open them`);
}
