import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Ground, ground, onBothPaths as test, untilIdle } from '../ground.ts';
import { spoilReadMemory } from '../spoiled.ts';

/** More than all sockets on the way hold, so that much of it waits. */
const BYTES = 8 * 1024 * 1024;

/** No two pieces of it are alike. */
function numbered(bytes: number, seed: number): Buffer {
  return Buffer.from(
    Uint32Array.from({ length: bytes / 4 }, (_, at) => Math.imul(at, 2_654_435_761) ^ seed).buffer,
  );
}

/** In helpings with pauses, so that it is waited for. */
async function slowly(from: NodeJS.ReadableStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  from.on('data', (part: Buffer) => {
    if (parts.push(part) % 16 !== 0) return;
    from.pause();
    setTimeout(() => from.resume(), 1);
  });
  await once(from, 'end');
  return Buffer.concat(parts);
}

/** Posts the body, chunked or with its length, and answers what came back. */
async function echoed(g: Ground, body: Buffer, chunked: boolean): Promise<Buffer> {
  const headers = chunked ? {} : { 'content-length': body.length };
  const asked = request(g.url, { method: 'POST', headers });
  asked.end(body);
  const [answer] = await once(asked, 'response');
  return await slowly(answer);
}

async function echo(t: TestContext): Promise<Ground> {
  const g = await ground(t);
  const backend = await g.http('echo', async (req, res) => {
    const body = await slowly(req);
    if (req.headers['content-length'] !== undefined) res.setHeader('content-length', body.length);
    res.end(body);
  });
  await g.route([backend]);
  return g;
}

test('bodies that wait are whole although their memory is used again', async (t) => {
  spoilReadMemory(t);
  const g = await echo(t);
  const all = [true, false, true, false].map(async (chunked, seed) => {
    const body = numbered(seed < 2 ? BYTES : 40_000, seed);
    for (let round = seed < 2 ? 0 : 20; round >= 0; round--)
      assert.ok((await echoed(g, body, chunked)).equals(body), `body ${seed}`);
  });
  await Promise.all(all);
  await untilIdle(g.plane);
});

test('a request that is sent ahead, and one in pieces, are read from memory that is used again', async (t) => {
  spoilReadMemory(t);
  const g = await echo(t);
  const client: Socket = await g.dial();
  let heard = '';
  client.setEncoding('latin1').on('data', (text: string) => {
    heard += text;
  });
  const post = (body: string) =>
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  client.write(`${post('first')}${post('second')}${post('third').slice(0, 30)}`);
  while (!heard.includes('second')) await once(client, 'data');
  client.write(post('third').slice(30));
  while (!heard.includes('third')) await once(client, 'data');
  assert.deepEqual(heard.match(/first|second|third/g), ['first', 'second', 'third']);
  client.destroy();
  await untilIdle(g.plane);
});
