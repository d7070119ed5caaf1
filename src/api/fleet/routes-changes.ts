/**
 * What changes what runs: update, rollback, stop, kill, and a rollout paused or resumed. Answered as soon as it is
 * asked for, or with `wait` when it is over.
 */
import { rollback, setStatus, update } from '../../fleet/intents/intents.ts';
import { pauseRollout, resumeRollout } from '../../fleet/intents/steer.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Route, Schema } from '../route.ts';
import { WAIT, waitMsOf } from '../wait.ts';
import { resolving } from './image-here.ts';
import { Changes, Many, Nothing, RollbackOne, Steered, UpdateMany, UpdateOne } from './schemas.ts';
import { type Asked, answerOf } from './waiting.ts';

type Change = (around: ApiAround, call: Call) => Promise<Asked>;

/** What a body of any of them may say. */
interface Body {
  readonly components?: readonly string[];
  readonly note?: string;
  readonly pull?: boolean;
  readonly to?: number;
}

export function changeRoutes(around: ApiAround): readonly Route[] {
  const project = '/v1/projects/:project';
  const one = `${project}/components/:component`;
  const route = (path: string, summary: string, schema: Schema, change: Change): Route => ({
    ...{ method: 'POST', path, access: 'deploy', tag: 'changes', summary, query: WAIT, body: { schema } },
    answer: { status: 202, schema: Changes },
    handle: async (call) => {
      // Before anything is done: it may be no time at all.
      const waitMs = waitMsOf(call.query.wait);
      return answerOf(around, call, await change(around, call), waitMs);
    },
  });
  return [
    route(`${project}/update`, 'Make releases and roll them out', UpdateMany, updateThem),
    route(`${project}/rollback`, 'Go back to the releases before', Many, rollThemBack),
    route(`${project}/stop`, 'Drain and stop on all hosts', Many, to('stopped')),
    route(`${project}/kill`, 'Kill on all hosts, connections and all', Many, to('killed')),
    route(`${one}/update`, 'Make a release and roll it out, host by host', UpdateOne, updateThem),
    route(`${one}/rollback`, 'Go back to an earlier release, everywhere at once', RollbackOne, rollThemBack),
    route(`${one}/stop`, 'Drain and stop it on all hosts', Nothing, to('stopped')),
    route(`${one}/kill`, 'Kill it on all hosts, connections and all', Nothing, to('killed')),
    steering(around, `${one}/rollout/pause`, 'No new host begins; who is in his turn ends it', pauseRollout),
    steering(around, `${one}/rollout/resume`, 'One attempt more, also on hosts that failed', resumeRollout),
  ];
}

async function updateThem(around: ApiAround, call: Call): Promise<Asked> {
  const { note, pull = false } = call.body as Body;
  const { changes, warnings } = await update(around, {
    ...asked(call),
    ...(note === undefined ? {} : { note }),
    resolve: resolving(around, { project: call.params.project ?? '', pull, signal: call.signal }),
  });
  return { changes, warnings, status: 'ready' };
}

async function rollThemBack(around: ApiAround, call: Call): Promise<Asked> {
  const { to: release } = call.body as Body;
  const changes = await rollback(around, {
    ...asked(call),
    ...(release === undefined ? {} : { to: release }),
  });
  return { changes, status: 'ready' };
}

function to(status: 'stopped' | 'killed'): Change {
  return async (around, call) => {
    const changes = await setStatus(around, { ...asked(call), status });
    return { changes, status };
  };
}

function asked({ params, body, caller }: Call) {
  const { project = '', component } = params;
  const { components = [] } = body as Body;
  return { project, components: component === undefined ? components : [component], by: caller.by };
}

function steering(
  around: ApiAround,
  path: string,
  summary: string,
  steer: typeof pauseRollout | typeof resumeRollout,
): Route {
  return {
    ...{ method: 'POST', path, access: 'deploy', tag: 'changes', summary, body: { schema: Nothing } },
    answer: { status: 200, schema: Steered },
    handle: async ({ params, caller }) => {
      const { project = '', component = '' } = params;
      const steered = await steer(around, { project, component, by: caller.by });
      return { status: 200, body: { project, ...steered } };
    },
  };
}
