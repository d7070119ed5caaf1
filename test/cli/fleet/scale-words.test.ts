/** What `scale` takes, and what it says of what it does not take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scaleChanges } from '../../../src/cli/fleet/scale-words.ts';
import { isGantryError } from '../../../src/errors.ts';

test('a number, a total, and what the config says', () => {
  assert.deepEqual(scaleChanges(['web=3', 'api=total:6', 'db=config', 'x.y=0']), {
    web: 3,
    api: { total: 6 },
    db: 'config',
    'x.y': 0,
  });
});

const REFUSED: readonly (readonly [string, string])[] = [
  ['web', '"web" says no number of a component'],
  ['=3', '"=3" says no number of a component'],
  ['web=', '"web=" says no number of web'],
  ['web=x', '"web=x" says no number of web'],
  ['web=-1', '"web=-1" says no number of web'],
  ['web=1.5', '"web=1.5" says no number of web'],
  ['web=1e3', '"web=1e3" says no number of web'],
  ['web= 3', '"web= 3" says no number of web'],
  ['web=total:', '"web=total:" says no number of web'],
  ['web=total:x', '"web=total:x" says no number of web'],
  ['web=1001', 'web cannot have 1001 containers'],
  ['web=total:99999', 'web cannot have 99999 containers'],
];

for (const [word, message] of REFUSED) {
  test(`refused: ${word}`, () => {
    assert.throws(
      () => scaleChanges([word]),
      (error: unknown) => isGantryError(error, 'usage') && error.message === message,
    );
  });
}

test('a component is named once', () => {
  assert.throws(() => scaleChanges(['web=3', 'web=4']), /web is named more than once/);
});
