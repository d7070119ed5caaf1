/** Other numbers of the same, over the API: no release is made. Answered at once, or with `wait` when so many serve. */

import { waitFailure } from '../../fleet/reports/wait-failure.ts';
import { type Scaled, type ScaleTo, scale } from '../../fleet/scale/scale.ts';
import { untilScaled } from '../../fleet/scale/scale-wait.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Reply, Route, Schema } from '../route.ts';
import { WAIT, waitMsOf } from '../wait.ts';
import { ScaleMany, ScaleOne, Scales } from './schemas.ts';

type Changes = Readonly<Record<string, ScaleTo>>;

export function scaleRoutes(around: ApiAround): readonly Route[] {
  const project = '/v1/projects/:project';
  const route = (path: string, schema: Schema, changesIn: (call: Call) => Changes): Route => ({
    ...{ method: 'POST', path, access: 'deploy', tag: 'changes', query: WAIT, body: { schema } },
    summary: 'Run more or fewer of the same: on each host, or in all',
    answer: { status: 202, schema: Scales },
    handle: (call) => scaleThem(around, call, changesIn(call)),
  });
  return [
    route(`${project}/scale`, ScaleMany, ({ body }) => (body as { readonly changes: Changes }).changes),
    route(`${project}/components/:component/scale`, ScaleOne, ({ params, body }) => ({
      [params.component ?? '']: (body as { readonly instances: ScaleTo }).instances,
    })),
  ];
}

async function scaleThem(around: ApiAround, call: Call, changes: Changes): Promise<Reply> {
  const { params, query, caller, signal } = call;
  const { project = '' } = params;
  const waitMs = waitMsOf(query.wait);
  const components = await scale(around, { project, changes, by: caller.by });
  if (waitMs === undefined) return { status: 202, body: { project, components } };
  const endings = await endingsOf(around, project, components, waitMs, signal);
  return { status: 200, body: { project, components, endings } };
}

async function endingsOf(
  around: ApiAround,
  project: string,
  targets: readonly Scaled[],
  waitMs: number,
  signal: AbortSignal,
) {
  const endings = await untilScaled(around, { project, targets, waitMs }, signal);
  const failure = waitFailure(endings, project);
  if (failure !== undefined) throw failure;
  return endings.map(({ component, outcome, why }) => ({ component, outcome, why }));
}
