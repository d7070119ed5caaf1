/**
 * What an agent tells goes to whoever it tells now, to what is kept for later, and to whom the project's `notify`
 * names. What those two have to say themselves is told, too.
 */
import type { Keys } from '../../cluster/keys.ts';
import type { Store } from '../../cluster/store.ts';
import type { ErrorCode } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import type { HostSecrets } from '../secrets-key.ts';
import { EventLog } from './event-log.ts';
import { Notifier } from './notifier.ts';

export interface TellingInput {
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  readonly host: string;
  readonly secrets: HostSecrets['secrets'];
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly emit: (event: AgentEvent) => void;
}

export interface Telling {
  /** Never throws, never waits. */
  readonly emit: (event: AgentEvent) => void;
  /** Gives what waits a few seconds. */
  close(): Promise<void>;
}

export function telling(input: TellingInput): Telling {
  const { store, project, host, now, secrets } = input;
  const keys = input.keys.project(project);
  const trouble = (code: ErrorCode, message: string) =>
    emit({ kind: 'trouble', code, message, component: '', at: now() });
  const log = new EventLog({ store, keys, host, now, onTrouble: trouble });
  const notifier = new Notifier({
    ...{ store, keys, project, host, now },
    secret: async (name) => (await secrets.values([{ name }])).get(name) ?? Buffer.alloc(0),
    onLost: (message) => trouble('webhook-failed', message),
  });
  function emit(event: AgentEvent): void {
    input.emit(event);
    log.add(event);
    notifier.add(event);
  }
  return {
    emit,
    async close() {
      await notifier.close();
      await log.close();
    },
  };
}
