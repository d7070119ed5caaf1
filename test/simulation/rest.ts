/** How a component of a host is to be when nothing is left to do. */

import type { DesiredStatus } from '../../src/agent/plan/state.ts';
import { desiredOf } from '../../src/agent/record.ts';
import type { SimHost } from './world.ts';

/** Why it is not yet as it is to be; undefined: it is. */
export function atRest(host: SimHost, component: string, status: DesiredStatus): string | undefined {
  const { record } = host.kept(component);
  const all = host.engine.list(component);
  const routed = host.proxy.route(component)?.backends ?? [];
  if (record.status !== status) return `${component} of ${host.name} is to be ${record.status}`;
  if (status !== 'ready') {
    if (all.length > 0) return `${all.map((c) => c.id)} of ${host.name} are left`;
    return host.proxy.route(component) === undefined ? undefined : `${component} of ${host.name} is routed`;
  }
  const { release } = desiredOf('', component, record);
  if (release?.proven !== true)
    return `release ${record.release} of ${component} of ${host.name} is not proven`;
  const serving = routed.map((b) => host.engine.containers.get(b.id));
  const wrong = serving.find((c) => c === undefined || c.state !== 'running' || c.release !== release.number);
  if (serving.length !== release.component.instances || wrong !== undefined)
    return `${routed.map((b) => b.id)} of ${host.name} are routed, ${release.component.instances} are to serve release ${release.number}`;
  const left = all.filter((c) => !serving.includes(c));
  if (left.length > 0) return `${left.map((c) => `${c.id} (${c.state})`)} of ${host.name} are left`;
  const bound = routed.find((b) => host.engine.at(b.host) !== b.id);
  if (bound !== undefined) return `${bound.id} of ${host.name} is not at ${bound.host}`;
  return undefined;
}
