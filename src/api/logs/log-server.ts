/** The route of an agent for the logs of its own containers, for the other agents and for commands. */
import { GantryError } from '../../errors.ts';
import { sendLines } from '../jobs/job-server.ts';
import type { Call, Route } from '../route.ts';
import { NDJSON } from '../wire.ts';
import { type LogsHere, readComponent } from './component-log.ts';
import { COMPONENT_LOG_QUERY, type ComponentLogQuery, componentLogQueryOf, onWire } from './log-wire.ts';

/** Readers at once: each costs a connection to the engine for each container. */
const MAX_READERS = 16;

export function componentLogRoutes(here: LogsHere): readonly Route[] {
  const readers = { count: 0 };
  return [
    {
      ...{ method: 'GET', path: '/v1/components/:component/log', access: 'peer', tag: 'peers' },
      ...{ summary: 'What its containers on this host print', query: COMPONENT_LOG_QUERY, answer: NDJSON },
      handle: (call) => counted(readers, () => sendComponentLog(here, call)),
    },
  ];
}

function sendComponentLog(here: LogsHere, call: Call): Promise<undefined> {
  const query = componentLogQueryOf(call.query);
  return sendLines(call, wireLines(here, call.params.component ?? '', query, call.signal));
}

async function* wireLines(here: LogsHere, component: string, query: ComponentLogQuery, signal: AbortSignal) {
  for await (const line of readComponent(here, component, query, signal)) yield onWire(line);
}

async function counted<T>(readers: { count: number }, body: () => Promise<T>): Promise<T> {
  if (readers.count >= MAX_READERS)
    throw new GantryError('too-many', `${MAX_READERS} others read logs of this host already`, {
      hint: 'Ask again when one of them has ended.',
      retryable: true,
    });
  readers.count += 1;
  try {
    return await body();
  } finally {
    readers.count -= 1;
  }
}
