/**
 * Secrets as the rest of gantryd uses them: values by name, opened on the host that needs them and nowhere else. Values
 * are never told, logged or part of an error.
 */
import type { RegistryAuth, SecretUse } from '../config/job.ts';

export interface Secrets {
  /** The values of all that are named. secret-unknown names every one that was not set; secrets-key. */
  values(uses: readonly SecretUse[]): Promise<ReadonlyMap<string, Buffer>>;
  /** The auth that came with a job. secrets-key. */
  auth(auth: Extract<RegistryAuth, { sealed: string }>): Promise<Readonly<Record<string, string>>>;
}

/** Where a container finds them. */
export const SECRETS_FOLDER = '/run/secrets';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The files that containers see, kept in memory (tmpfs) and gone with the container. The binds depend on names alone,
 * and the owner is often known only once the container is there, since its image has the accounts: place them for
 * root, create the container with the binds, find its owner (findOwner), and place them again before the start.
 */
export interface SecretFiles {
  /** Writes each value to a file of mode 0400 of this owner. Answers Docker's binds: `FILE:/run/secrets/NAME:ro`. Again for the same container: replaces them. */
  place(container: string, values: ReadonlyMap<string, Buffer>, owner: Owner): Promise<readonly string[]>;
  /** Idempotent. */
  remove(container: string): Promise<void>;
  /** Removes the files of containers that are not named: of those that went while gantryd was away. */
  keepOnly(containers: readonly string[]): Promise<void>;
}
