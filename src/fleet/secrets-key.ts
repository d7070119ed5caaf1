/**
 * The public half of the hosts' key in etcd: the first agent that holds a key writes it, so that whoever sets a secret
 * has something to seal it for. An agent that holds another one than is there says so, and changes nothing.
 */
import type { KeyObject } from 'node:crypto';
import type { SecretPort } from '../agent/secret-mounts.ts';
import { GantryError, messageOf } from '../errors.ts';
import { pause } from '../poke.ts';
import { publicKeyOf } from '../secrets/key-file.ts';
import { publishKey, type SecretPlace } from '../secrets/secret-store.ts';

/** It may be lost with an etcd that is restored, and a key file may come later. */
const AGAIN_MS = 300_000;
const TROUBLE_MS = 5_000;

export interface HostSecrets extends SecretPort {
  /** Read anew at each use; undefined: this host has none. secrets-key. */
  readonly key: () => Promise<KeyObject | undefined>;
}

export interface PublishingInput {
  readonly place: SecretPlace;
  readonly host: string;
  readonly key: HostSecrets['key'];
  readonly now: () => number;
  /** Called once for each trouble. */
  readonly onTrouble: (error: unknown) => void;
}

/** Until aborted. */
export async function keepPublished(input: PublishingInput, signal: AbortSignal): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    let restMs = AGAIN_MS;
    try {
      await publish(input);
      told = '';
    } catch (error) {
      if (error instanceof GantryError && error.retryable) restMs = TROUBLE_MS;
      else if (messageOf(error) !== told) input.onTrouble(error);
      told = messageOf(error);
    }
    await pause(restMs, signal);
  }
}

async function publish({ place, host, key, now }: PublishingInput): Promise<void> {
  const own = await key();
  if (own === undefined) return;
  const publicKey = publicKeyOf(own);
  const published = await publishKey(place, publicKey, host, now());
  if (published === publicKey) return;
  throw new GantryError(
    'secrets-key',
    `The key of this host is not the one that secrets of ${place.project} are sealed for`,
    {
      hint: `Here it is ${publicKey}, in etcd ${published}. Copy the key file of the other hosts to this one. Did somebody replace the one in etcd?`,
    },
  );
}
