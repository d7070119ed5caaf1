/** The example `tcp` must do what its README says: a connection stays on its version, for as long as it may. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { type Cleanup, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import type { Place } from '../ground/requests.ts';
import { endedWell, openExample } from './example.ts';

const WAIT_MS = 30_000;

test('tcp: a connection stays on v1 while new ones go to v2', { skip: skipWithoutEngine }, async (t) => {
  const { place, tcp } = await openTcp(t);
  await tcp.gantry('start', 'echo');
  const old = await connection(t, place);
  assert.equal(await old.line(), 'v1 hello');
  const update = tcp.start('update', 'echo', ['tag=v2']);
  await until(async () => (await hello(t, place)) === 'v2 hello', { timeoutMs: WAIT_MS, what: 'v2' });
  assert.equal(await old.say('still here'), 'v1 still here');
  await update.says('Waiting: ', WAIT_MS);
  assert.equal(await old.say('for long'), 'v1 for long');
  old.end();
  assert.doesNotMatch(await endedWell(update), /cut/);
  await tcp.gantry('stop', 'echo');
});

test('tcp: drainTimeout cuts what stays too long, and says so', { skip: skipWithoutEngine }, async (t) => {
  const { place, tcp } = await openTcp(t);
  await tcp.gantry('start', 'echo', 'drainTimeout=500');
  const old = await connection(t, place);
  assert.equal(await old.line(), 'v1 hello');
  assert.match(
    await tcp.gantry('update', 'echo', 'tag=v2'),
    /Cut 1 connection of container .*: the drain timeout passed/,
  );
  await old.closed;
  await tcp.gantry('stop', 'echo');
});

async function openTcp(t: Cleanup) {
  const place = { host: '127.0.0.1', port: await freePort() };
  const ports = JSON.stringify([{ external: place.port, container: 9000, kind: 'tcp' }]);
  return { place, tcp: await openExample(t, 'tcp/tcp.json', { echo: [`ports=${ports}`] }) };
}

async function hello(t: Cleanup, place: Place): Promise<string> {
  const fresh = await connection(t, place);
  const said = await fresh.line();
  fresh.end();
  return said;
}

async function connection(t: Cleanup, place: Place) {
  const socket = connect(place);
  t.after(() => void socket.destroy());
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const lines = createInterface({ input: socket });
  lines.on('error', () => {}); // closed tells it
  const line = async () => String((await once(lines, 'line', { signal: AbortSignal.timeout(WAIT_MS) }))[0]);
  return {
    closed,
    line,
    say(text: string) {
      const answer = line();
      socket.write(`${text}\n`);
      return answer;
    },
    end: () => socket.end(),
  };
}
