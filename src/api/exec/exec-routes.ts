/** Commands in containers for programs: the connection is led on to the agent that has the container. */
import { pipeline } from 'node:stream/promises';
import type { ApiAround } from '../around.ts';
import { HOST_QUERY } from '../logs/log-wire.ts';
import type { Call, Route } from '../route.ts';
import { EXEC_PROTOCOL } from './exec-wire.ts';
import { fleetExec } from './fleet-exec.ts';

const CONTAINER = { type: 'string', pattern: '^[0-9a-f]{1,64}$' } as const;

export function execRoutes(around: ApiAround): readonly Route[] {
  return [
    {
      ...{ method: 'GET', path: '/v1/projects/:project/components/:component/exec', access: 'admin' },
      ...{
        tag: 'components',
        summary: 'Run a command in one of its containers; the connection goes over to it',
      },
      query: {
        ...HOST_QUERY,
        container: { ...CONTAINER, description: 'Beginning of its id; one that serves' },
      },
      ...{ upgrade: EXEC_PROTOCOL, answer: { status: 101 }, handle: (call) => lead(around, call) },
    },
  ];
}

async function lead(around: ApiAround, call: Call): Promise<undefined> {
  const { project = '', component = '' } = call.params;
  const { host, container } = call.query;
  const { by } = call.caller;
  const asked = {
    ...{ project, component, by },
    ...(typeof host === 'string' ? { host } : {}),
    ...(typeof container === 'string' ? { container } : {}),
  };
  const { socket: agent } = await fleetExec(around, asked, call.signal);
  const caller = call.upgrade?.();
  if (caller === undefined) return void agent.destroy();
  // When one end goes the other one is told by that; each says what went wrong itself.
  await Promise.allSettled([pipeline(caller, agent), pipeline(agent, caller)]);
  return undefined;
}
