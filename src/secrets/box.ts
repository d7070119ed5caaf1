/**
 * The secrets of one box, which has no etcd and no other hosts: all its projects and jobs share them, in its file
 * store. The key is made when it is first needed.
 */
import { keys } from '../cluster/keys.ts';
import type { Store } from '../cluster/store.ts';
import { defaultKeyFile, ownKey } from './key-file.ts';
import { type LastingSecrets, openSecrets } from './opened.ts';
import type { SecretPlace } from './secret-store.ts';

/** What a box calls the project of its jobs and secrets. */
export const BOX_PROJECT = 'local';

/** `store`: of the box. */
export function boxPlace(store: Store): SecretPlace {
  return { store, keys: keys().project(BOX_PROJECT), project: BOX_PROJECT, isBox: true };
}

export function boxSecrets(stateDir: string, store: Store): LastingSecrets {
  return openSecrets({ ...boxPlace(store), stateDir, key: () => ownKey(defaultKeyFile(stateDir)) });
}
