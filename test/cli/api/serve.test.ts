import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { serveApi, serveBeside } from '../../../src/cli/api/serve.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { makeCertificates } from '../../ground/certificates.ts';
import { freePort, tempFolder, until } from '../../ground/harness.ts';

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

test('a certificate that was renewed is shown without a start anew; a pair that does not fit is told of once', async (t) => {
  const folder = await tempFolder(t);
  const [first, second] = await Promise.all([
    makeCertificates(await tempFolder(t), ['127.0.0.1']),
    makeCertificates(await tempFolder(t), ['127.0.0.1']),
  ]);
  const files = { apiCert: `${folder}/cert.pem`, apiKey: `${folder}/key.pem` };
  await copyFile(first.server.cert, files.apiCert);
  await copyFile(first.server.key, files.apiKey);
  const defects: unknown[] = [];
  const api = await serveApi(
    {
      ...{ around: aroundOf(t), args: { ...OPEN, ...files, api: '127.0.0.1:0' }, certificateMs: 20 },
      onDefect: (error) => defects.push(error),
    },
    NEVER,
  );
  t.after(() => api.close());
  const shown = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(
        Number(new URL(api.url).port),
        '127.0.0.1',
        { rejectUnauthorized: false },
        () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });
  const before = await shown();
  await copyFile(second.server.cert, files.apiCert);
  await until(() => defects.length > 0, { timeoutMs: 5_000, what: 'the pair that does not fit to be told' });
  assert.match(String(defects[0]), /cannot be used/);
  assert.equal(await shown(), before);
  await copyFile(second.server.key, files.apiKey);
  await until(async () => (await shown()) !== before, { timeoutMs: 5_000, what: 'the other certificate' });
  assert.equal(defects.length, 1);
});
