/** An engine behind TLS that demands a client certificate, as `dockerd --tlsverify`. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openEngine } from '../../src/docker/dockerode.ts';
import { ENGINE_CERTIFICATE, ENGINE_KEY } from './certificate.ts';
import { fails } from './contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'gantryd-tls-'));
const tls = { cert: ENGINE_CERTIFICATE, key: ENGINE_KEY, ca: ENGINE_CERTIFICATE };
const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (_request, response) => {
  response.end(JSON.stringify({ Version: 'x', ApiVersion: '1.44' }));
});
let address = '';

before(async () => {
  for (const [name, text] of Object.entries(tls)) writeFileSync(join(folder, `${name}.pem`), text);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});

async function withEnvironment(values: Record<string, string>, body: () => Promise<void>): Promise<void> {
  const before = { ...process.env };
  Object.assign(process.env, values);
  try {
    await body();
  } finally {
    for (const key of Object.keys(values)) {
      if (before[key] === undefined) delete process.env[key];
      else process.env[key] = before[key];
    }
  }
}

test('DOCKER_TLS_VERIFY and DOCKER_CERT_PATH open the engine', async () => {
  await withEnvironment({ DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder }, async () => {
    const engine = openEngine({ address });
    try {
      assert.deepEqual(await engine.info(), { version: 'x', apiVersion: '1.44', address });
    } finally {
      engine.close();
    }
  });
});

test('without them it does not answer, and the call ends', async () => {
  for (const each of [address, address.replace('tcp:', 'https:')]) {
    const engine = openEngine({ address: each });
    try {
      await fails(engine.info(), 'engine-unreachable');
    } finally {
      engine.close();
    }
  }
});
