/**
 * Waits for the end of a container. The engine's own `wait` is prompt, but never settles when the engine goes away in
 * the middle of it: it is asked anew again and again, and only a look at the container tells that it has ended.
 */
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { GantryError } from '../errors.ts';
import { type Connection, postStream } from './connection.ts';
import type { ExitReport } from './engine.ts';
import { inspectContainer, short } from './inspect.ts';
import { exitReport } from './listing.ts';

/** How late an end is noticed at most when the engine's `wait` says nothing. */
const LOOK_MS = 5_000;
const INSPECT_MS = 10_000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 1_000;

/** `report` undefined: the container is gone. */
interface End {
  readonly report: ExitReport | undefined;
}

interface Waiting {
  readonly connection: Connection;
  readonly id: string;
  readonly signal: AbortSignal;
  readonly lookMs: number;
}

/** Tries for ever, until aborted: then it fails with `interrupted`. */
export async function awaitEnd(
  connection: Connection,
  id: string,
  signal: AbortSignal,
  lookMs = LOOK_MS,
): Promise<ExitReport | undefined> {
  const waiting = { connection, id, signal, lookMs };
  for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_RETRY_MS)) {
    const end = await listen(waiting).catch(() => {
      // The engine is away. Its containers may run on, and it may come back.
    });
    if (end !== undefined) return end.report;
    throwIfOver(waiting);
    await delay(pauseMs, undefined, { signal }).catch(() => {});
    throwIfOver(waiting);
  }
}

/** Listens first and looks then: what ends in between is heard. */
async function listen(waiting: Waiting): Promise<End | undefined> {
  const words = await openWait(waiting);
  try {
    const end = await look(waiting);
    if (end !== undefined || words === undefined) return end;
    await heard(waiting, words);
    return await look(waiting);
  } finally {
    words?.destroy();
  }
}

/** The engine answers with headers as soon as it listens. undefined: it does not; a look tells more. */
function openWait({ connection, id, signal, lookMs }: Waiting): Promise<Readable | undefined> {
  const what = `wait for the end of ${short(id)}`;
  const call = { name: 'wait', what, timeoutMs: lookMs, slow: true, until: signal };
  const path = `/containers/${encodeURIComponent(id)}/wait`;
  const opened = connection.open(call, (docker, opening) =>
    // Not `not-running`, which a container that was not started yet is, too.
    postStream(docker, path, { condition: 'next-exit' }, opening),
  );
  return opened.catch(() => undefined);
}

/** Settles when the engine has said something, or nothing for so long. */
async function heard({ connection, id, signal, lookMs }: Waiting, words: Readable): Promise<void> {
  const what = `tell of the end of ${short(id)}`;
  const call = { what, timeoutMs: lookMs, slow: true, until: signal };
  const read = async () => {
    for await (const _word of words);
  };
  await connection.call(call, read).catch(() => {
    // A look follows, whatever it was.
  });
}

async function look({ connection, id, signal }: Waiting): Promise<End | undefined> {
  const info = await inspectContainer(connection, id, { timeoutMs: INSPECT_MS, until: signal });
  if (info === undefined) return { report: undefined };
  const report = exitReport(info);
  return report.exitCode === undefined ? undefined : { report };
}

function throwIfOver({ connection, id, signal }: Waiting): void {
  connection.closing.throwIfAborted();
  if (!signal.aborted) return;
  if (signal.reason instanceof GantryError) throw signal.reason;
  const message = `Waiting for the end of the container ${short(id)} was interrupted.`;
  throw new GantryError('interrupted', message, { cause: signal.reason });
}
