import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { handleOf } from '../../../src/proxy/tcp/handle.ts';
import { tryHandles } from '../../../src/proxy/tcp/handle-trial.ts';
import { Inlet } from '../../../src/proxy/tcp/inlet.ts';
import { SHARED } from '../../../src/proxy/tcp/read-memory.ts';
import { type Gate, Relay } from '../../../src/proxy/tcp/relay.ts';
import { until } from '../ground.ts';
import { spoilReadMemory } from '../spoiled.ts';

const LOOPBACK = '127.0.0.1';

interface Ends {
  readonly client: Socket;
  readonly backend: Socket;
  readonly relay: Relay;
}

/** `early`: what the client says before there is a backend. */
type Join = (t: TestContext, options?: { readonly early?: string; readonly gate?: Gate }) => Promise<Ends>;

async function accepted(t: TestContext, dial: (port: number) => Socket): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, LOOPBACK), 'listening');
  const dialled = dial((server.address() as AddressInfo).port);
  const [[socket]] = await Promise.all([once(server, 'connection'), once(dialled, 'connect')]);
  server.close();
  for (const one of [dialled, socket]) {
    one.on('error', () => {});
    t.after(() => one.destroy());
  }
  return [dialled, socket];
}

const far = (port: number) => connect({ host: LOOPBACK, port, allowHalfOpen: true });

/** The backend is dialled by the relay. */
const dialling: Join = async (t, { early = '', gate } = {}) => {
  const [client, near] = await accepted(t, far);
  if (early !== '') await said(client, near, early);
  let relay: Relay | undefined;
  const [, backend] = await accepted(t, (port) => {
    relay = new Relay(near, { host: LOOPBACK, port, allowHalfOpen: true }, gate);
    return relay.backend;
  });
  assert.ok(relay !== undefined);
  relay.start();
  return { client, backend, relay };
};

/** As with an upgrade: both have been talked to before. */
const joining: Join = async (t, { early = '', gate } = {}) => {
  const [client, near] = await accepted(t, far);
  const [upstream, backend] = await accepted(t, far);
  if (early !== '') await said(client, near, early);
  const relay = new Relay(near, upstream, gate);
  relay.start();
  return { client, backend, relay };
};

async function said(client: Socket, near: Socket, text: string): Promise<void> {
  client.write(text);
  await until('it was read', () => near.readableLength === text.length);
}

/** Bytes that say where they belong, so that none can take the place of another. */
function numbered(words: number, seed: number): Buffer {
  return Buffer.from(
    Uint32Array.from({ length: words }, (_, at) => Math.imul(at, 2_654_435_761) ^ seed).buffer,
  );
}

/** Everything up to the end, read in small helpings with pauses. */
function slowly(from: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  from.on('data', (part: Buffer) => {
    if (parts.push(part) % 64 !== 0) return;
    from.pause();
    setImmediate(() => from.resume());
  });
  return once(from, 'end').then(() => Buffer.concat(parts));
}

/** Reads of every size, in both directions at once, on connections that share the memory. */
async function carriesBothWays(t: TestContext, join: Join): Promise<void> {
  const all = Array.from({ length: 4 }, async (_, seed) => {
    const { client, backend } = await join(t, { early: 'early;' });
    const [up, down] = [numbered(100_000 + seed, seed), numbered(300_000 + seed, ~seed)];
    const heard = Promise.all([slowly(backend), slowly(client)]);
    for (let at = 0, step = 1; at < up.length; at += step, step = (step * 3) % 70_001)
      client.write(up.subarray(at, at + step));
    client.end();
    backend.end(down);
    const [atBackend, atClient] = await heard;
    assert.ok(atBackend.equals(Buffer.concat([Buffer.from('early;'), up])));
    assert.ok(atClient.equals(down));
  });
  await Promise.all(all);
}

