/** All routes of the API, and the document that describes them. */
import { VERSION } from '../version.ts';
import type { ApiAround } from './around.ts';
import { compatibleRoutes } from './compatible/routes.ts';
import { eventRoutes } from './events/event-routes.ts';
import { execRoutes } from './exec/exec-routes.ts';
import { fleetRoutes } from './fleet/routes.ts';
import { projectJobRoutes } from './jobs/job-routes.ts';
import { fleetLogRoutes } from './logs/component-log-routes.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { openApiDocument } from './openapi.ts';
import type { Route } from './route.ts';
import { tokenRoutes } from './token-routes.ts';

export function apiRoutes(around: ApiAround): readonly Route[] {
  const routes = [
    ...aboutRoutes(around),
    ...metricsRoutes(around),
    ...fleetRoutes(around),
    ...fleetLogRoutes(around),
    ...execRoutes(around),
    ...projectJobRoutes(around),
    ...eventRoutes(around),
    ...tokenRoutes(around),
    ...compatibleRoutes(around),
  ];
  return [...routes, documentRoute(routes)];
}

function aboutRoutes({ host, project }: ApiAround): readonly Route[] {
  const about = { version: VERSION, ...(host === undefined ? {} : { host, project }) };
  const open = { method: 'GET', access: 'open', tag: 'server' } as const;
  return [
    {
      ...{ ...open, path: '/healthz', summary: 'Whether the API answers; says nothing of etcd' },
      answer: { status: 200, schema: { type: 'object', properties: { ok: { const: true } } } },
      handle: async () => ({ status: 200, body: { ok: true } }),
    },
    {
      ...{ ...open, access: 'read', path: '/v1/version', summary: 'The version, and whose agent it is' },
      answer: { status: 200, schema: { type: 'object', required: ['version'] } },
      handle: async () => ({ status: 200, body: about }),
    },
  ];
}

function documentRoute(routes: readonly Route[]): Route {
  const made: { document?: object } = {};
  const route: Route = {
    ...{ method: 'GET', path: '/openapi.json', access: 'open', tag: 'server' },
    summary: 'This document',
    answer: { status: 200, schema: { type: 'object' } },
    handle: async () => {
      made.document ??= openApiDocument([...routes, route], VERSION);
      return { status: 200, body: made.document };
    },
  };
  return route;
}
