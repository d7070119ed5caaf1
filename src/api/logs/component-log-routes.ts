/** What the containers of a component print, on all hosts, for programs: one JSON value a line. */
import type { ApiAround } from '../around.ts';
import { sendLines } from '../jobs/job-server.ts';
import type { Call, Route } from '../route.ts';
import { NDJSON } from '../wire.ts';
import { type FleetLine, fleetLog } from './fleet-log.ts';
import { COMPONENT_LOG_QUERY, componentLogQueryOf, HOST_QUERY } from './log-wire.ts';

export function fleetLogRoutes(around: ApiAround): readonly Route[] {
  return [
    {
      ...{ method: 'GET', path: '/v1/projects/:project/components/:component/logs', access: 'read' },
      ...{ tag: 'components', summary: 'What its containers print, on all hosts that run it' },
      ...{ query: { ...COMPONENT_LOG_QUERY, ...HOST_QUERY }, answer: NDJSON },
      handle: (call) => sendLogs(around, call),
    },
  ];
}

async function sendLogs(around: ApiAround, call: Call): Promise<undefined> {
  const { project = '', component = '' } = call.params;
  const { host } = call.query;
  const hosts = typeof host === 'string' ? [host] : [];
  const query = componentLogQueryOf(call.query);
  return sendLines(call, shown(await fleetLog(around, { project, component, hosts, ...query }, call.signal)));
}

async function* shown(lines: AsyncIterable<FleetLine>): AsyncGenerator<FleetLine, void, undefined> {
  for await (const line of lines) if (!('containers' in line)) yield line;
}
