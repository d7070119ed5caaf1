/** Jobs over HTTP: the runs, schedules and secrets of a project. */
import type { ApiAround } from '../around.ts';
import type { Route } from '../route.ts';
import { secretRoutes } from '../secret-routes.ts';
import { runRoutes } from './run-routes.ts';
import { scheduleRoutes } from './schedule-routes.ts';

export function projectJobRoutes(around: ApiAround): readonly Route[] {
  return [...runRoutes(around), ...scheduleRoutes(around), ...secretRoutes(around)];
}