/** What could not be written at once waits, while others read into the same memory. */
async function keepsPending(t: TestContext, join: Join): Promise<void> {
  const [up, down, busy] = [await join(t), await join(t), await join(t)];
  busy.backend.on('data', (part: Buffer) => busy.backend.write(part));
  for (const [from, to, seed] of [
    [up.client, up.backend, 7],
    [down.backend, down.client, 8],
  ] as const) {
    const bytes = numbered(10_000_000, seed);
    let at = 0;
    // One small piece after another, so that they are read as such until the way is full.
    for (let goesOn = true; goesOn && at < bytes.length; at += 8_000) {
      goesOn = from.write(bytes.subarray(at, at + 8_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(at < bytes.length);
    for (let round = 0; round < 50; round++) {
      busy.client.write('overwritten?'.repeat(round + 1));
      await once(busy.client, 'data');
    }
    const heard = slowly(to);
    from.end();
    assert.ok((await heard).equals(bytes.subarray(0, at)), `after ${at} bytes`);
  }
}

/** Whoever is not read from takes what the kernel and two streams buffer, and no more. */
async function holdsBack(t: TestContext, join: Join): Promise<void> {
  const { client, backend, relay } = await join(t);
  const size = 24 * 1024 * 1024;
  for (const [from, to] of [
    [client, backend],
    [backend, client],
  ] as const) {
    to.pause();
    from.write(Buffer.alloc(size));
    let before = -1;
    await until('it is held back', () => {
      const same = before === to.bytesRead + relay.backend.bytesRead + relay.backend.bytesWritten;
      before = to.bytesRead + relay.backend.bytesRead + relay.backend.bytesWritten;
      return same && before > 0;
    });
    assert.ok(from.writableLength > 0);
    assert.ok(relay.backend.writableLength < 1024 * 1024);
    let got = 0;
    to.on('data', (part: Buffer) => {
      got += part.length;
    });
    to.resume();
    await until('all came', () => got === size);
    to.removeAllListeners('data');
  }
}

// Before the trial, everything goes through the streams.
test('bytes go through whole and held back where handles cannot be used', async (t) => {
  const [dialled, one] = await accepted(t, far);
  assert.equal(handleOf(one), undefined);
  dialled.destroy();
  await carriesBothWays(t, joining);
  await holdsBack(t, dialling);
});

test('this Node lets handles be read from and written to', async (t) => {
  assert.equal(await tryHandles(), true);
  const [dialled, one] = await accepted(t, far);
  const heard: string[] = [];
  new Inlet(one, (bytes, length, memory) => {
    heard.push(`${bytes.toString('latin1', 0, length)}, ${bytes === SHARED}, ${memory}`);
    return true;
  });
  dialled.write('hello');
  await until('it came', () => heard.length > 0);
  assert.deepEqual(heard, ['hello, true, undefined']);
});

test('bytes go through whole and held back past the streams', async (t) => {
  assert.equal(await tryHandles(), true);
  spoilReadMemory(t);
  await carriesBothWays(t, dialling);
  await carriesBothWays(t, joining);
  await holdsBack(t, joining);
  await keepsPending(t, joining);
});

test('ends and silence after a stop go through, words do not', async (t) => {
  for (const join of [dialling, joining]) {
    const { client, backend, relay } = await join(t);
    const heard = slowly(backend);
    client.write('heard');
    await until('it came', () => backend.bytesRead > 0);
    relay.stop();
    client.end(numbered(100_000, 1));
    assert.equal(String(await heard), 'heard');
  }
});

test('what a gate takes away never comes, and it is told after each write', async (t) => {
  for (const join of [dialling, joining]) {
    let passed = 0;
    const gate: Gate = {
      pass: (bytes) => bytes.subarray(0, bytes.indexOf('|')),
      passed: () => {
        passed += 1;
      },
    };
    const { client, backend } = await join(t, { gate });
    for (const [words, came] of [
      ['one|two', 'one'],
      ['three|', 'three'],
    ] as const) {
      backend.write(words);
      const [bytes] = await once(client, 'data');
      assert.equal(String(bytes), came);
    }
    backend.write('|nothing');
    await until('it was told', () => passed === 3);
    const rest = slowly(client);
    backend.end();
    assert.equal((await rest).length, 0);
  }
});
