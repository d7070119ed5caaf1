/**
 * What an agent tells as a log: a line of JSON each, as pino writes them, for whoever collects the logs of everything.
 * `--json` has the events themselves instead.
 */
import { isBadNews, renderEvent } from '../../event-words.ts';
import type { AgentEvent } from '../../events.ts';
import type { Log } from '../../log.ts';
import type { Output } from '../output.ts';

export function logOutput(log: Log, host: string): Output {
  /** By component: what is waited for is told once. */
  const toldOf = new Map<string, Set<string>>();
  return {
    event(event) {
      const told = toldOf.get(event.component) ?? new Set();
      toldOf.set(event.component, told);
      if (event.kind === 'rollout-step') told.clear();
      const plain = renderEvent(event, { debug: false, told });
      const words = plain ?? renderEvent(event, { debug: true, told });
      if (words === undefined) return;
      const { at: _, ...fields } = event;
      log[plain === undefined ? 'debug' : levelOf(event)](words, { host, ...fields });
    },
    document: (_, words) => log.info(words, { host }),
    result: (value, words) => log.info(words, { host, ...(value as object) }),
    error: ({ code, message, hint }) => log.error(message, { host, kind: 'error', code, hint }),
    progress() {},
    end() {},
  };
}

function levelOf(event: AgentEvent): 'info' | 'warn' | 'error' {
  if (event.kind === 'trouble') return 'error';
  return isBadNews(event) ? 'warn' : 'info';
}
