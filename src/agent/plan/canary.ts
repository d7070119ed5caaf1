/**
 * Trying a release out: how large its canary is, what share of the work it gets, and what the proxy's counts of it
 * and of the release before say. Pure; what follows from it is the plan's business (trying.ts).
 */
import type { CanaryTerms } from '../../config/project.ts';
import { mergedAnswers } from '../../proxy/backends/answers.ts';
import { percentileMs } from '../../proxy/backends/latency.ts';
import type { AnswerCounts, BackendReport } from '../../proxy/control/protocol.ts';
import type { CanarySplit } from '../../proxy/tables/routes.ts';
import { count } from './action.ts';
import { isLeaving } from './standing.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';

/** Of the canary, before its rate of errors says anything. */
const MIN_REQUESTS = 20;
/** Of either release, before its 99th percentile says anything. */
const MIN_ANSWERS = 100;
/** A difference that is smaller is noise, whatever its ratio. */
const MIN_DIFFERENCE_MS = 5;
const MOST = 0.99;

/** What the proxy counted since the canary began. */
export interface CanaryAnswers {
  readonly canary: AnswerCounts;
  /** Of whatever else serves beside it. */
  readonly others: AnswerCounts;
}

export type CanaryVerdict =
  /** Epoch milliseconds. */
  | { readonly kind: 'watching'; readonly until: number }
  | { readonly kind: 'promoted'; readonly why: string }
  | { readonly kind: 'bad'; readonly why: string };

/** The containers of a release that is tried out: as asked, else the share of all of them, rounded up. */
export function canarySize({ instances, percent = 0 }: CanaryTerms, all: number): number {
  return Math.min(all, Math.max(1, instances ?? Math.ceil((percent / 100) * all)));
}

/** The share of the new work: as asked, else what the canary is of all that serve. 1 to 99. */
export function canaryPercent({ percent }: CanaryTerms, canary: number, others: number): number {
  const share = percent ?? Math.round((100 * canary) / Math.max(1, canary + others));
  return Math.min(99, Math.max(1, share));
}

/** How the work is split while some of those that serve are of a release that is not proven; undefined: it is not. */
export function splitOf(
  { release }: Desired,
  serving: readonly ObservedContainer[],
): CanarySplit | undefined {
  const terms = release?.component.update.canary;
  if (release === undefined || release.proven || terms === undefined) return undefined;
  const canary = serving.filter((c) => c.release === release.number);
  const others = serving.length - canary.length;
  if (canary.length === 0 || others === 0) return undefined;
  return {
    id: canaryId(release),
    backends: canary.map((c) => c.id),
    percent: canaryPercent(terms, canary.length, others),
  };
}

/** Those that may serve: what was tried out of a release that is not wanted any more may not, if anything else can. */
export function withoutGivenUp(
  { release }: Desired,
  { containers, split }: Observed,
): readonly ObservedContainer[] {
  const isWanted = release?.proven === false && split?.id === canaryId(release);
  if (split === undefined || isWanted) return containers;
  const others = containers.filter((c) => !split.backends.includes(c.id));
  const able = others.some((c) => c.state === 'running' && c.served && !isLeaving(c));
  return able ? others : containers;
}

export function canaryId({ number }: Pick<Release, 'number'>): string {
  return `release ${number}`;
}

export function sameSplit(a: CanarySplit | undefined, b: CanarySplit | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const backends = new Set(b.backends);
  const same = a.backends.length === backends.size && a.backends.every((id) => backends.has(id));
  return same && a.id === b.id && a.percent === b.percent;
}

/** The proxy's counts of the backends that one component has, as that split divides them. */
export function answersOf(
  reports: readonly BackendReport[],
  component: string,
  split: CanarySplit,
): CanaryAnswers {
  const counted = reports.filter((r) => r.component === component && r.answers !== undefined);
  const summed = (isCanary: boolean) =>
    mergedAnswers(
      counted.filter((r) => split.backends.includes(r.id) === isCanary).flatMap((r) => r.answers ?? []),
    );
  return { canary: summed(true), others: summed(false) };
}

/**
 * What the counts say by now. Errors count from 20 requests of the canary on, latency from 100 answers of both on;
 * until then nothing is held against it, and at the end of the time it is promoted. `before`: the release beside it.
 */
export function judge(
  terms: CanaryTerms,
  before: number,
  answers: CanaryAnswers | undefined,
  { since, now }: { readonly since: number; readonly now: number },
): CanaryVerdict {
  const seen = answers ?? NOTHING;
  const fails = failing(terms, before, seen) ?? slow(terms, before, seen);
  if (fails !== undefined) return { kind: 'bad', why: fails };
  const until = since + terms.durationMs;
  return now < until ? { kind: 'watching', until } : { kind: 'promoted', why: wellWords(before, seen) };
}

const NOTHING: CanaryAnswers = {
  canary: { requests: 0, errors: 0, latency: [] },
  others: { requests: 0, errors: 0, latency: [] },
};

function failing(
  { maxErrorRate }: CanaryTerms,
  before: number,
  { canary, others }: CanaryAnswers,
): string | undefined {
  if (canary.requests < MIN_REQUESTS) return undefined;
  const rate = rateOf(canary);
  if (rate <= maxErrorRate || rate <= rateOf(others)) return undefined;
  return `${failedWords(canary)} (${percentWords(rate)}), ${beforeWords(before, others)}`;
}

function slow(
  { maxLatencyRatio }: CanaryTerms,
  before: number,
  { canary, others }: CanaryAnswers,
): string | undefined {
  if (maxLatencyRatio === undefined) return undefined;
  if (answered(canary) < MIN_ANSWERS || answered(others) < MIN_ANSWERS) return undefined;
  const [ours, theirs] = [percentileMs(canary.latency, MOST), percentileMs(others.latency, MOST)];
  if (ours === undefined || theirs === undefined) return undefined;
  if (ours - theirs < MIN_DIFFERENCE_MS || ours / theirs <= maxLatencyRatio) return undefined;
  const most = `99 % of ${answered(canary)} requests were answered within ${msWords(ours)}`;
  return `${most}, release ${before}: within ${msWords(theirs)}`;
}

function wellWords(before: number, { canary, others }: CanaryAnswers): string {
  if (canary.requests === 0) return 'no http request came to it: nothing speaks against it';
  const few = canary.requests < MIN_REQUESTS ? ', which is little to go by' : '';
  return `${failedWords(canary)}${few}; ${beforeWords(before, others)}`;
}

function answered({ latency }: AnswerCounts): number {
  return latency.reduce((sum, n) => sum + n, 0);
}

function rateOf({ requests, errors }: AnswerCounts): number {
  return requests === 0 ? 0 : errors / requests;
}

/** `12 of 80 requests failed`. */
function failedWords({ requests, errors }: AnswerCounts): string {
  return `${errors} of ${count(requests, 'request')} failed`;
}

/** `release 3: 0 of 700`. */
function beforeWords(before: number, { requests, errors }: AnswerCounts): string {
  return `release ${before}: ${errors} of ${requests}`;
}

function percentWords(rate: number): string {
  return `${Number((100 * rate).toPrecision(2))} %`;
}

function msWords(ms: number): string {
  return `${Number(ms.toPrecision(2))} ms`;
}
