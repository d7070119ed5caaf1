/**
 * What one source of traffic saw: sent, answered, failed, and which version answered when.
 */
const KEPT_ERRORS = 5;
const KEPT_FAILURES = 10_000;

export interface VersionSeen {
  readonly count: number;
  /** Epoch milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
}

/** Times are epoch milliseconds: from when the request was sent, or the connection was made, to its failure. */
export interface Failure {
  readonly since: number;
  readonly at: number;
  readonly why: string;
  /** The container that had answered, when something had; as the application knows itself. */
  readonly container?: string;
}

export class Tally {
  readonly name: string;
  sent = 0;
  ok = 0;
  failed = 0;
  /** The first few; each says when. */
  readonly errors: string[] = [];
  readonly failures: Failure[] = [];
  readonly versions = new Map<string, VersionSeen>();

  constructor(name: string) {
    this.name = name;
  }

  answered(version: string): void {
    this.ok += 1;
    const at = Date.now();
    const seen = this.versions.get(version) ?? { count: 0, firstAt: at, lastAt: at };
    this.versions.set(version, { ...seen, count: seen.count + 1, lastAt: at });
  }

  fail(error: unknown, since = Date.now(), container?: string): void {
    this.failed += 1;
    const of = container === undefined ? {} : { container };
    if (this.failures.length < KEPT_FAILURES)
      this.failures.push({ since, at: Date.now(), why: String(error), ...of });
    if (this.errors.length < KEPT_ERRORS)
      this.errors.push(`${this.name} at ${new Date().toISOString()}: ${String(error)}`);
  }
}
