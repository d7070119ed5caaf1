/** Where the agent of a host answers, as its key in etcd says: what commands and programs ask of hosts goes there. */
import { readPeer } from '../cluster/values.ts';
import { GantryError } from '../errors.ts';
import type { Fleet } from '../fleet/intents/look.ts';
import type { Peer } from './jobs/job-client.ts';

export interface PeerAsked {
  readonly project: string;
  readonly host: string;
  /** What is asked for there, for messages. */
  readonly has: string;
}

/** Looked up anew for each connection: an agent that starts anew has another token. Throws output-gone, retryable. */
export async function peerOf({ store, keys }: Fleet, { project, host, has }: PeerAsked): Promise<Peer> {
  const peer = readPeer(await store.get(keys.project(project).peer(host)));
  if (peer !== undefined) return { ...peer, has };
  throw new GantryError('output-gone', `the agent of ${host} does not answer commands`, {
    hint: 'One that is just starting does soon; one that cannot listen at its --api-address and --api-port says so.',
    retryable: true,
  });
}
