import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type Posted, post } from '../../src/checks/webhook.ts';
import { until } from '../ground/harness.ts';

const NEVER = new AbortController().signal;

async function answering(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=hush`;
}

function posted(url: string, signal = NEVER): Promise<Posted> {
  return post({ url, body: '{}', event: 'rollback', delivery: 'one', secret: undefined }, signal);
}

describe('A webhook', () => {
  test('is judged by the status alone', async (t) => {
    const cases = [
      [204, undefined],
      [301, 'once'],
      [404, 'once'],
      [410, 'once'],
      [408, 'again'],
      [429, 'again'],
      [500, 'again'],
      [503, 'again'],
    ] as const;
    for (const [status, expected] of cases) {
      const url = await answering(t, (_, response) => response.writeHead(status, { location: '/x' }).end());
      const result = await posted(url);
      const seen = result.ok ? undefined : result.again ? 'again' : 'once';
      assert.deepEqual([status, seen], [status, expected]);
    }
  });

  test('is told when the head has come, whatever becomes of the body', async (t) => {
    const url = await answering(t, (_, response) => void response.writeHead(200).write('and so on'));
    assert.deepEqual(await posted(url), { ok: true });
  });

  test('ends at once when it is given up, also one that is never answered', async (t) => {
    const asked = { count: 0 };
    const url = await answering(t, () => void asked.count++);
    const ended = new AbortController();
    const result = posted(url, ended.signal);
    await until(() => asked.count === 1, { timeoutMs: 5_000, what: 'the request' });
    ended.abort();
    assert.deepEqual(await result, { ok: false, again: true, why: 'it was given up' });
  });

  test('tells no more of an address than that it cannot be reached', async (t) => {
    const url = await answering(t, (request) => request.socket.destroy());
    const result = await posted(url);
    assert.ok(!result.ok && result.again);
    assert.match(result.why, /^it could not be reached/);
    assert.ok(!result.why.includes('hush'));
  });
});
