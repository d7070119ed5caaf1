/** `gantryd api`: the HTTP API without an agent, from etcd alone. */
import { keys } from '../../cluster/keys.ts';
import { openMetrics } from '../../metrics/open.ts';
import { openFleetStore, prefixOf } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { openOutput } from '../output.ts';
import type { ApiArguments } from './command.ts';
import { serveApi, troubleWith, untilAborted } from './serve.ts';

export async function runApi(args: ApiArguments): Promise<number> {
  const output = openOutput({ json: args.json, level: args.logLevel });
  const prefix = prefixOf(args);
  const metrics = await openMetrics();
  const store = await openFleetStore(args, metrics);
  const around = { store, keys: keys(prefix), now: Date.now, metrics };
  const onDefect = (error: unknown) => output.event(troubleWith(error));
  try {
    await interruptible(async (signal) => {
      const api = await serveApi({ around, args, onDefect }, signal);
      output.document({ kind: 'api', url: api.url, open: args.apiOpen }, `API at ${api.url}`);
      await untilAborted(signal);
      await api.close();
    });
    return 0;
  } finally {
    output.end();
    await store.close();
  }
}
