import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import type { RunFiles } from '../../../src/api/jobs/job-server.ts';
import { type Followed, followRun } from '../../../src/cli/jobs/follow.ts';
import { bytesOf, type Sink } from '../../../src/cli/jobs/sink.ts';
import type { RunValue } from '../../../src/cluster/job-values.ts';
import { GantryError } from '../../../src/errors.ts';
import type { ReadEntry } from '../../../src/jobs/disk/run-log.ts';
import { cancelRun, findRun, submitRun } from '../../../src/jobs/intents/intents.ts';
import { claimed, ended, endWrites } from '../../../src/jobs/runs.ts';
import { until } from '../../ground/harness.ts';
import { AT_KEYS, claim, end, ground, putIn } from '../../jobs/intents/intents-ground.ts';
import { AT, aJob, anEnd } from '../../jobs/job-values.ts';

const AWAY = () => new GantryError('output-gone', 'h1 does not answer', { retryable: true });
const NONE = () => new GantryError('output-gone', 'there is no log of this run here');

/** A log that is written by the test, and read as a host's is. */
class Log {
  readonly lines: string[] = [];
  isOver = false;
  /** What reading fails with, once. */
  failure: (() => GantryError) | undefined;
  /** Connections are cut after so many entries, once. */
  cutAfter = Number.POSITIVE_INFINITY;

  async *read(run: string, from: string, follow: boolean, signal: AbortSignal): AsyncGenerator<ReadEntry> {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure();
    for (let at = Number(from.split(':')[1] ?? 0); ; at++) {
      await until(() => at < this.lines.length || this.isOver || !follow || signal.aborted, WAIT);
      const line = this.lines[at];
      if (line === undefined) return;
      if (at >= this.cutAfter) {
        this.cutAfter = Number.POSITIVE_INFINITY;
        throw AWAY();
      }
      const entry = { run, step: 0, stream: 'stdout', time: new Date(AT).toISOString(), text: line } as const;
      yield { entry, next: `1:${at + 1}` };
    }
  }
}

/** What the log of a run that is over is waited for, and less. */
const LAST_WAIT_MS = 8_000;
const WAIT = { timeoutMs: 10_000, what: 'the log to go on' };

interface Following {
  readonly printed: () => string;
  readonly notes: string[];
  readonly ended: Promise<RunValue | undefined>;
}

function follow(
  t: TestContext,
  fleet: ReturnType<typeof ground>['fleet'],
  run: RunValue,
  files: Partial<RunFiles>,
  more: Partial<Followed> = {},
): Following {
  const notes: string[] = [];
  let printed = '';
  const sink: Sink = {
    printed: async () => undefined,
    entry: async (entry) => {
      printed += bytesOf(entry).toString();
    },
    note: (words) => void notes.push(words),
    ended: () => 0,
  };
  const gone = new AbortController();
  t.after(() => gone.abort());
  const place = { fleet, box: undefined, files: async () => files as RunFiles, sealingFor: never };
  const following = followRun({ place, run, sink, ...more }, gone.signal);
  return { printed: () => printed, notes, ended: following };
}

function never(): never {
  throw new Error('nothing is sealed here');
}

async function begun(input: RunValue['input'] = { kind: 'none' }, retries = 0) {
  const all = ground();
  const log = new Log();
  const run = await submitRun(all.fleet, aJob({ retries }), { input });
  const files: Partial<RunFiles> = {
    log: (id, query, signal) => log.read(id, query.from ?? '', query.follow, signal),
  };
  return { ...all, log, run, files };
}

