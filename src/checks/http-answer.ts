/** One HTTP question to a container, what came of an answer to it, and what that means in words. Pure. */
import { type Seen, trouble, withExcerpt } from './saw.ts';

export interface HttpQuestion {
  readonly method: 'GET' | 'POST';
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Whether the certificate must be valid for the host. */
  readonly verify: boolean;
  readonly timeoutMs: number;
}

/** As far as it came. */
export interface Answer {
  /** The beginning of the body. */
  readonly chunks: Buffer[];
  status?: number | undefined;
  location?: string | undefined;
}

export const CLOSED = Object.assign(new Error('closed'), { code: 'ECONNRESET' });
export const TIMED_OUT = Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' });

export function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

export function answered(url: string, answer: Answer, tookMs: number): Seen {
  const { status = 0, location } = answer;
  const redirect =
    isRedirect(status) && location !== undefined ? ` (a redirect${withExcerpt(location)}, not followed)` : '';
  const body = withExcerpt(bodyOf(answer));
  return {
    ok: status >= 200 && status < 300,
    status,
    saw: `${url} answered ${status} in ${Math.round(tookMs)} ms${redirect}${body}`,
  };
}

function bodyOf({ chunks }: Answer): Buffer {
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

export function failed(url: string, place: string, answer: Answer, timeoutMs: number, error: unknown): Seen {
  if (answer.status === undefined) return { ok: false, saw: trouble(error, url, place, timeoutMs) };
  const body = withExcerpt(bodyOf(answer));
  return {
    ok: false,
    status: answer.status,
    saw: `${url} answered ${answer.status}, but its body did not end within ${timeoutMs} ms or broke off${body}`,
  };
}

/** What a way of asking hears, as it comes. */
export interface Hearer {
  /** The head has come. `location`: of a redirect. */
  head(status: number, location?: string): void;
  /** Copies of it may be kept, it may not. */
  body(part: Buffer): void;
  /** The answer is whole. */
  told(): void;
  /** After the end it is heard by nobody. */
  fail(error: unknown): void;
}

/** What is asked of whom, as HTTP says it. */
export interface Request extends Pick<HttpQuestion, 'method' | 'host' | 'port' | 'verify'> {
  readonly path: string;
  /** The field of that name. */
  readonly hostField: string;
}

/** Asks on a connection of its own. Answers how to break off. */
export type Way = (request: Request, hearer: Hearer) => () => void;
