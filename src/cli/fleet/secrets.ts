/** The secrets of a fleet's project as its agent on this host uses them. */
import { keys } from '../../cluster/keys.ts';
import type { Store } from '../../cluster/store.ts';
import type { JobEngine } from '../../docker/job-engine.ts';
import type { HostSecrets } from '../../fleet/secrets-key.ts';
import { defaultKeyFile, keyIfThere, readKeyFile } from '../../secrets/key-file.ts';
import { openSecrets } from '../../secrets/opened.ts';

export interface FleetSecretsInput {
  readonly store: Store;
  readonly prefix: string;
  readonly project: string;
  readonly stateDir: string;
  /** The key file that was named; undefined: the one of the state directory, if there is one. */
  readonly file: string | undefined;
  readonly engine: JobEngine;
}

export function fleetSecrets({
  store,
  prefix,
  project,
  stateDir,
  file,
  engine,
}: FleetSecretsInput): HostSecrets {
  const path = file ?? defaultKeyFile(stateDir);
  const place = { store, keys: keys(prefix).project(project), project };
  return {
    secrets: openSecrets({ ...place, stateDir, key: () => readKeyFile(path) }),
    readFile: (id, inside) => engine.readFile(id, inside),
    key: () => (file === undefined ? keyIfThere(path) : readKeyFile(path)),
  };
}
