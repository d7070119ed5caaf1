/**
 * What one source of traffic saw: sent, answered, failed, and which version answered when.
 */
const KEPT_ERRORS = 5;

export interface VersionSeen {
  readonly count: number;
  /** Epoch milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
}

export class Tally {
  readonly name: string;
  sent = 0;
  ok = 0;
  failed = 0;
  /** The first few; each says when. */
  readonly errors: string[] = [];
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

  fail(error: unknown): void {
    this.failed += 1;
    if (this.errors.length < KEPT_ERRORS)
      this.errors.push(`${this.name} at ${new Date().toISOString()}: ${String(error)}`);
  }
}
