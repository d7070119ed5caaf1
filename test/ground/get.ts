/**
 * One GET on a connection of its own, and what became of it. Not by `fetch`: that of Node 20 compiles its parser while
 * the first connection of the process is made, does not hear that this one is reset meanwhile, and waits for ever.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { codeOf, messageOf } from '../../src/errors.ts';
import type { Place } from './requests.ts';

/** failed: refused, reset, or cut before the end of the answer. silent: none of all that for so long. */
export type Got =
  | { readonly kind: 'answered'; readonly status: number; readonly text: string }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'silent'; readonly why: string };

export function get({ host, port }: Place, path: string, silentMs: number): Promise<Got> {
  const signal = AbortSignal.timeout(silentMs);
  return new Promise((resolve) => {
    const call = request({ host, port, path, signal, agent: false, headers: { connection: 'close' } });
    const where = whereabouts(call);
    const fail = (error: Error) =>
      resolve(
        signal.aborted
          ? { kind: 'silent', why: `${where()} for ${silentMs} ms` }
          : { kind: 'failed', why: `${codeOf(error)} ${messageOf(error)}` },
      );
    call.once('error', fail);
    call.once('response', (answer) => {
      textOf(answer).then(
        (text) => resolve({ kind: 'answered', status: answer.statusCode ?? 0, text }),
        fail,
      );
    });
    call.end();
  });
}

/** How far a call has come, in words. */
function whereabouts(call: ClientRequest): () => string {
  let where = 'not even connected';
  call.once('socket', (socket) =>
    socket.once('connect', () => {
      where = `connected from port ${socket.localPort}, but not answered`;
    }),
  );
  call.once('response', () => {
    where = 'answered, but not to the end';
  });
  return () => where;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += part;
  return text;
}
