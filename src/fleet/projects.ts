/** Which projects there are. Reads a key of each, however much they hold. */
import { startingWith } from '../cluster/store.ts';
import type { Fleet } from './intents/look.ts';

/** By name; those of which etcd holds anything at all. */
export async function projectNames({ store, keys }: Fleet): Promise<readonly string[]> {
  const all = keys.projects();
  const names: string[] = [];
  for (let from = all.from; ; ) {
    const [entry] = (await store.list({ from, to: all.to }, 1)).entries;
    if (entry === undefined) return names;
    const [name = ''] = entry.key.slice(all.from.length).split('/');
    if (name !== '') names.push(name);
    from = startingWith(`${all.from}${name}/`).to;
  }
}
