/**
 * Clients that ask again and again: keep-alive, a connection each, POST bodies, chunked uploads, slow answers.
 * No client retries: what fails has failed. Every answer is checked whole, body and all.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Tally } from './tally.ts';

const REQUEST_TIMEOUT_MS = 60_000;
const UPLOAD_PARTS = 8;
const UPLOAD_PART_BYTES = 16 * 1024;
const UPLOAD_PART_MS = 25;

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** A source of traffic that goes on until `stop`, which waits for what is in flight. */
export interface Source {
  readonly tally: Tally;
  stop(): Promise<void>;
}

/** GET on one connection that is kept. */
export function keepAliveClient(place: Place, paceMs: number): Source {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const source = repeat('keep-alive', paceMs, async () => {
    const answer = await exchange({ place, agent, path: '/version' });
    return sameVersion(answer, answer.body.toString().trim());
  });
  return endingWith(source, () => agent.destroy());
}

/** GET, each on a connection of its own. */
export function newConnectionClient(place: Place, paceMs: number): Source {
  return repeat('new connection', paceMs, async () => {
    const answer = await exchange({ place, path: '/version' });
    return sameVersion(answer, answer.body.toString().trim());
  });
}

/** POST with a known length; the body must come back unchanged. */
export function postClient(place: Place, paceMs: number): Source {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const source = repeat('post', paceMs, async () => {
    const body = randomBytes(4096);
    const headers = { 'content-length': body.length };
    const answer = await exchange({ place, agent, method: 'POST', path: '/echo', headers, parts: [body] });
    if (!answer.body.equals(body))
      throw new Error(`the body came back changed (${answer.body.length} bytes)`);
    return version(answer);
  });
  return endingWith(source, () => agent.destroy());
}

/** A chunked upload that takes its time; length and hash must be right at the other end. */
export function uploadClient(place: Place, paceMs: number): Source {
  return repeat('upload', paceMs, async () => {
    const parts = Array.from({ length: UPLOAD_PARTS }, () => randomBytes(UPLOAD_PART_BYTES));
    const answer = await exchange({ place, method: 'POST', path: '/upload', parts, partMs: UPLOAD_PART_MS });
    const told = JSON.parse(answer.body.toString());
    const sha256 = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
    if (told.sha256 !== sha256) throw new Error(`the upload arrived changed (${told.bytes} bytes)`);
    return sameVersion(answer, told.version);
  });
}

/** An answer that takes `slowMs`. */
export function slowClient(place: Place, paceMs: number, slowMs: number): Source {
  return repeat('slow', paceMs, async () => {
    const answer = await exchange({ place, path: `/slow?ms=${slowMs}` });
    return sameVersion(answer, answer.body.toString().trim());
  });
}

function repeat(name: string, paceMs: number, once: () => Promise<string>): Source {
  const tally = new Tally(name);
  const stopping = new AbortController();
  const going = (async () => {
    while (!stopping.signal.aborted) {
      await attempt(tally, once);
      await delay(paceMs, undefined, { signal: stopping.signal }).catch(() => 'stopped');
    }
  })();
  return {
    tally,
    stop() {
      stopping.abort();
      return going;
    },
  };
}

async function attempt(tally: Tally, once: () => Promise<string>): Promise<void> {
  const since = Date.now();
  tally.sent += 1;
  try {
    tally.answered(await once());
  } catch (error) {
    tally.fail(error, since);
  }
}

function endingWith(source: Source, end: () => void): Source {
  return { tally: source.tally, stop: () => source.stop().finally(end) };
}

interface Exchange {
  readonly place: Place;
  readonly path: string;
  readonly method?: string;
  readonly agent?: Agent;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly parts?: readonly Buffer[];
  /** Pause after each part. */
  readonly partMs?: number;
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function exchange({ place, path, method = 'GET', agent, headers, parts = [], partMs = 0 }: Exchange) {
  return new Promise<Answer>((resolve, reject) => {
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const options = { ...place, path, method, headers: headers ?? {}, agent: agent ?? false, signal };
    const call = request(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', reject);
      answer.once('end', () => {
        const body = Buffer.concat(chunks);
        if (answer.statusCode === 200) resolve({ headers: answer.headers, body });
        else reject(new Error(`answered ${answer.statusCode}: ${body.toString().slice(0, 200).trim()}`));
      });
    });
    call.once('error', reject);
    void send(parts, partMs).catch(reject);

    async function send(all: readonly Buffer[], pauseMs: number): Promise<void> {
      for (const part of all) {
        call.write(part);
        if (pauseMs > 0) await delay(pauseMs);
      }
      call.end();
    }
  });
}

function version(answer: Answer): string {
  const told = answer.headers['x-version'];
  if (typeof told !== 'string') throw new Error('the answer has no x-version header');
  return told;
}

function sameVersion(answer: Answer, told: string): string {
  if (version(answer) !== told) throw new Error(`header says ${version(answer)}, body says ${told}`);
  return told;
}
