/**
 * One question to a container, one function per kind of check. A failed check is a verdict, never an
 * exception. Decides nothing: judge and monitor.ts do.
 */
import net from 'node:net';
import { messageOf } from '../errors.ts';
import type { Check, Target, Verdict } from './check.ts';
import { within } from './deadline.ts';
import { askExec, type Surroundings } from './exec.ts';
import { askHttp } from './http.ts';
import { authority, GIVEN_UP, oneLine, type Seen, trouble } from './saw.ts';

export type { Surroundings } from './exec.ts';

/** Asks once, within the check's timeout. Aborted: an inconclusive verdict at once. */
export async function probe(
  check: Check,
  target: Target,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<Verdict> {
  const at = surroundings.now();
  const began = performance.now();
  const seen = await ask(check, target, surroundings, signal);
  return { check: check.id, at, latencyMs: Math.round(performance.now() - began), ...seen };
}

function ask(check: Check, target: Target, surroundings: Surroundings, signal: AbortSignal): Promise<Seen> {
  switch (check.kind) {
    case 'http':
      return askHttp({ ...webQuestion(check, target), scheme: 'http', port: check.port ?? 80 }, signal);
    case 'https':
      return askHttp({ ...webQuestion(check, target), scheme: 'https', port: check.port ?? 443 }, signal);
    case 'tcp':
      return askTcp(check, target, signal);
    case 'exec':
      return askExec(
        { ...target, command: check.command ?? [], timeoutMs: check.timeoutMs },
        surroundings,
        signal,
      );
    case 'connection':
      return askConnections(check, target, surroundings, signal);
  }
}

function webQuestion(check: Check, target: Target) {
  return {
    method: 'GET' as const,
    host: target.host,
    path: check.path ?? '/',
    verify: check.verify ?? false,
    timeoutMs: check.timeoutMs,
  };
}

/** Passes when a connection is accepted; it is closed at once. */
function askTcp(check: Check, target: Target, signal: AbortSignal): Promise<Seen> {
  const port = check.port ?? 0;
  const place = authority(target.host, port);
  if (signal.aborted) return Promise.resolve(GIVEN_UP);
  return new Promise((resolve) => {
    const began = performance.now();
    const socket = net.connect({ host: target.host, port });
    const end = (seen: Seen) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(seen);
    };
    const fail = (error: unknown) => end({ ok: false, saw: trouble(error, place, place, check.timeoutMs) });
    const onAbort = () => end(GIVEN_UP);
    const timer = setTimeout(() => fail(TIMED_OUT), check.timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', fail);
    socket.once('connect', () => {
      if (isSelfConnected(socket)) return fail(REFUSED);
      const tookMs = Math.round(performance.now() - began);
      end({ ok: true, saw: `${place} accepted a connection in ${tookMs} ms` });
    });
  });
}

const TIMED_OUT = Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' });
const REFUSED = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

/**
 * On loopback the kernel may pick the very port that is asked as our own and then connect the socket to
 * itself (TCP's simultaneous open): nobody listens there.
 */
function isSelfConnected(socket: net.Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

/** Passes when the proxy holds no connection to the container. A proxy that does not tell proves nothing. */
async function askConnections(
  check: Check,
  target: Target,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<Seen> {
  const count = () => surroundings.connections(target.container);
  const outcome = await within(count, check.timeoutMs, signal);
  if (outcome.kind === 'aborted') return GIVEN_UP;
  if (outcome.kind === 'done') return counted(outcome.value);
  const why =
    outcome.kind === 'timeout' ? `no answer within ${check.timeoutMs} ms` : oneLine(messageOf(outcome.error));
  return { ok: false, inconclusive: true, saw: `the proxy did not tell the connections: ${why}` };
}

function counted(connections: number): Seen {
  if (connections === 0) return { ok: true, saw: 'no connection is open' };
  return {
    ok: false,
    saw: connections === 1 ? '1 connection is open' : `${connections} connections are open`,
  };
}
