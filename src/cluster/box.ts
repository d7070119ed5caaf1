/** The store of one box without etcd, in its state directory. */
import { join } from 'node:path';
import { openFileStore } from './file/file-store.ts';
import type { Store } from './store.ts';

/** Of runs, schedules and secrets. */
const FOLDER = 'jobs';

/** Nothing is read or written before it is used; who opens it closes it. */
export function openBoxStore(stateDir: string): Store {
  return openFileStore(join(stateDir, FOLDER));
}
