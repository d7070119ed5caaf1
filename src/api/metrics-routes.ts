/** GET /metrics: the numbers of this process and, where there is one, of the proxy beside it, for Prometheus. */
import { GantryError, isGantryError } from '../errors.ts';
import type { OpenMetrics } from '../metrics/open.ts';
import { proxyText } from '../metrics/proxy-text.ts';
import { ProxyClient } from '../proxy/control/client.ts';
import type { ProxyMetrics } from '../proxy/control/protocol.ts';
import type { Call, Caller, Reply, Route } from './route.ts';

/** Less than a scraper waits, and far more than a proxy needs. */
const PROXY_DEADLINE_MS = 5_000;
const TEXT = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsAround {
  readonly metrics?: OpenMetrics;
  /** Of the proxy whose numbers are told too; absent: there is none. */
  readonly stateDir?: string;
  /** Whose numbers of it; absent: of all projects. */
  readonly project?: string;
}

/** None without `metrics`. */
export function metricsRoutes(around: MetricsAround): readonly Route[] {
  const { metrics } = around;
  if (metrics === undefined) return [];
  const handle = async ({ response, caller }: Call): Promise<Reply | undefined> => {
    refuseStrange(caller, around);
    const parts = await Promise.all([metrics.text(), proxyPart(around)]);
    response.writeHead(200, { 'content-type': metrics.contentType }).end(parts.join('\n'));
    return undefined;
  };
  return [
    {
      ...{ method: 'GET', path: '/metrics', access: 'read', tag: 'server' },
      summary: 'The numbers of the agent and its proxy, in the text format of Prometheus',
      answer: TEXT,
      handle,
    },
  ];
}

/** The path names no project, but the numbers are of one. */
function refuseStrange({ by, projects }: Caller, { project }: MetricsAround): void {
  if (project === undefined || projects.length === 0 || projects.includes(project)) return;
  throw new GantryError('forbidden', `${by} is not for the project ${project}, whose numbers these are`, {
    hint: `It is for: ${projects.join(', ')}.`,
  });
}

async function proxyPart({ stateDir, project }: MetricsAround): Promise<string> {
  return stateDir === undefined ? '' : proxyText(await askProxy(stateDir, project));
}

/** undefined: none runs, it does not answer, or it is too old to count; gantryd_proxy_up says so. */
async function askProxy(stateDir: string, project: string | undefined): Promise<ProxyMetrics | undefined> {
  try {
    return await new ProxyClient({ stateDir, deadlineMs: PROXY_DEADLINE_MS }).metrics(project);
  } catch (error) {
    if (isOfProxy(error)) return undefined;
    throw error;
  }
}

function isOfProxy(error: unknown): error is GantryError {
  return isGantryError(error, 'proxy-unreachable') || isGantryError(error, 'proxy-failed');
}
