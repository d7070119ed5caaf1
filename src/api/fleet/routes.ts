/** What the command line asks of a fleet, over HTTP: the same functions, so that neither can do what the other cannot. */
import type { ApiAround } from '../around.ts';
import type { Route } from '../route.ts';
import { followedStore } from './followed-store.ts';
import { changeRoutes } from './routes-changes.ts';
import { componentRoutes } from './routes-components.ts';
import { projectRoutes } from './routes-projects.ts';
import { scaleRoutes } from './routes-scale.ts';

export function fleetRoutes(around: ApiAround): readonly Route[] {
  const { store, reading } = followedStore(around.store, around.keys);
  const writing = { ...around, store };
  const readingOf = (project: string) => ({ ...around, store: reading(project) });
  return [
    ...projectRoutes(writing),
    ...componentRoutes(readingOf),
    ...changeRoutes(writing),
    ...scaleRoutes(writing),
  ];
}
