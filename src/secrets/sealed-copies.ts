/**
 * What this host fetched of a project's secrets, as it was: sealed. So containers are healed while etcd is away, and
 * all those of a release get the same values.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, removeAbandoned, stateWriteError, writeDurably } from '../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../errors.ts';
import { readSecret, type SecretValue } from './secret-values.ts';

export class SealedCopies {
  readonly #folder: string;
  #prepared: Promise<void> | undefined;

  constructor(stateDir: string, project: string) {
    this.#folder = join(stateDir, 'secrets', project);
  }

  /** undefined: there is none, or it is damaged. */
  async read(name: string): Promise<SecretValue | undefined> {
    const path = this.#path(name);
    try {
      return readSecret({ value: await readFile(path, 'utf8') });
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw new GantryError('state-dir', `cannot read ${path}: ${messageOf(error)}`, {
        hint: 'Run gantryd as the owner of the state directory.',
        cause: error,
      });
    }
  }

  async write(name: string, value: SecretValue): Promise<void> {
    if ((await this.read(name))?.sealed === value.sealed) return;
    this.#prepared ??= this.#prepare();
    await this.#prepared;
    await writeDurably(this.#path(name), `${JSON.stringify(value)}\n`);
  }

  async #prepare(): Promise<void> {
    try {
      await makeFolder(this.#folder);
      await removeAbandoned(this.#folder);
    } catch (error) {
      this.#prepared = undefined;
      throw error instanceof GantryError ? error : stateWriteError(this.#folder, error);
    }
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.json`);
  }
}
