/**
 * How long an agent that runs many components takes to tell how one of them is, asked steadily by clients of another
 * process; and what it does to the agent itself, by its own metrics.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { APP } from '../../e2e/fleet.ts';
import type { Ends } from '../ends.ts';
import { ClientsProcess, type Steady } from './clients-process.ts';
import { API, asked, type Door, deployed, openApiStage, type Say } from './stage.ts';

export interface GetOptions {
  readonly components: number;
  readonly perSecond: number;
  readonly ms: number;
  readonly say: Say;
}

/** Of a stretch of time. */
export interface OfAgent {
  /** As its metrics tell it: 20 ms when nothing is late. */
  readonly lagP99Ms: number;
  /** Of one core. */
  readonly cpuShare: number;
}

/** The first requests open connections, and the agent begins to follow the project: told apart. */
const FIRST_MS = 5_000;
/** What starts of containers leave to do is not to meet them. */
const SETTLE_MS = 10_000;
const FIRST_PORT = 20_000;
const HTTP_PORT = 8080;
const CHECK = { kind: 'http', path: '/health', port: HTTP_PORT };

export async function measureGet(t: Ends, { components, perSecond, ms, say }: GetOptions) {
  const stage = await openApiStage(t);
  const { door } = stage;
  const names = Array.from({ length: components }, (_, i) => `c${i + 1}`);
  await deployed(stage, names.map(componentOf), say);
  await delay(SETTLE_MS);
  const clients = new ClientsProcess(t);
  const paths = names.map((name) => `${API}/components/${name}`);
  const steadily = (forMs: number) => clients.order('steady', { door, paths, perSecond, ms: forMs });
  const { of: before } = await watched(door, () => delay(ms));
  const first: Steady = await steadily(FIRST_MS);
  const { done: then, of: during } = await watched(door, () => steadily(ms));
  return { components, perSecond, first, then, before, during };
}

/** With a port, a ready and a health check, as most have them. */
function componentOf(name: string, at: number) {
  return {
    ...{ name, ...APP, readyTimeout: 240_000, update: { monitor: 0 } },
    ...{ readyChecks: [CHECK], healthChecks: [CHECK] },
    ports: [{ external: FIRST_PORT + at, container: HTTP_PORT, kind: 'http' }],
  };
}

async function watched<T>(door: Door, body: () => Promise<T>): Promise<{ done: T; of: OfAgent }> {
  const cpuBefore = numberIn(await asked(door, '/metrics'), 'gantryd_process_cpu_seconds_total');
  const began = performance.now();
  const done = await body();
  const seconds = (performance.now() - began) / 1_000;
  const after = await asked(door, '/metrics');
  const cpuShare = (numberIn(after, 'gantryd_process_cpu_seconds_total') - cpuBefore) / seconds;
  const lagP99Ms = numberIn(after, 'gantryd_nodejs_eventloop_lag_p99_seconds') * 1_000;
  return { done, of: { lagP99Ms, cpuShare } };
}

function numberIn(metrics: string, name: string): number {
  return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(metrics)?.[1]);
}
