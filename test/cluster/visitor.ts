/**
 * A program that uses a store as a short command does, and ends by itself: its argument is a JSON of the store's
 * options with PEM files as paths, and `waitMs` until it closes whatever has come of it.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import { ALL, TTL_MS } from './setting.ts';

const { waitMs, ca, ...options } = JSON.parse(process.argv[2] ?? '{}');
const store = openStore({ ...options, ...(ca === undefined ? {} : { ca: readFileSync(ca) }) });
const mirror = store.follow({ range: ALL, onChange: () => {} });
const session = store.session({ ttlMs: TTL_MS, onChange: () => {} });
const asked = await Promise.allSettled([
  store.get('/t/a'),
  store.commit([], [{ kind: 'put', key: '/t/a', value: '1' }]),
]);
await delay(waitMs);
const unanswered = store.list(ALL).catch((error) => error.code);
const seen = {
  asked: asked.map(({ status }) => status),
  current: mirror.current,
  held: session.heldForMs() > 0,
};
await store.close();
await unanswered;
console.log(JSON.stringify(seen));
const since = performance.now();
process.on('exit', () => console.log(`ended ${Math.round(performance.now() - since)} ms after close`));
