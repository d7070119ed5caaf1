import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { serveApi, serveBeside } from '../../src/cli/api-serve.ts';
import { keys } from '../../src/cluster/keys.ts';
import type { AgentEvent } from '../../src/events.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';
import { freePort, until } from '../ground/harness.ts';

const NEVER = new AbortController().signal;
const OPEN = { apiOpen: true, apiCert: undefined, apiKey: undefined };

function aroundOf(t: TestContext) {
  const store = new MemoryStore(new MemoryCluster());
  t.after(() => store.close());
  return { store, keys: keys(), now: Date.now };
}

describe('the API beside an agent', () => {
  test('whose port is taken is told of once, and served when it is free', async (t) => {
    const port = await freePort();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const events: AgentEvent[] = [];
    const urls: string[] = [];
    const ended = new AbortController();
    const serving = serveBeside(
      {
        ...{ around: aroundOf(t), args: { ...OPEN, api: `127.0.0.1:${port}` }, retryMs: 20 },
        emit: (event) => events.push(event),
        onServing: (url) => urls.push(url),
      },
      ended.signal,
    );
    await until(() => events.length > 0, { timeoutMs: 5_000, what: 'the trouble to be told' });
    await new Promise((resolve) => other.close(resolve));
    await until(() => urls.length > 0, { timeoutMs: 5_000, what: 'the API to be served' });
    assert.deepEqual(urls, [`http://127.0.0.1:${port}`]);
    assert.equal((await fetch(`http://127.0.0.1:${port}/v1/projects`)).status, 200);
    const [trouble, ...more] = events;
    assert.ok(trouble?.kind === 'trouble' && trouble.code === 'port-taken' && more.length === 0);
    assert.match(trouble.hint ?? '', /--api/);
    ended.abort();
    await serving;
    await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
  });

  test('is refused where its options do not fit', async (t) => {
    const serve = (args: object) =>
      serveApi(
        { around: aroundOf(t), args: { ...OPEN, api: '127.0.0.1:0', ...args }, onDefect: () => {} },
        NEVER,
      );
    await assert.rejects(serve({ api: '0.0.0.0:0' }), { code: 'usage' });
    await assert.rejects(
      serve({ apiCert: '/nowhere/cert', apiKey: '/nowhere/key' }),
      /\/nowhere\/cert cannot be read/,
    );
    const api = await serve({ apiOpen: false });
    assert.equal((await fetch(`${api.url}/v1/projects`)).status, 401);
    await api.close();
  });
});