describe('who follows a run', () => {
  test('is told what it prints, and how it ended', async (t) => {
    const { fleet, cluster, run, log, files } = await begun();
    const following = follow(t, fleet, run, files);
    const running = claim(cluster, run);
    log.lines.push('one\n');
    await until(() => following.printed() === 'one\n', WAIT);
    log.lines.push('two\n');
    log.isOver = true;
    end(cluster, running);
    assert.equal((await following.ended)?.state, 'complete');
    assert.equal(following.printed(), 'one\ntwo\n');
    assert.deepEqual(following.notes, []);
  });

  test('loses and doubles nothing when its host is away for a while', async (t) => {
    const { fleet, cluster, run, log, files } = await begun();
    const running = claim(cluster, run);
    log.lines.push('one\n', 'two\n', 'three\n');
    log.cutAfter = 2;
    const following = follow(t, fleet, run, files);
    await until(() => following.printed().endsWith('three\n'), WAIT);
    log.isOver = true;
    end(cluster, running);
    await following.ended;
    assert.equal(following.printed(), 'one\ntwo\nthree\n');
    assert.deepEqual(following.notes, ['h1 does not answer']);
  });

  test('does not wait for the log of a host that is lost', async (t) => {
    const { fleet, cluster, run, log } = await begun();
    const running = claim(cluster, run);
    log.lines.push('one\n');
    log.cutAfter = 1;
    let calls = 0;
    const read: RunFiles['log'] = (id, query, signal) => {
      if (++calls > 1) throw AWAY();
      return log.read(id, query.from ?? '', query.follow, signal);
    };
    const following = follow(t, fleet, run, { log: read });
    await until(() => following.printed() === 'one\n', WAIT);
    const over = ended(running, anEnd({ kind: 'lost' }), AT).run;
    cluster.commit([], endWrites(AT_KEYS, over));
    const began = performance.now();
    assert.equal((await following.ended)?.state, 'lost');
    assert.ok(performance.now() - began < LAST_WAIT_MS, 'it ends soon');
    assert.deepEqual(following.notes, ['h1 does not answer']);
  });

  test('waits for a log that is not there yet without a word', async (t) => {
    const { fleet, cluster, run, log, files } = await begun();
    log.failure = NONE;
    log.lines.push('one\n');
    log.isOver = true;
    const running = claim(cluster, run);
    const following = follow(t, fleet, run, files);
    await until(() => following.printed() === 'one\n', WAIT);
    end(cluster, running);
    await following.ended;
    assert.deepEqual(following.notes, []);
  });

  test('goes on with the next attempt where that is', async (t) => {
    const { fleet, cluster, run, log, files } = await begun({ kind: 'none' }, 1);
    const first = claim(cluster, run);
    log.lines.push('first\n');
    const following = follow(t, fleet, run, files);
    await until(() => following.printed() === 'first\n', WAIT);
    const again = ended(first, anEnd({ kind: 'lost' }), AT).run;
    putIn(cluster, AT_KEYS.jobs.run(run.id), again);
    const second = claimed(again, { host: 'h2', hostId: 'id-2', at: AT });
    log.isOver = true;
    await until(() => following.printed() === 'first\n', WAIT);
    log.lines.splice(0, 1, 'second\n');
    putIn(cluster, AT_KEYS.jobs.run(run.id), second);
    await until(() => following.printed() === 'first\nsecond\n', WAIT);
    end(cluster, second);
    assert.equal((await following.ended)?.attempt, 2);
  });

  test('leaves a log that nobody ends, once it has told all of it', async (t) => {
    const { fleet, cluster, run, log, files } = await begun({ kind: 'none' }, 1);
    const first = claim(cluster, run);
    log.lines.push('first\n');
    const following = follow(t, fleet, run, files);
    await until(() => following.printed() === 'first\n', WAIT);
    const again = ended(first, anEnd({ exitCode: 1 }), AT).run;
    const second = claimed(again, { host: 'h2', hostId: 'id-2', at: AT });
    const other = new Log();
    other.lines.push('second\n');
    other.isOver = true;
    files.log = (id, { from = '', follow }, signal) =>
      (from === '' ? other : log).read(id, from, follow, signal);
    log.lines.push('last of it\n');
    putIn(cluster, AT_KEYS.jobs.run(run.id), second);
    end(cluster, second);
    assert.equal((await following.ended)?.attempt, 2);
    assert.equal(following.printed(), 'first\nlast of it\nsecond\n');
  });

  test('ends with a run that is cancelled between two attempts', async (t) => {
    const { fleet, cluster, run, log, files } = await begun({ kind: 'none' }, 1);
    const first = claim(cluster, run);
    log.lines.push('first\n');
    const following = follow(t, fleet, run, files);
    await until(() => following.printed() === 'first\n', WAIT);
    putIn(cluster, AT_KEYS.jobs.run(run.id), ended(first, anEnd({ exitCode: 1 }), AT).run);
    await cancelRun(fleet, run.id);
    assert.equal((await following.ended)?.state, 'cancelled');
    assert.equal(following.printed(), 'first\n');
  });

  test('gives it its input once its host takes it', async (t) => {
    const { fleet, cluster, run, log, files } = await begun({ kind: 'upload' });
    const running = claim(cluster, run);
    let given = '';
    let asked = 0;
    const input: RunFiles['input'] = async (_run, bytes) => {
      asked += 1;
      if (asked === 1) throw new GantryError('run-unknown', 'not yet', { retryable: true });
      given = await text(bytes);
    };
    const open = () => Readable.from([Buffer.from('what it reads')]);
    const following = follow(t, fleet, run, { ...files, input }, { input: { open } });
    await until(() => given !== '', WAIT);
    log.isOver = true;
    end(cluster, running);
    await following.ended;
    assert.deepEqual([given, asked, following.notes], ['what it reads', 2, []]);
  });

  test('has it cancelled when its input was lost on the way', async (t) => {
    const { fleet, cluster, run, log, files } = await begun({ kind: 'upload' });
    const running = claim(cluster, run);
    const input: RunFiles['input'] = async () => {
      throw AWAY();
    };
    let stream: Readable | undefined = Readable.from([Buffer.from('once')]);
    const open = () => {
      const first = stream;
      stream = undefined;
      return first;
    };
    const following = follow(t, fleet, run, { ...files, input }, { input: { open } });
    const cancelled = await until(async () => (await findRun(fleet, run.id)).cancel, WAIT);
    assert.match(cancelled.why ?? '', /its input came from a pipe, and was lost/);
    log.isOver = true;
    end(cluster, running);
    await following.ended;
  });

  test('only until it has its input', async (t) => {
    const { fleet, cluster, run } = await begun({ kind: 'upload' });
    claim(cluster, run);
    const input: RunFiles['input'] = async (_run, bytes) => void (await text(bytes));
    const more = { input: { open: () => Readable.from([Buffer.from('x')]) }, untilFed: true };
    const following = follow(t, fleet, run, { input }, more);
    assert.equal((await following.ended)?.state, 'running');
  });

  test('hears of one that was cancelled before anybody ran it', async (t) => {
    const { fleet, run, files } = await begun();
    const following = follow(t, fleet, run, files);
    await cancelRun(fleet, run.id);
    assert.equal((await following.ended)?.state, 'cancelled');
  });
});
