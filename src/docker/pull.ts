/**
 * A pull: with credentials for the registry, watched for silence instead of a deadline, and ended by
 * the words the registry says within a successful answer.
 */
import { GantryError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { credentialsFor } from './credentials.ts';
import type { PullOptions } from './engine.ts';
import { pullFailure, statusOf, wordsOf } from './failures.ts';
import { linesOf } from './lines.ts';
import { PullLedger } from './progress.ts';
import { type ImageReference, parseReference } from './reference.ts';

export const PULL_SILENCE_MS = 60_000;

/** What the registry is told of who asks; given, no config file is read. */
export interface PullRequest extends PullOptions {
  readonly auth?: Readonly<Record<string, string>>;
}

/** `silenceMs`: how long the engine may say nothing. */
export async function pullImage(
  connection: Connection,
  ref: string,
  options: PullRequest,
  silenceMs = PULL_SILENCE_MS,
): Promise<void> {
  const reference = parseReference(ref);
  if (reference === undefined) {
    throw new GantryError('image-not-found', `This host lacks the image ${ref}, and an id cannot be pulled.`);
  }
  const transfer = new AbortController();
  try {
    await run(connection, ref, reference, options, transfer.signal, silenceMs);
  } catch (error) {
    if (options.signal?.aborted !== true) throw error;
    throw new GantryError('interrupted', `The pull of ${ref} was interrupted.`, { cause: error });
  } finally {
    transfer.abort();
  }
}

async function run(
  connection: Connection,
  ref: string,
  reference: ImageReference,
  options: PullRequest,
  abortSignal: AbortSignal,
  silenceMs: number,
): Promise<void> {
  const call = {
    what: `go on pulling ${ref}`,
    timeoutMs: silenceMs,
    slow: true,
    ...(options.signal === undefined ? {} : { until: options.signal }),
  };
  const authconfig = options.auth ?? (await credentialsFor(reference.registry, options.authFile));
  const request = { fromImage: reference.repository, tag: reference.version, abortSignal };
  const stream = await connection.call({ ...call, name: 'pull' }, (docker) =>
    docker
      .createImage({ ...request, ...(authconfig === undefined ? {} : { authconfig }) })
      .catch((error) => Promise.reject(refusal(error, ref))),
  );
  const lines = linesOf(stream as AsyncIterable<Buffer>);
  const ledger = new PullLedger();
  for (;;) {
    const { done, value } = await connection.call(call, () => lines.next());
    if (done) return;
    ledger.add(value);
    if (ledger.error !== undefined) throw pullFailure(ledger.error, ref);
    options.onProgress?.(ledger.progress());
  }
}

function refusal(error: unknown, ref: string): unknown {
  return statusOf(error) === undefined ? error : pullFailure(wordsOf(error), ref, error);
}
