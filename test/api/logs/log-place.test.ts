import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LogPlace, type Timed } from '../../../src/api/logs/log-place.ts';
import { timeAt } from './log-ground.ts';

const line = (second: number, stream = 'stdout', container = 'c1'): Timed => ({
  ...{ container, stream, time: timeAt(second) },
});

function told(place: LogPlace, lines: readonly Timed[]): readonly boolean[] {
  const isNew = place.reading();
  return lines.map(isNew);
}

describe('a place in a log', () => {
  test('takes a log that is read again for known, as far as it was read', () => {
    const place = new LogPlace();
    assert.deepEqual(told(place, [line(1), line(2), line(2)]), [true, true, true]);
    assert.deepEqual(told(place, [line(1), line(2), line(2), line(2), line(3)]), [
      ...[false, false, false],
      ...[true, true],
    ]);
  });

  test('is one for each stream and container', () => {
    const place = new LogPlace();
    told(place, [line(9)]);
    assert.deepEqual(told(place, [line(1, 'stderr'), line(9), line(1, 'stdout', 'c2')]), [true, false, true]);
  });

  test('knows what was left out on purpose', () => {
    const place = new LogPlace();
    told(place, [line(8), line(9)]);
    place.caughtUp();
    assert.deepEqual(told(place, [line(7, 'stderr'), line(8), line(9), line(10, 'stderr')]), [
      ...[false, false, false],
      true,
    ]);
  });

  test('leaves nothing out where a clock was set back', () => {
    const place = new LogPlace();
    assert.deepEqual(told(place, [line(9), line(1), line(2)]), [true, true, true]);
  });

  test('says where to begin, a little before its end', () => {
    const place = new LogPlace();
    assert.equal(place.since, undefined);
    told(place, [line(60)]);
    const since = place.since ?? 0;
    assert.ok(since < Date.parse(timeAt(60)) && since > Date.parse(timeAt(50)), `${since}`);
  });
});
