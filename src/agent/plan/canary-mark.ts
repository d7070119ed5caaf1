/** What a component's record says of the trial of its desired release, and how that changes. Pure. */
import type { ComponentRecord } from '../record.ts';
import type { CanaryProgress, Release } from './state.ts';

/** A release that gets, or got, a share of the work before it may have all of it. Epoch milliseconds. */
export interface CanaryMark {
  readonly release: number;
  readonly since: number;
  readonly promotedAt?: number;
}

/** Of the desired release, if that is what the record speaks of. */
export function canaryOf(
  { canary }: ComponentRecord,
  release: Release | undefined,
): CanaryProgress | undefined {
  if (canary === undefined || release?.proven !== false || canary.release !== release.number)
    return undefined;
  return { since: canary.since, promoted: canary.promotedAt !== undefined };
}

/** Some of the desired release may serve, which is not to be taken for all of it. */
export function isOnTrial({ canary, release }: ComponentRecord): boolean {
  return canary?.release === release && canary.promotedAt === undefined;
}

/** The desired release was tried out and did well, also if it serves by now. */
export function isTried({ canary, release }: ComponentRecord): boolean {
  return canary?.release === release && canary.promotedAt !== undefined;
}

/** The desired release has a share of the work from now on; the same record when it has had one before. */
export function withCanary(record: ComponentRecord, at: number): ComponentRecord {
  if (record.canary?.release === record.release) return record;
  return { ...record, canary: { release: record.release, since: at } };
}

/** It need not be tried out any more. */
export function withPromoted(record: ComponentRecord, number: number, at: number): ComponentRecord {
  if (record.release !== number) return record;
  const since = record.canary?.release === number ? record.canary.since : at;
  return { ...record, canary: { release: number, since, promotedAt: at } };
}

export function withoutCanary(record: ComponentRecord): ComponentRecord {
  const { canary: _, ...rest } = record;
  return rest;
}
