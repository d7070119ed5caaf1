/**
 * How the API says that something did not succeed: `application/problem+json` (RFC 9457), with gantryd's own code, hint
 * and retryable, and where there are several problems all of them. Each code has one status, whoever threw it. Pure.
 */
import { STATUS_CODES } from 'node:http';
import { type ErrorCode, type ErrorDetails, GantryError, isGantryError, messageOf } from '../errors.ts';

export const PROBLEM = 'application/problem+json';
/** More are counted, but not listed. */
const MAX_PROBLEMS = 1_000;

/** The status of each code. */
export const STATUS = {
  'config-unreadable': 400,
  'config-invalid': 422,
  'component-unknown': 404,
  usage: 400,
  'state-dir': 503,
  'state-write': 503,
  locked: 503,
  'engine-unreachable': 503,
  'engine-unsupported': 503,
  'engine-timeout': 503,
  'engine-failed': 502,
  'image-not-found': 422,
  'pull-refused': 502,
  'container-gone': 409,
  'name-taken': 409,
  'port-taken': 409,
  'plane-unavailable': 409,
  'proxy-unreachable': 503,
  'proxy-failed': 502,
  'route-conflict': 409,
  'link-unavailable': 422,
  'already-running': 409,
  'release-failed': 409,
  superseded: 409,
  interrupted: 503,
  'cluster-unreachable': 503,
  'cluster-refused': 503,
  'cluster-failed': 502,
  'project-unknown': 404,
  'release-unknown': 404,
  'no-rollout': 409,
  'rollout-paused': 409,
  'wait-over': 504,
  'no-hosts': 409,
  'host-taken': 409,
  'image-differs': 409,
  'host-unfit': 409,
  'install-failed': 500,
  'run-unknown': 404,
  'run-active': 409,
  'schedule-unknown': 404,
  'schedule-busy': 409,
  'secret-unknown': 404,
  'secrets-key': 409,
  'network-unknown': 422,
  'file-missing': 404,
  'output-gone': 404,
  'no-token': 401,
  forbidden: 403,
  'not-found': 404,
  'method-unknown': 405,
  'too-slow': 408,
  'config-changed': 412,
  'too-large': 413,
  'media-type': 415,
  'request-invalid': 422,
  'too-many': 429,
  'token-unknown': 404,
  'token-taken': 409,
  'webhook-failed': 502,
  internal: 500,
} as const satisfies Record<ErrorCode, number>;

/** Something wrong in what was sent: `pointer` leads there (RFC 6901), `?name` to a word of the query. */
export interface Wrong {
  readonly pointer: string;
  readonly message: string;
}

export interface ProblemBody {
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable: boolean;
  /** Of config-invalid and request-invalid. */
  readonly problems?: readonly Wrong[];
}

export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ProblemBody;
}

/** A refusal that says something in headers, too. */
export class Refusal extends GantryError {
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails & { readonly headers: Readonly<Record<string, string>> },
  ) {
    super(code, message, details);
    this.headers = details.headers;
  }
}

/** All that is wrong with a request, at once. */
export function requestInvalid(problems: readonly Wrong[]): GantryError {
  const [first] = problems;
  const place = first?.pointer ? `${first.pointer} ` : 'the body ';
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
  return new GantryError('request-invalid', `${place}${first?.message}${more}`, {
    hint: '/openapi.json describes what each route takes.',
    cause: problems,
  });
}

/** What the answer is to whatever was thrown. */
export function problemOf(error: unknown): Problem {
  const known = isGantryError(error)
    ? error
    : new GantryError('internal', `Unexpected: ${messageOf(error)}`, { cause: error });
  const { code, message, hint, retryable } = known;
  const status = STATUS[code];
  const problems = listed(known);
  return {
    status,
    headers: known instanceof Refusal ? known.headers : {},
    body: {
      ...{ title: STATUS_CODES[status] ?? '', status, detail: message, code, retryable },
      ...(hint === undefined ? {} : { hint }),
      ...(problems.length === 0 ? {} : { problems }),
    },
  };
}

function listed({ code, cause }: GantryError): readonly Wrong[] {
  if (code !== 'config-invalid' && code !== 'request-invalid') return [];
  if (!Array.isArray(cause)) return [];
  const all = (cause as readonly Wrong[]).map(({ pointer, message }) => ({ pointer, message }));
  if (all.length <= MAX_PROBLEMS) return all;
  const rest = { pointer: '', message: `and ${all.length - MAX_PROBLEMS} more` };
  return [...all.slice(0, MAX_PROBLEMS), rest];
}
