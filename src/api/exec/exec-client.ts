/** Asks the agent of a host for a connection to a command in one of its containers. */
import { type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { isGantryError } from '../../errors.ts';
import { away, type Peer, refusal } from '../jobs/job-client.ts';
import { EXEC_PROTOCOL } from './exec-wire.ts';

const ANSWER_MS = 10_000;
/** A connection of which nothing is heard for so long is asked whether the other end is there. */
const PROBE_MS = 15_000;

export interface ExecPlace {
  readonly component: string;
  /** The whole id. */
  readonly container: string;
  /** For the audit. */
  readonly by: string;
}

/** Throws what the agent refuses it with; output-gone, retryable, when it does not answer. */
export function dialExec(peer: Peer, place: ExecPlace, signal: AbortSignal): Promise<Duplex> {
  const { address: host, port, token } = peer;
  const words = new URLSearchParams({ container: place.container, by: place.by });
  const path = `/v1/components/${encodeURIComponent(place.component)}/exec?${words}`;
  return new Promise<Duplex>((resolve, reject) => {
    const fail = (error: unknown) => reject(isGantryError(error) ? error : away(peer, error));
    const made = request({
      ...{ host, port, path, agent: false, signal },
      headers: { authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: EXEC_PROTOCOL },
    });
    const late = () => made.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`));
    const timer = setTimeout(late, ANSWER_MS);
    made.once('close', () => clearTimeout(timer)).once('error', fail);
    made.once('response', (answer) => refusal(peer, answer).then(reject, fail));
    made.once('upgrade', (_: IncomingMessage, socket, behind) => {
      clearTimeout(timer);
      socket.on('error', () => socket.destroy()); // whoever has it sees it close
      if (behind.length > 0) socket.unshift(behind);
      socket.setKeepAlive(true, PROBE_MS);
      resolve(socket.setNoDelay());
    });
    made.end();
  });
}
