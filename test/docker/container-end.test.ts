/** The end of a container, asked of an engine that hangs, breaks off or forgets to answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../../src/docker/connection.ts';
import { awaitEnd } from '../../src/docker/container-end.ts';
import { loadDockerode } from '../../src/docker/dockerode.ts';
import { fails } from './contract.ts';
import { type Answer, BREAK_OFF, fakeDockerd, HANG, json, STALL } from './fake-dockerd.ts';
import { until } from './until.ts';

const ID = 'c'.repeat(64);
const LOOK_MS = 50;
const stateOf = (Status: string, ExitCode: number) =>
  json({ Id: ID, State: { Status, ExitCode, OOMKilled: false, Error: '', StartedAt: '', FinishedAt: '' } });

for (const [title, answer] of [
  ['hangs', HANG],
  ['stalls half-way', STALL],
  ['breaks off', BREAK_OFF],
  ['is refused', json({ message: 'no' }, 500)],
] as const satisfies readonly (readonly [string, Answer])[]) {
  test(`an end is noticed though the engine's wait ${title}`, async (t) => {
    const { daemon, connection } = await ground(t);
    daemon.answers.set(`POST /containers/${ID}/wait`, answer);
    daemon.answers.set(`GET /containers/${ID}/json`, stateOf('running', 0));
    const ended = awaitEnd(connection, ID, AbortSignal.timeout(10_000), LOOK_MS);
    await until('it is asked twice', () => daemon.seen.filter((s) => s.endsWith('/wait')).length > 1);
    daemon.answers.set(`GET /containers/${ID}/json`, stateOf('exited', 4));
    assert.equal((await ended)?.exitCode, 4);
  });
}

test('a container that is gone has no report; an abort and a close end the waiting', async (t) => {
  const { daemon, connection } = await ground(t);
  assert.equal(await awaitEnd(connection, ID, AbortSignal.timeout(10_000)), undefined);
  daemon.answers.set(`POST /containers/${ID}/wait`, STALL);
  daemon.answers.set(`GET /containers/${ID}/json`, stateOf('running', 0));
  const over = new AbortController();
  const aborted = fails(awaitEnd(connection, ID, over.signal), 'interrupted');
  const closed = fails(awaitEnd(connection, ID, AbortSignal.timeout(10_000)), 'engine-failed');
  await until('both wait', () => daemon.seen.filter((s) => s.endsWith('/wait')).length === 3);
  over.abort();
  await aborted;
  connection.close();
  await closed;
});

async function ground(t: { after(close: () => unknown): void }) {
  const daemon = await fakeDockerd();
  const connection = new Connection(daemon.address, loadDockerode);
  t.after(() => {
    connection.close();
    return daemon.close();
  });
  return { daemon, connection };
}
