/** What gantryd says to the clients of three older systems. None of it is part of the API that is below /v1. */
import type { ApiAround } from '../around.ts';
import type { Route } from '../route.ts';
import { cronRoutes } from './cron.ts';
import { serviceRoutes } from './service.ts';
import { workflowRoutes } from './workflow.ts';

export function compatibleRoutes(around: ApiAround): readonly Route[] {
  return [...workflowRoutes(around), ...cronRoutes(around), ...serviceRoutes(around)];
}
