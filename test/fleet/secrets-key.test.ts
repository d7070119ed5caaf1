import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { isGantryError, messageOf } from '../../src/errors.ts';
import { keepPublished } from '../../src/fleet/secrets-key.ts';
import { publicKeyText } from '../../src/secrets/seal.ts';
import { publishedKey } from '../../src/secrets/secret-store.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { until } from '../ground/harness.ts';
import { memoryPlace } from '../secrets/ground.ts';

const { privateKey } = generateKeyPairSync('x25519');
const other = generateKeyPairSync('x25519').privateKey;

/** An agent with this key, until the test ends. */
function agent(t: TestContext, cluster: MemoryCluster, key: () => Promise<KeyObject | undefined>) {
  const ended = new AbortController();
  const place = memoryPlace('shop', cluster);
  const troubles: unknown[] = [];
  const onTrouble = (error: unknown) => void troubles.push(error);
  const running = keepPublished({ place, host: 'h1', key, now: Date.now, onTrouble }, ended.signal);
  t.after(async () => {
    ended.abort();
    await running;
  });
  return { place, troubles };
}

const soon = <T>(what: string, check: () => T | Promise<T>) => until(check, { timeoutMs: 5_000, what });

test('the first agent with a key publishes it, and one with another key tells so', async (t) => {
  const cluster = new MemoryCluster();
  const first = agent(t, cluster, async () => privateKey);
  await soon('the key to be published', () => publishedKey(first.place));
  const second = agent(t, cluster, async () => other);
  await soon('the trouble', () => second.troubles.length === 1);
  assert.ok(isGantryError(second.troubles[0], 'secrets-key'));
  assert.match(messageOf(second.troubles[0]), /not the one that secrets of shop are sealed for/);
  assert.equal(await publishedKey(first.place), publicKeyText(privateKey));
  assert.deepEqual(first.troubles, []);
});

test('an agent without a key publishes nothing and has no trouble', async (t) => {
  let asked = 0;
  const { place, troubles } = agent(t, new MemoryCluster(), async () => {
    asked++;
    return undefined;
  });
  await soon('the key to be asked for', () => asked > 0);
  assert.equal(await publishedKey(place), undefined);
  assert.deepEqual(troubles, []);
});
