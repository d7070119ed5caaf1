import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { auditWrite, MOST_AUDITED, pruneAudited } from '../../../src/cluster/audit.ts';
import { readAudit } from '../../../src/cluster/event-values.ts';
import { lastPart } from '../../../src/cluster/keys.ts';
import { timeOfId } from '../../../src/cluster/newest.ts';
import { rollback, setStatus, update } from '../../../src/fleet/intents/intents.ts';
import { pauseRollout, resumeRollout } from '../../../src/fleet/intents/steer.ts';
import { AT, AT_KEYS, fleetOn, type Ground, meddled, PROJECT, shop } from './intents-ground.ts';

const resolve = async (c: { readonly image: string }) => ({ name: c.image, id: 'sha256:1', digests: [] });
const asked = { project: PROJECT, components: [], by: 'ann@desk' };

function told({ cluster }: Ground): readonly string[] {
  const { entries } = cluster.list(AT_KEYS.audit());
  const audit = entries.flatMap((entry) => readAudit(entry) ?? []);
  return audit.map(({ by, action, on, detail }) => `${by}: ${action} ${on.join()} (${detail})`);
}

/** A millisecond later each time, so that the order of the entries is theirs. */
function ticking({ fleet }: Ground) {
  let at = Date.parse(AT);
  return { ...fleet, now: () => ++at };
}

describe('The audit', () => {
  test('has who changed the config, and what was asked of each component', async () => {
    const at = await shop('web', 'db');
    const fleet = ticking(at);
    await update(fleet, { ...asked, resolve, note: 'a note' });
    await pauseRollout(fleet, { ...asked, component: 'web' });
    await pauseRollout(fleet, { ...asked, component: 'web' });
    await resumeRollout(fleet, { ...asked, component: 'web' });
    await update(fleet, { ...asked, components: ['web'], resolve });
    await rollback(fleet, { ...asked, components: ['web'], to: 1 });
    await setStatus(fleet, { ...asked, components: ['web'], status: 'stopped' });
    await setStatus(fleet, { ...asked, components: ['web'], status: 'stopped' });
    await setStatus(fleet, { ...asked, components: ['db'], status: 'killed' });
    assert.deepEqual(told(at), [
      'test@here: setconfig  (2 components)',
      'ann@desk: update web (release 1, image web:latest)',
      'ann@desk: update db (release 1, image db:latest)',
      'ann@desk: rollout pause web (release 1)',
      'ann@desk: rollout resume web (release 1)',
      'ann@desk: update web (release 2, image web:latest)',
      'ann@desk: rollback web (to release 1)',
      'ann@desk: stop web ()',
      'ann@desk: kill db ()',
    ]);
  });

  test('an answer that is lost makes no second entry', async () => {
    for (const answer of ['lost', 'dropped'] as const) {
      const at = await shop('web');
      await update(fleetOn(meddled(at.store, [{ answer }])), { ...asked, resolve });
      const updates = told(at).filter((line) => line.includes('update'));
      assert.deepEqual(updates, ['ann@desk: update web (release 1, image web:latest)'], answer);
    }
  });

  test('a command for very many components fits the transactions', async () => {
    const names = Array.from({ length: 130 }, (_, i) => `c${i}`);
    const at = await shop(...names);
    await update(ticking(at), { ...asked, resolve });
    assert.equal(told(at).length, 1 + names.length);
  });

  test('keeps the newest, in the order of time', async () => {
    const { store, cluster } = await shop('web');
    const first = Date.parse(AT) + 1;
    for (let i = 0; i < MOST_AUDITED + 500; i++) {
      const writes = [
        auditWrite(AT_KEYS, { by: 'ann', action: 'scale', on: ['web'], at: first + i, id: `${i}` }),
      ];
      await store.commit([], writes);
      await pruneAudited(store, writes);
    }
    const times = cluster.list(AT_KEYS.audit()).entries.map(({ key }) => timeOfId(lastPart(key)));
    assert.ok(times.length >= MOST_AUDITED && times.length < MOST_AUDITED + 400, `${times.length}`);
    assert.equal(times.at(-1), first + MOST_AUDITED + 499);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
  });
});
