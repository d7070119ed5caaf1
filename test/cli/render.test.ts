/** What a person reads of events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBadNews, renderEvent } from '../../src/cli/render.ts';
import type { AgentEvent, Tell } from '../../src/events.ts';

const event = (fact: Parameters<Tell>[0]): AgentEvent => ({ ...fact, component: 'web', at: 0 });

test('how a container failed is told with what it left behind', () => {
  const failed = event({
    ...{ kind: 'container-failed', container: 'c'.repeat(64), why: 'it exited' },
    lastWords: { exitCode: 137, oomKilled: true, logs: ['loading', 'no more'] },
  });
  assert.equal(
    renderEvent(failed, { debug: false, told: new Set() }),
    [
      'Container cccccccccccc failed: it exited',
      '  exit code 137, out of memory',
      '  its last lines:',
      '  | loading',
      '  | no more',
    ].join('\n'),
  );
});

test('each pause before a next try is told once, anything else that is waited for only the first time', () => {
  const told = new Set<string>();
  const waiting = (what: string, why: string, until?: number) =>
    renderEvent(event({ kind: 'waiting', for: what, why, until }), { debug: false, told });
  assert.equal(waiting('backoff', '2nd failure', 500), 'Waiting: 2nd failure');
  assert.equal(waiting('backoff', '2nd failure', 500), undefined);
  assert.equal(waiting('backoff', '3rd failure', 900), 'Waiting: 3rd failure');
  assert.equal(waiting('drain', '2 connections'), 'Waiting: 2 connections');
  assert.equal(waiting('drain', '1 connection'), undefined);
});

test('that most failed together is bad news', () => {
  const together = event({ kind: 'mass-failure', failed: 2, instances: 3, why: 'a exited; b exited' });
  assert.equal(isBadNews(together), true);
  assert.equal(
    renderEvent(together, { debug: false, told: new Set() }),
    '2 of 3 containers failed together, one is replaced at a time: a exited; b exited',
  );
});
