/**
 * A termination signal: tells a container once that it is about to go. A signal that fails is told like
 * a failed check; nobody's drain hangs on it.
 */
import type { Signal } from '../config/project.ts';
import type { Target, Verdict } from './check.ts';
import { askExec, type Surroundings } from './exec.ts';
import { askHttp } from './http.ts';
import type { Seen } from './saw.ts';

/** http, https: POST with an empty body, ok on 2xx. exec: ok on exit code 0. `check` is the signal's id. */
export async function send(
  signal: Signal,
  target: Target,
  surroundings: Surroundings,
  abort: AbortSignal,
): Promise<Verdict> {
  const at = surroundings.now();
  const began = performance.now();
  const seen = await deliver(signal, target, surroundings, abort);
  return { check: signal.id, at, latencyMs: Math.round(performance.now() - began), ...seen };
}

function deliver(
  signal: Signal,
  target: Target,
  surroundings: Surroundings,
  abort: AbortSignal,
): Promise<Seen> {
  const { kind, timeoutMs } = signal;
  if (kind === 'exec') {
    return askExec({ ...target, command: signal.command ?? [], timeoutMs }, surroundings, abort);
  }
  const question = {
    method: 'POST' as const,
    scheme: kind,
    host: target.host,
    port: signal.port ?? (kind === 'http' ? 80 : 443),
    path: signal.path ?? '/',
    verify: signal.verify ?? false,
    timeoutMs,
  };
  return askHttp(question, abort);
}
