/** A head may come in pieces, and its body in others: nothing of the head may be taken for the body. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ground, heard, onBothPaths as test, until, untilIdle } from '../ground.ts';

const ASKED = 'what is asked';
const REQUEST = ['POST / HTTP/1.1\r\nHost: x\r\nConte', 'nt-Length: 13\r\n\r\n', 'what is', ' asked'];
const SIZED = ['HTTP/1.1 200 OK\r\nConte', 'nt-Length: 16\r\n\r\nwhat', ' is', ' answered'];
const CHUNKS = ['4\r\nwhat\r\n', 'c\r\n is answ', 'ered\r\n0\r\n\r\n'];
const CHUNKED = ['HTTP/1.1 200 OK\r\nTransfer-', 'Encoding: chunked\r\n\r\n', ...CHUNKS];

/** With pauses, so that each is read on its own. */
async function send(to: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    to.write(piece);
    await sleep(20);
  }
}

for (const [what, answer] of [
  ['sized', SIZED],
  ['chunked', CHUNKED],
] as const)
  test(`a request and its ${what} answer are as they were when their heads come in pieces`, async (t) => {
    const g = await ground(t);
    let asked = '';
    const backend = await g.tcp('a', (socket) => {
      socket.setEncoding('latin1').on('data', (part: string) => {
        asked += part;
        if (asked.endsWith(' asked')) void send(socket, answer);
      });
    });
    await g.route([backend]);
    const client = await g.dial();
    const { text } = heard(client);
    await send(client, REQUEST);
    await until('it is answered', () => /(is answered|\r\n0\r\n\r\n)$/.test(text()));
    assert.equal(asked.slice(asked.indexOf('\r\n\r\n') + 4), ASKED);
    const [, body = ''] = text().split(/\r\n\r\n(.*)/s);
    assert.equal(body.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '').trimEnd(), 'what is answered');
    client.destroy();
    await untilIdle(g.plane);
  });
