/**
 * A process for the tests of the file store: FOLDER DEED. `count N`: adds 1 to the key `/n` so many times, each by
 * compare and retry. `hold`: puts `/held` under a lease and stays. `write`: commits on and on, telling each revision.
 */
import { openFileStore } from '../../../src/cluster/file/file-store.ts';
import { until } from '../../ground/harness.ts';

const [folder = '', deed = '', times = '0'] = process.argv.slice(2);
const store = openFileStore(folder);

if (deed === 'count') {
  for (let done = 0; done < Number(times); ) if (await added()) done += 1;
  await store.close();
}
if (deed === 'hold') {
  const session = store.session({ ttlMs: 60_000, onChange: () => {} });
  const lease = await until(() => session.lease(), { timeoutMs: 5000, what: 'the session is held' });
  await store.commit([], [{ kind: 'put', key: '/held', value: '1', lease }]);
  say('held');
  setInterval(() => {}, 60_000);
}
if (deed === 'write') {
  const value = 'x'.repeat(50_000);
  for (;;) {
    const { revision } = await store.commit([], [{ kind: 'put', key: '/w', value }]);
    say(`${revision}`);
  }
}

async function added(): Promise<boolean> {
  const entry = await store.get('/n');
  const value = String(Number(entry?.value ?? 0) + 1);
  const condition = { key: '/n', modRevision: entry?.modRevision ?? 0 };
  return (await store.commit([condition], [{ kind: 'put', key: '/n', value }])).done;
}

function say(words: string): void {
  process.stdout.write(`${words}\n`);
}
