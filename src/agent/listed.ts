/**
 * A component's containers as `list` shows them: from what the engine, the proxy and the record say of each. Pure.
 */
import type { Container } from '../docker/engine.ts';
import type { BackendReport, ProxyStatus } from '../proxy/control/protocol.ts';
import type { ComponentRecord } from './record.ts';

export interface ListedContainer {
  readonly container: Container;
  /** As the config named it when its release was made; its id when that is forgotten. */
  readonly image: string;
  /** `warm`: it served and is kept, unrouted, for the case that its release is wanted again. */
  readonly status: 'running' | 'warm' | 'draining' | 'starting' | 'failed';
  /** undefined: no proxy answers. */
  readonly held: BackendReport | undefined;
}

/** One that is paused still has its place: it goes on when it is told to. */
const ENDED: ReadonlySet<Container['state']> = new Set(['exited', 'dead', 'removing']);

/** The newest first. */
export function listed(
  containers: readonly Container[],
  proxy: ProxyStatus,
  record: ComponentRecord,
): readonly ListedContainer[] {
  return [...containers]
    .sort((a, b) => b.createdAt - a.createdAt || b.release - a.release)
    .map((container) => {
      const held = proxy.backends.find((b) => b.id === container.id);
      const image = record.releases.find((r) => r.number === container.release)?.image ?? container.image;
      return { container, image, held, status: statusOf(container, record, held) };
    });
}

function statusOf(
  c: Container,
  record: ComponentRecord,
  held: BackendReport | undefined,
): ListedContainer['status'] {
  const mark = record.marks[c.id];
  // Also when it is stopped already and only waits for its removal.
  if (mark?.drainSince !== undefined) return 'draining';
  if (ENDED.has(c.state)) return 'failed';
  if (mark?.unroutedAt !== undefined && held?.routed !== true) return 'warm';
  return mark?.servedAt !== undefined || held?.routed === true ? 'running' : 'starting';
}
