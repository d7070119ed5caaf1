/** Prometheus' text format, read strictly: whatever a scraper might take amiss is an error. */
import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;
const SUFFIXES = ['_bucket', '_sum', '_count'];

/** By name. Throws for anything that is not as it has to be. */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: readonly [string, string] | undefined;
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    const [, helped, words = ''] = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line) ?? [];
    const [, typed, type = ''] = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line) ?? [];
    if (line === '') continue;
    if (helped !== undefined) {
      help = [helped, words];
    } else if (typed !== undefined) {
      assert.equal(help?.[0], typed, 'its help comes before its type');
      assert.ok(!families.has(typed), `${typed} comes once`);
      family = { name: typed, type, help: help?.[1] ?? '', samples: [] };
      families.set(typed, family);
    } else {
      const sample = sampleIn(line);
      assert.ok(family !== undefined && belongs(sample.name, family), `${line} stands below its type`);
      const series = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      assert.ok(!seen.has(series), `${series} comes once`);
      seen.add(series);
      family.samples.push(sample);
    }
  }
  for (const each of families.values()) check(each);
  return families;
}

/** Of the one series of a name that has these labels, beside others; 0: there is none. */
export function seriesSum(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const samples = [...parseExposition(text).values()].flatMap((family) => family.samples);
  const fits = (sample: Sample) => Object.entries(labels).every(([k, v]) => sample.labels[k] === v);
  const found = samples.filter((sample) => sample.name === name && fits(sample));
  return found.reduce((sum, { value }) => sum + value, 0);
}

function sampleIn(line: string): Sample {
  const [, name = '', labels = '', number = ''] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
  assert.ok(!Number.isNaN(value), `a number: ${line}`);
  return { name, labels: labelsIn(labels), value };
}

function labelsIn(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let end = 0;
  for (const [whole, name = '', value = ''] of text.matchAll(LABEL)) {
    assert.ok(!(name in labels), `label ${name} comes once in ${text}`);
    labels[name] = value;
    end += whole.length;
  }
  assert.equal(end, text.length, `labels: ${text}`);
  return labels;
}

function belongs(name: string, { name: family, type }: Family): boolean {
  return type === 'histogram' ? SUFFIXES.some((suffix) => name === family + suffix) : name === family;
}

function check({ name, type, samples }: Family): void {
  assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
  if (type !== 'gauge') for (const { value } of samples) assert.ok(value >= 0, `${name} is not negative`);
  if (type === 'histogram') checkBuckets(name, samples);
}

function checkBuckets(name: string, samples: readonly Sample[]): void {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const group of groups.values()) {
    const buckets = group.filter((sample) => sample.name.endsWith('_bucket'));
    const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Infinity : Number(labels.le)));
    assert.equal(bounds.at(-1), Infinity, `${name} has a last bucket`);
    for (const [at, bucket] of buckets.entries()) {
      const before = buckets[at - 1];
      if (before === undefined) continue;
      assert.ok((bounds[at] ?? 0) > (bounds[at - 1] ?? 0), `bounds of ${name} rise`);
      assert.ok(bucket.value >= before.value, `counts of ${name} rise`);
    }
    const count = group.find((sample) => sample.name.endsWith('_count'));
    assert.equal(count?.value, buckets.at(-1)?.value, `${name} counts all of its buckets`);
    assert.ok(
      group.some((sample) => sample.name.endsWith('_sum')),
      `${name} has a sum`,
    );
  }
}

/** Of a histogram, all its series together, in what came between two texts: between bounds it is a straight line. */
export function quantile(share: number, name: string, text: string, before: string): number {
  const bounds = new Set(
    (parseExposition(text).get(name)?.samples ?? []).flatMap(({ labels }) => labels.le ?? []),
  );
  const upTo = (le: string) =>
    seriesSum(text, `${name}_bucket`, { le }) - seriesSum(before, `${name}_bucket`, { le });
  const sorted = [...bounds].sort(
    (a, b) => Number(a.replace('+Inf', 'Infinity')) - Number(b.replace('+Inf', 'Infinity')),
  );
  const wanted = share * upTo('+Inf');
  let [from, below] = [0, 0];
  for (const le of sorted) {
    const here = upTo(le);
    if (here >= wanted && here > below)
      return le === '+Inf'
        ? Number.POSITIVE_INFINITY
        : from + ((Number(le) - from) * (wanted - below)) / (here - below);
    [from, below] = [Number(le), here];
  }
  return Number.NaN;
}
