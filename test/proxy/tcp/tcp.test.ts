import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { dial, ground, heard, OWNER, openOn, tableOf, until, untilIdle } from '../ground.ts';

const TCP = { kind: 'tcp' } as const;

test('bytes go both ways and a half-closed connection stays open the other way', async (t) => {
  const g = await ground(t);
  const backend = await g.tcp('a', (socket) => {
    let got = '';
    socket.on('data', (chunk) => {
      got += chunk;
    });
    socket.on('end', () => socket.end(`you said ${got}`));
  });
  await g.route([backend], TCP);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.end('hello');
  await until('the answer came after our end', ended);
  assert.equal(text(), 'you said hello');
  await untilIdle(g.plane);
});

test('the backend may end its side first', async (t) => {
  const g = await ground(t);
  let got = '';
  const backend = await g.tcp('a', (socket) => {
    socket.end('all I have to say');
    socket.on('data', (chunk) => {
      got += chunk;
    });
  });
  await g.route([backend], TCP);
  const client = await g.dial();
  const { ended } = heard(client);
  await until('the backend ended', ended);
  assert.equal(openOn(g.plane, 'a'), 1);
  client.end('but I have more');
  await until('the rest arrived', () => got === 'but I have more');
  await untilIdle(g.plane);
});

test('a reset on one side is a reset on the other', async (t) => {
  const g = await ground(t);
  const codes: string[] = [];
  const backend = await g.tcp('a', (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code ?? ''));
    socket.on('data', (chunk) => {
      if (String(chunk) === 'reset me') socket.resetAndDestroy();
      else socket.write('up');
    });
  });
  await g.route([backend], TCP);

  const leaving = await g.dial();
  leaving.write('hello');
  await once(leaving, 'data');
  leaving.resetAndDestroy();
  await until('the backend is reset', () => codes.includes('ECONNRESET'));

  const staying = await g.dial();
  staying.write('reset me');
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => staying.once('error', resolve));
  assert.equal(error.code, 'ECONNRESET');
  await untilIdle(g.plane);
});

test('the sender is held back when the receiver does not read', async (t) => {
  const g = await ground(t);
  const size = 64 * 1024 * 1024;
  let received = 0;
  let release = () => {};
  const backend = await g.tcp('a', (socket) => {
    socket.pause();
    release = () => {
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.on('end', () => socket.end());
      socket.resume();
    };
  });
  await g.route([backend], TCP);
  const client = await g.dial();
  const chunk = Buffer.alloc(1024 * 1024);
  let sent = 0;
  let stalled = false;
  const pump = () => {
    while (sent < size) {
      sent += chunk.length;
      if (!client.write(chunk)) {
        stalled = true;
        return void client.once('drain', () => {
          stalled = false;
          pump();
        });
      }
    }
    client.end();
  };
  pump();
  let before = -1;
  await until('the client is held back', () => {
    const same = before === client.bytesWritten - client.writableLength;
    before = client.bytesWritten - client.writableLength;
    return same && stalled && sent > 0 && openOn(g.plane, 'a') === 1 && g.plane.connections === 1;
  });
  assert.ok(sent < size);
  release();
  client.resume();
  await until('all arrived', () => received === size);
  await untilIdle(g.plane);
});

test('a connection that no backend takes is closed', async (t) => {
  const g = await ground(t);
  for (const backends of [[], [g.dead('a')]]) {
    await g.route(backends, TCP);
    const client = await g.dial();
    const { closed } = heard(client);
    client.on('end', () => client.end());
    await until('it is closed', closed);
  }
  await untilIdle(g.plane);
});

test('a backend that refuses costs no connection, and what was sent early arrives', async (t) => {
  const g = await ground(t);
  const alive = await g.tcp('alive', (socket) => void socket.pipe(socket));
  await g.route([g.dead('dead'), alive], TCP);
  for (let i = 0; i < 4; i++) {
    const client = await g.dial();
    const { text, ended } = heard(client);
    client.end(`early ${i}`);
    await until('it comes back', ended);
    assert.equal(text(), `early ${i}`);
  }
  await untilIdle(g.plane);
});

test('a port that a backend refuses is left to others and takes nothing from its other ports', async (t) => {
  const g = await ground(t);
  const quiet = (socket: Socket) => void socket.resume();
  const [one, both] = [await g.tcp('one', quiet), await g.tcp('both', quiet)];
  const second = createServer((socket) => void socket.end('both'));
  t.after(() => second.close());
  await new Promise<void>((resolve) => second.listen(g.containerPort + 1, both.host, resolve));
  const listeners = [0, 1].map((n) => ({
    address: g.address,
    port: g.port + n,
    kind: 'tcp' as const,
    containerPort: g.containerPort + n,
  }));
  const table = tableOf([{ component: 'web', listeners, backends: [one, both] }]);
  await g.plane.put(OWNER, { ifRevision: 0, table });
  for (let i = 0; i < 4; i++) {
    const client = await dial(g.address, g.port + 1);
    const { text, ended } = heard(client.end());
    await until('the one that listens answers', ended);
    assert.equal(text(), 'both');
    await until('it is let go', () => g.plane.open === i);
    await g.dial();
    await until('the other is led', () => g.plane.open === i + 1);
  }
  assert.deepEqual([openOn(g.plane, 'one'), openOn(g.plane, 'both')], [2, 2]);
});

test('what holds a backend is reported with its age, bytes and silence, the oldest first', async (t) => {
  const g = await ground(t);
  const backend = await g.tcp('a', (socket) => void socket.pipe(socket));
  await g.route([backend], TCP);
  const clients = [];
  for (let i = 0; i < 25; i++) {
    const client = await g.dial();
    client.write('ping');
    await once(client, 'data');
    clients.push(client);
  }
  const [report] = g.plane.status().backends;
  assert.equal(report?.tcp, 25);
  assert.equal(report?.peers.length, 20);
  const [oldest] = report?.peers ?? [];
  assert.equal(oldest?.client, `${clients[0]?.localAddress}:${clients[0]?.localPort}`);
  assert.equal(oldest?.kind, 'tcp');
  assert.equal(oldest?.bytes, 8);
  assert.equal(oldest?.ageMs, report?.oldestMs);
  for (const client of clients) client.destroy();
  await untilIdle(g.plane);
});

test('a client that ends at once, with or without a word, ends for the backend too', async (t) => {
  const g = await ground(t);
  const heardBy: string[] = [];
  const backend = await g.tcp('a', (socket) => {
    const { text } = heard(socket);
    socket.once('end', () => {
      heardBy.push(text());
      socket.end('bye');
    });
  });
  await g.route([backend], { kind: 'tcp' });
  for (const words of ['', 'hello']) {
    const client = await g.dial();
    const { text, ended } = heard(client);
    client.end(words);
    await until('the backend had the last word', ended);
    assert.equal(text(), 'bye');
  }
  assert.deepEqual(heardBy, ['', 'hello']);
  await untilIdle(g.plane);
});
