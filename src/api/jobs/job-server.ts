/**
 * The routes of an agent for the runs it executes: their logs, as they come; their outputs; and the input that a run
 * waits for. Where the files are is the business of whoever gives them.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GantryError } from '../../errors.ts';
import type { ReadEntry } from '../../jobs/disk/run-log.ts';
import type { Call, Reply, Route } from '../route.ts';
import { BYTES, HEARTBEAT, HEARTBEAT_MS, LOG_QUERY, type LogQuery, logQueryOf, NDJSON } from '../wire.ts';

/** Of run ids, so that no path is made of anything else. */
const RUN = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}$/;

export interface RunFiles {
  /** Ends with the run's log; with `follow` when the run has ended. Throws output-gone where there is none. */
  log(run: string, query: LogQuery, signal: AbortSignal): AsyncIterable<ReadEntry>;
  /** Throws output-gone where there is none (yet). */
  output(run: string): Promise<{ readonly bytes: Readable; readonly size: number }>;
  /** Takes what the run's first step reads. Throws run-unknown where no run waits for it. */
  input(run: string, bytes: Readable, signal: AbortSignal): Promise<void>;
}

/** For the other agents of the fleet, and for commands, which find the token in etcd. */
export function jobRoutes(files: RunFiles): readonly Route[] {
  const of = { access: 'peer', tag: 'peers' } as const;
  return [
    {
      ...{ ...of, method: 'GET', path: '/v1/runs/:run/log', summary: 'The log of a run' },
      ...{ query: LOG_QUERY, answer: NDJSON, handle: (call) => sendLog(files, call) },
    },
    {
      ...{ ...of, method: 'GET', path: '/v1/runs/:run/output', summary: 'The output of a run' },
      ...{ answer: BYTES, handle: (call) => sendOutput(files, call) },
    },
    {
      ...{ ...of, method: 'PUT', path: '/v1/runs/:run/input', summary: 'What its first step reads' },
      ...{ body: 'bytes', answer: { status: 204 }, handle: (call) => takeInput(files, call) },
    },
  ];
}

export function sendLog(files: RunFiles, call: Call): Promise<undefined> {
  return sendLines(call, files.log(runOf(call), logQueryOf(call.query), call.signal));
}

/** One JSON value a line, as they come and as they are read; the last says that it is the end. */
export async function sendLines(
  { response, signal }: Pick<Call, 'response' | 'signal'>,
  lines: AsyncIterable<object>,
): Promise<undefined> {
  const beat = setInterval(() => {
    begin(response);
    if (!response.writableNeedDrain) response.write(HEARTBEAT);
  }, HEARTBEAT_MS);
  try {
    for await (const line of lines) {
      begin(response);
      if (!response.write(lineOf(line))) await drained(response);
      if (signal.aborted) return undefined;
    }
    begin(response);
    if (!signal.aborted) response.end(lineOf({ end: true }));
    return undefined;
  } finally {
    clearInterval(beat);
  }
}

/** Not before there is something to say: until then it may become an error. */
function begin(response: ServerResponse): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': NDJSON });
}

/** Or closed: then whoever writes next finds out. */
async function drained(response: ServerResponse): Promise<void> {
  const either = new AbortController();
  const options = { signal: either.signal };
  try {
    await Promise.race([once(response, 'drain', options), once(response, 'close', options)]);
  } finally {
    either.abort();
  }
}

function lineOf(line: object): string {
  return `${JSON.stringify(line)}\n`;
}

export async function sendOutput(files: RunFiles, call: Call): Promise<undefined> {
  const { bytes, size } = await files.output(runOf(call));
  call.response.writeHead(200, { 'content-type': BYTES, 'content-length': size });
  await pipeline(bytes, call.response, { signal: call.signal });
  return undefined;
}

export async function takeInput(files: RunFiles, call: Call): Promise<Reply> {
  const { request, signal } = call;
  await files.input(runOf(call), request, signal);
  return { status: 204 };
}

function runOf({ params }: Call): string {
  const run = params.run ?? '';
  if (RUN.test(run)) return run;
  throw new GantryError('usage', `${JSON.stringify(run.slice(0, 100))} cannot be the id of a run`);
}
