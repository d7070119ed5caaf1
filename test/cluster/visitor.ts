/**
 * A program that uses a store as a short command does, and ends by itself: its argument is a JSON of the store's
 * options with PEM files as paths, and what has come of it when it closes: `closes` when all went `well`, or when etcd is
 * `away` again after that, which it writes down in between; else after `waitMs`.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import { ALL, soon, TTL_MS } from './setting.ts';

const { closes, waitMs, ca, ...options } = JSON.parse(process.argv[2] ?? '{}');
const store = openStore({ ...options, ...(ca === undefined ? {} : { ca: readFileSync(ca) }) });
const mirror = store.follow({ range: ALL, onChange: () => {} });
const session = store.session({ ttlMs: TTL_MS, onChange: () => {} });
const asked = await Promise.allSettled([
  store.get('/t/a'),
  store.commit([], [{ kind: 'put', key: '/t/a', value: '1' }]),
]);
if (closes !== undefined) await soon('all to go well', () => mirror.current && session.heldForMs() > 0);
if (closes === 'away') {
  await store.commit([], [{ kind: 'put', key: '/t/well', value: '1' }]);
  await soon('etcd to be away', () => !mirror.current);
}
await delay(waitMs ?? 0);
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
