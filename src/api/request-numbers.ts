/**
 * What the server of the API counts of its requests. A request goes by the template of its route: no path, name or
 * address is ever a label.
 */
import { type ErrorCode, isGantryError } from '../errors.ts';
import { type Metrics, secondsSince } from '../metrics/metrics.ts';
import { problemOf } from './problem.ts';
import type { Route } from './route.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

type Reason = 'auth' | 'rate' | 'body' | 'head' | 'connections';

const REASONS: Readonly<Partial<Record<ErrorCode, Reason>>> = {
  'no-token': 'auth',
  forbidden: 'auth',
  'too-many': 'rate',
  'too-large': 'body',
  'too-slow': 'body',
  'media-type': 'body',
  'request-invalid': 'body',
};

export class RequestNumbers {
  readonly #metrics: Metrics;
  #inFlight = 0;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    metrics.set('gantryd_api_requests_in_flight', {}, 0);
  }

  begin(method: string): CountedRequest {
    this.#flying(1);
    return new CountedRequest(this.#metrics, METHODS.includes(method) ? method : 'other', () =>
      this.#flying(-1),
    );
  }

  /** Of what has one of the reasons; what failed otherwise is told by its status. */
  refused(error: unknown): void {
    const reason = isGantryError(error) ? REASONS[error.code] : undefined;
    if (reason !== undefined) this.refusedFor(reason);
  }

  refusedFor(reason: Reason): void {
    this.#metrics.add('gantryd_api_refused_total', { reason });
  }

  #flying(more: number): void {
    this.#inFlight += more;
    this.#metrics.set('gantryd_api_requests_in_flight', {}, this.#inFlight);
  }
}

/** One request, from its head on. */
export class CountedRequest {
  /** Known once it was found. */
  route: Route | undefined;
  readonly #metrics: Metrics;
  readonly #method: string;
  readonly #since = performance.now();
  readonly #ended: () => void;

  constructor(metrics: Metrics, method: string, ended: () => void) {
    this.#metrics = metrics;
    this.#method = method;
    this.#ended = ended;
  }

  /** Once. `status`: of the answer that was begun; undefined: `why` it came to none. */
  end(status: number | undefined, why: unknown): void {
    this.#ended();
    const told = status ?? (isGantryError(why) ? problemOf(why).status : undefined);
    const { path = 'none', answer } = this.route ?? {};
    const labels = { route: path, method: this.#method };
    const kind = told === undefined ? 'left' : `${Math.floor(told / 100)}xx`;
    this.#metrics.add('gantryd_api_requests_total', { ...labels, status: kind });
    const isStream = typeof answer === 'string' || (told !== undefined && told < 200);
    if (told === undefined || isStream) return;
    this.#metrics.observe('gantryd_api_request_duration_seconds', labels, secondsSince(this.#since));
  }
}
