/** The checks of the simulation find what they are for, and a seed that failed replays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate } from './run.ts';
import { DEFECTS, NOTHING_BROKEN } from './sabotage.ts';

/** Most that a defect is looked for in. */
const DEFECT_HISTORIES = 800;

for (const [what, sabotage] of Object.entries(DEFECTS)) {
  test(`it is found when ${what}`, () => {
    const { failed } = simulate(1, DEFECT_HISTORIES, { ...NOTHING_BROKEN, ...sabotage });
    assert.ok(failed !== undefined, `${DEFECT_HISTORIES} histories found nothing wrong`);
  });
}

test('a seed replays exactly', () => {
  const sabotage = { ...NOTHING_BROKEN, ...DEFECTS['a drain ends whatever is open'] };
  const { failed } = simulate(1, DEFECT_HISTORIES, sabotage);
  assert.ok(failed !== undefined);
  assert.deepEqual(simulate(failed.seed, 1, sabotage).failed, failed);
});
