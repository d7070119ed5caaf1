/**
 * The engine's event stream for as long as somebody listens: opened again whenever it ends or falls
 * silent while the engine does not answer. Nothing is replayed; who listens looks for itself after `reconnected`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineEvent } from './engine.ts';
import { linesOf } from './lines.ts';

export interface EventSource {
  /** The stream of JSON lines, open; ends when the signal is aborted. */
  open(signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  /** Fails when the engine does not answer. */
  ping(): Promise<unknown>;
  /** Settles when the engine is done with what it tells of a container, or does not say so in time. */
  settled(container: string): Promise<unknown>;
}

export interface WatchTimes {
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  /** After so long without an event the engine must answer a ping, or the stream is opened anew. */
  readonly silenceMs: number;
}

export const WATCH_TIMES: WatchTimes = { firstRetryMs: 200, maxRetryMs: 1_000, silenceMs: 30_000 };

/** Settles when aborted, never fails. Says `reconnected` each time the stream stands, the first time too. */
export async function watchEvents(
  source: EventSource,
  listener: (event: EngineEvent) => void,
  signal: AbortSignal,
  times: WatchTimes = WATCH_TIMES,
): Promise<void> {
  let retryMs = times.firstRetryMs;
  const tell = (event: EngineEvent) => {
    retryMs = times.firstRetryMs;
    if (!signal.aborted) deliver(listener, event);
  };
  while (!signal.aborted) {
    await listen(source, tell, signal, times.silenceMs).catch(() => {
      // Why it ended does not matter: it is opened again, and the listener is told to look.
    });
    await delay(retryMs, undefined, { signal }).catch(() => {});
    retryMs = Math.min(retryMs * 2, times.maxRetryMs);
  }
}

async function listen(
  source: EventSource,
  tell: (event: EngineEvent) => void,
  signal: AbortSignal,
  silenceMs: number,
): Promise<void> {
  const controller = new AbortController();
  const stop = () => controller.abort();
  signal.addEventListener('abort', stop, { once: true });
  const guard = setInterval(() => source.ping().catch(stop), silenceMs);
  try {
    const stream = await source.open(controller.signal);
    tell({ kind: 'reconnected' });
    for await (const line of linesOf(stream)) {
      guard.refresh();
      const event = eventOf(line);
      if (event?.kind === 'die' && event.container !== undefined) await noted(source, event.container);
      if (event !== undefined) tell(event);
    }
  } finally {
    clearInterval(guard);
    signal.removeEventListener('abort', stop);
    controller.abort();
  }
}

/**
 * Docker tells a death before it has noted it: its list says `running` for another tenth of a second, and whoever
 * looks at once sees nothing new. Asked for the container itself, it answers when it has.
 */
async function noted(source: EventSource, container: string): Promise<void> {
  await source.settled(container).catch(() => {
    // Told all the same: it is a hint.
  });
}

/** Away from the stream's own loop, so that a listener's defect is not taken for a broken stream. */
function deliver(listener: (event: EngineEvent) => void, event: EngineEvent): void {
  queueMicrotask(() => listener(event));
}

const KINDS = ['start', 'die', 'oom', 'destroy'] as const;

/** undefined: not a line about something gantryd cares for. */
export function eventOf(line: string): EngineEvent | undefined {
  const { Action, id, Actor } = parse(line);
  if (typeof Action !== 'string') return undefined;
  const kind = Action.startsWith('health_status') ? 'health' : KINDS.find((k) => k === Action);
  if (kind === undefined) return undefined;
  const container = Actor?.ID ?? id;
  return container === undefined ? { kind } : { kind, container };
}

function parse(line: string): { Action?: unknown; id?: string; Actor?: { ID?: string } } {
  try {
    return Object(JSON.parse(line));
  } catch {
    return {};
  }
}
