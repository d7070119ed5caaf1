/** What the keys of secrets hold, as values.ts does for the others. Pure. */
import { count, reader, text } from '../cluster/value-reader.ts';

/** A secret of a project. */
export interface SecretValue {
  readonly format: 1;
  /** For the hosts' key, with `PROJECT/NAME` as its context. */
  readonly sealed: string;
  /** How long the value is. */
  readonly bytes: number;
  /** Who set it, as `user@machine`. */
  readonly by: string;
  /** ISO time. */
  readonly at: string;
}

/** The public half of the hosts' key: written by the first agent, and never changed by gantryd. */
export interface SecretsKeyValue {
  readonly format: 1;
  /** The 32 bytes of an X25519 key as base64url. */
  readonly publicKey: string;
  /** Name of the host whose agent wrote it. */
  readonly by: string;
  /** ISO time. */
  readonly at: string;
}

export const readSecret = reader<SecretValue>({ sealed: text, bytes: count, by: text, at: text });

export const readSecretsKey = reader<SecretsKeyValue>({ publicKey: text, by: text, at: text });
