/**
 * What an agent does while nothing happens: CPU, calls of the engine and of etcd, with no component, one, and many, each
 * with a health check as its defaults are. By its own metrics, on a real engine. Beside it, HAProxy with nothing to do but
 * the same checks.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { busyboxImage, uniqueTag } from '../../docker/images.ts';
import type { ComponentFile } from '../../e2e/fleet.ts';
import { type ApiStage, asked, deployed, openApiStage, type Say } from '../api/stage.ts';
import { Ends } from '../ends.ts';
import { haproxyShare } from './peer.ts';

export interface IdleOptions {
  /** Components of each agent. */
  readonly counts: readonly number[];
  readonly ms: number;
  readonly say: Say;
}

export interface Idle {
  readonly components: number;
  /** Of one core. */
  readonly cpuShare: number;
  /** Each minute. */
  readonly dockerCalls: number;
  readonly etcdCalls: number;
  readonly checks: number;
  readonly rounds: number;
  /** What HAProxy takes to ask the same, of one core; of an agent without components nothing. */
  readonly peerShare: number | undefined;
}

/** What starts of containers leave to do is not to meet the measurement, nor what V8 compiles while an agent is new. */
const SETTLE_MS = 120_000;
const MINUTE_MS = 60_000;
const CPU = 'gantryd_process_cpu_seconds_total';
const FIRST_PORT = 20_000;
const HTTP_PORT = 8080;
const PATH = '/health';
const CHECK = { kind: 'http', path: PATH, port: HTTP_PORT };
const PEER_MS = 120_000;
/** As small as an HTTP server can be: a hundred of them are not to be what is measured. */
const SERVER = [
  `CMD ["sh","-c","mkdir -p /www && echo ok > /www${PATH} && exec httpd -f -p ${HTTP_PORT} -h /www"]`,
];

export async function measureIdle(
  _: Ends,
  { counts, ms, say }: IdleOptions,
): Promise<{ ms: number; idle: Idle[] }> {
  const idle: Idle[] = [];
  for (const count of counts) {
    const ends = new Ends();
    try {
      idle.push(await idleWith(ends, count, ms, say));
      say(`${count} components: ${((idle.at(-1)?.cpuShare ?? 0) * 100).toFixed(2)} % of a core`);
    } finally {
      await ends.close();
    }
  }
  return { ms, idle };
}

async function idleWith(t: Ends, count: number, ms: number, say: Say): Promise<Idle> {
  const stage = await openApiStage(t);
  const image = uniqueTag();
  await busyboxImage(stage.host.docker, image, { changes: SERVER });
  const all = Array.from({ length: count }, (_, at) => componentOf(image, at));
  if (count > 0) await deployed(stage, all, say);
  await delay(SETTLE_MS);
  const measured = await watched(stage, count, ms);
  if (count === 0) return { ...measured, peerShare: undefined };
  const intervalMs = Math.round((MINUTE_MS * count) / measured.checks);
  return { ...measured, peerShare: await peerShare(stage, intervalMs, Math.min(ms, PEER_MS)) };
}

/** As often as the agent did, which is gone by then; its containers are not. */
async function peerShare({ agent, host }: ApiStage, intervalMs: number, ms: number): Promise<number> {
  agent.signal('SIGTERM');
  await agent.ended;
  return haproxyShare({ host, port: HTTP_PORT, path: PATH, intervalMs, ms });
}

/** A health check with the defaults of all its fields. */
function componentOf(image: string, at: number): ComponentFile {
  const [repo, tag] = image.split(':');
  const ports = [{ external: FIRST_PORT + at, container: HTTP_PORT, kind: 'http' }];
  const checks = { readyChecks: [CHECK], healthChecks: [CHECK], readyTimeout: 240_000 };
  return { name: `c${at + 1}`, repo, tag, ports, ...checks, update: { monitor: 0, keepOld: 0 } };
}

async function watched({ door }: ApiStage, components: number, ms: number): Promise<Omit<Idle, 'peerShare'>> {
  const first = await asked(door, '/metrics');
  const before = await asked(door, '/metrics');
  const askingS = sumIn(before, CPU) - sumIn(first, CPU); // of the one answer that the watched time has in it
  const began = performance.now();
  await delay(ms);
  const after = await asked(door, '/metrics');
  const took = performance.now() - began;
  const rose = (name: string) => sumIn(after, name) - sumIn(before, name);
  const eachMinute = (name: string) => (rose(name) * MINUTE_MS) / took;
  return {
    components,
    cpuShare: ((rose(CPU) - askingS) * 1_000) / took,
    dockerCalls: eachMinute('gantryd_docker_call_duration_seconds_count'),
    etcdCalls: eachMinute('gantryd_etcd_call_duration_seconds_count'),
    checks: eachMinute('gantryd_check_duration_seconds_count'),
    rounds: eachMinute('gantryd_reconcile_duration_seconds_count'),
  };
}

/** Of all series of that name. */
function sumIn(metrics: string, name: string): number {
  const series = metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'));
  return Array.from(series, ([, value]) => Number(value)).reduce((sum, value) => sum + value, 0);
}
