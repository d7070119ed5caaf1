/** A backend may refuse an upload and close while it is under way: the client must hear the answer, whenever it listens. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type Ground, ground, heard, onBothPaths as test, until, untilIdle } from '../ground.ts';

const SIZE = 50 * 1024 * 1024;
const BLOCK = Buffer.alloc(256 * 1024, 'x');

/** Reads a little, answers, and closes on what it has not read: its kernel resets the connection. */
function refuse(socket: Socket): void {
  socket.once('data', () => {
    socket.pause();
    const head = 'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8';
    socket.write(`${head}\r\n\r\ntoo much`, () => socket.destroy());
  });
}

/** Resolves when all of it is sent, and has read nothing until then. */
async function upload(g: Ground, more = ''): Promise<Socket> {
  const client = await g.dial();
  client.write(`POST / HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${SIZE}\r\n\r\n`);
  await new Promise<void>((resolve, reject) => {
    client.once('error', reject);
    const send = (left: number) => {
      if (left === 0) resolve();
      else client.write(BLOCK, () => send(left - BLOCK.length));
    };
    send(SIZE);
  });
  return client;
}

test('the answer to a refused upload reaches who sends all of it first, and whose connection goes on', async (t) => {
  const g = await ground(t);
  await g.route([await g.tcp('a', refuse)]);
  const client = await upload(g);
  const { text } = heard(client);
  await until('it is answered', () => text().endsWith('too much'));
  assert.match(text(), /^HTTP\/1.1 413 /);
  client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx');
  await until('so is the next', () => text().split('too much').length === 3);
  await untilIdle(g.plane);
});

test('the answer to a refused upload reaches who sends all of it first, and asked to close after it', async (t) => {
  const g = await ground(t);
  await g.route([await g.tcp('a', refuse)]);
  const client = await upload(g, 'Connection: close\r\n');
  await untilIdle(g.plane);
  const { text, ended, closed } = heard(client);
  await until('it is ended', () => ended() || closed());
  assert.match(text(), /^HTTP\/1.1 413 .*too much$/s);
});

test('who goes on sending after the end of its connection keeps no backend', async (t) => {
  const g = await ground(t);
  await g.route([await g.tcp('a', refuse)]);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write(`POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${SIZE}\r\n\r\n`);
  client.write(BLOCK);
  await until('it is answered, and ended', () => text().endsWith('too much') && ended());
  await untilIdle(g.plane);
  client.end();
  await until('it is closed', () => client.destroyed);
});
