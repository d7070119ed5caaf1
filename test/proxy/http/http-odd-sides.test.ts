import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ground, heard, onBothPaths as test, until, untilIdle } from '../ground.ts';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const LONG = { hold: { timeoutMs: 60_000, max: 10 } };

/** What was written has left, and the other side has had its turn to read it. */
async function say(client: Socket, text: string): Promise<void> {
  await new Promise((sent) => client.write(text, sent));
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

it('an answer with a status below all that there are is a bad gateway', async (t) => {
  const g = await ground(t);
  await g.route([
    await g.tcp('a', (socket) => void socket.once('data', () => socket.end('HTTP/1.1 099 Odd\r\n\r\n'))),
  ]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write(GET);
  await until('it is answered', () => text().startsWith('HTTP/1.1 502 '));
  await untilIdle(g.plane);
});

it('who leaves is noticed whatever it sent ahead', async (t) => {
  const g = await ground(t);
  await g.route([await g.http('a', () => {})]);
  const client = await g.dial();
  for (let sent = 0; sent < 4; sent++) await say(client, GET);
  await until('the backend is held', () => g.plane.open === 1);
  client.end();
  await untilIdle(g.plane);
});

test('who leaves while its request with a body waits is not carried afterwards', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const client = await g.dial();
  const waiting = () => g.plane.status().waiting ?? 0;
  await say(client, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n');
  for (const part of ['one', 'two', 'end']) await say(client, part);
  await until('it waits', () => waiting() === 1);
  client.end();
  await until('it waits no more', () => waiting() === 0);
});

it('interim answers that nobody reads are not heaped up', async (t) => {
  const g = await ground(t);
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: </${'x'.repeat(30_000)}>\r\n\r\n`;
  const most = 60_000_000;
  let written = 0;
  const flooding = await g.tcp('a', (socket) => {
    const flood = () => {
      do written += hint.length;
      while (socket.write(hint) && written < most);
      if (written < most) socket.once('drain', flood);
    };
    socket.once('data', flood);
  });
  await g.route([flooding]);
  const client = await g.dial();
  client.pause();
  client.write(GET);
  let before = -1;
  await until('the backend has to wait', async () => {
    before = written;
    await sleep(100);
    return written > 0 && written === before;
  });
  assert.ok(written < most, `${written} bytes were taken`);
  client.destroy();
  await untilIdle(g.plane);
});

test('trailers say nothing of what only heads may say', async (t) => {
  const g = await ground(t);
  let got = '';
  const answer =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\nX-Sum: 2\r\n\r\n';
  const backend = await g.tcp('a', (socket) => {
    socket.on('data', (bytes) => {
      got += bytes;
      if (/x-up: 1\r\n\r\n$/i.test(got)) socket.write(answer);
    });
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  const trailers = 'X-Forwarded-For: 6.6.6.6\r\nHost: y\r\nConnection: close\r\nX-Up: 1\r\n';
  client.write(
    `POST / HTTP/1.1\r\nHost: x\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailers}\r\n`,
  );
  await until('the answer came', () => /x-sum: 2\r\n\r\n$/i.test(text()));
  assert.match(got, /\r\n0\r\nx-up: 1\r\n\r\n$/i);
  assert.match(text(), /\r\n0\r\nx-sum: 2\r\n\r\n$/i);
  client.destroy();
  await untilIdle(g.plane);
});
