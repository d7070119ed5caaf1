/**
 * What is sent at the API of an agent by those who mean no good: hostile requests, bodies of 100 MB, requests that drip.
 * Counts what is answered.
 */
import type { Socket } from 'node:net';
import { jobRoutes, type RunFiles } from '../../src/api/jobs/job-server.ts';
import type { LogsHere } from '../../src/api/logs/component-log.ts';
import { componentLogRoutes } from '../../src/api/logs/log-server.ts';
import type { Route } from '../../src/api/route.ts';
import { seeded } from '../agent/world.ts';
import { answerTo, HostileRequests, statusOf, type Target } from '../api/hostile.ts';

const AT_ONCE = 8;
const FLOODS = 4;
const SLOW = 150;
const DRIP_MS = 250;
const FLOOD_BYTES = 100 * 1024 * 1024;
/** A body that is all opening brackets: what reads it as JSON has the most to do. */
const CHUNK = Buffer.alloc(1024 * 1024, '[');
/** Longer than any bound of time of the server. */
const PATIENCE_MS = 70_000;

export interface Tokens {
  /** Of the API: for all, for one project, and for the agents among themselves. */
  readonly admin: string;
  readonly play: string;
  readonly peer: string;
}

export interface FuzzInput {
  readonly seed: number;
  readonly api: Target;
  readonly peers: Target;
  readonly tokens: Tokens;
  /** Of the API. */
  readonly routes: readonly Route[];
}

export class Fuzz {
  /** How often each was answered; 0: no answer. */
  readonly statuses = new Map<number, number>();
  /** Whole requests, and their answers, of which none should be. */
  readonly worst: string[] = [];
  flooded = 0;
  sentBytes = 0;
  dripped = 0;
  readonly #input: FuzzInput;

  constructor(input: FuzzInput) {
    this.#input = input;
  }

  /** Each of these until aborted. */
  async hostile(signal: AbortSignal): Promise<void> {
    const { seed, api, peers, tokens, routes } = this.#input;
    const own = new HostileRequests(seeded(seed), routes, (route) => tokenFor(route, tokens));
    const others = new HostileRequests(seeded(seed + 1), PEER_ROUTES, () => tokens.peer);
    const one = async (_: unknown, at: number) => {
      const [target, requests] = at === 0 ? [peers, others] : [api, own];
      while (!signal.aborted) {
        const bytes = requests.request();
        this.#note(bytes.toString('latin1'), await answerTo(target, (socket) => socket.end(bytes)));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  async floods(signal: AbortSignal): Promise<void> {
    const kinds = [
      ['PUT /v1/projects/play/config', `content-length: ${FLOOD_BYTES}`, CHUNK],
      ['POST /jobs', `content-length: ${FLOOD_BYTES}`, CHUNK],
      ['PUT /v1/projects/play/runs/run-1/input', `content-length: ${FLOOD_BYTES}`, CHUNK],
      ['PUT /v1/projects/play/config', 'transfer-encoding: chunked', chunked(CHUNK)],
    ] as const;
    const one = async ([line, length, part]: (typeof kinds)[number]) => {
      const head = `${line} HTTP/1.1\r\n${this.#common(line)}content-type: application/json\r\n${length}\r\n\r\n`;
      while (!signal.aborted) {
        const answer = await answerTo(
          this.#input.api,
          (socket) => this.#flood(socket, head, part),
          PATIENCE_MS,
        );
        this.flooded++;
        this.#note(head, answer);
      }
    };
    await Promise.all(kinds.slice(0, FLOODS).map(one));
  }

  /** Heads and bodies that come a byte at a time, and bodies that stop in the middle, or whose sender leaves. */
  async slow(signal: AbortSignal): Promise<void> {
    const body = (line: string) =>
      `${line} HTTP/1.1\r\n${this.#common(line)}content-type: application/json\r\ncontent-length: 5000\r\n\r\n{`;
    const starts = [
      'GET /v1/projects HTTP/1.1\r\nhost: x\r\n',
      'G',
      body('PUT /v1/projects/play/config'),
      body('POST /jobs'),
      body('GET /jobs'),
      body('POST /service'),
      body('PUT /v1/projects/play/secrets/a'),
    ];
    const one = async (_: unknown, at: number) => {
      const start = starts[at % starts.length] ?? '';
      while (!signal.aborted) {
        const answer = await answerTo(
          this.#input.api,
          (socket) => drip(socket, start, at, signal),
          PATIENCE_MS,
        );
        this.dripped++;
        this.#note(start, answer);
      }
    };
    await Promise.all(Array.from({ length: SLOW }, one));
  }

  #common(line: string): string {
    const { admin, play } = this.#input.tokens;
    return `host: x\r\nauthorization: Bearer ${line.includes('/v1/') ? play : admin}\r\n`;
  }

  /** All of it, as far as the other end takes it. */
  #flood(socket: Socket, head: string, part: Buffer): void {
    socket.write(head);
    let left = FLOOD_BYTES;
    const more = () => {
      while (left > 0 && !socket.destroyed) {
        left -= CHUNK.length;
        this.sentBytes += CHUNK.length;
        if (!socket.write(part)) return void socket.once('drain', more);
      }
    };
    more();
  }

  #note(request: string, answer: string): void {
    const status = statusOf(answer);
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    if (status === 500) this.worst.push(`${request.slice(0, 2_000)}\n${answer}`);
  }
}

/** Every third leaves after a while, every other third falls silent. */
function drip(socket: Socket, start: string, at: number, signal: AbortSignal): void {
  socket.write(start);
  let times = 0;
  const timer = setInterval(() => {
    times++;
    if (signal.aborted || (at % 3 === 0 && times > 8)) socket.destroy();
    else if (at % 3 !== 1) socket.write('x');
  }, DRIP_MS);
  socket.once('close', () => clearInterval(timer));
}

function chunked(part: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
}

/** What may be changed is of a project that nobody runs; the jobs of older systems are the agent's own, and tokens of all. */
function tokenFor({ path, access }: Route, { admin, play }: Tokens): string {
  const isOfAll = path.startsWith('/v1/tokens') || access === 'read' || !path.startsWith('/v1/');
  return isOfAll ? admin : play;
}

const PEER_ROUTES = [...jobRoutes({} as RunFiles), ...componentLogRoutes({} as LogsHere)];
