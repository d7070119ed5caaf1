/** `gantryd proxy status|stop`. */

import { openStateDir } from '../agent/state-dir.ts';
import { isGantryError } from '../errors.ts';
import { ProxyClient } from '../proxy/client.ts';
import type { ProxyStatus } from '../proxy/protocol.ts';
import type { CommonArguments } from './options.ts';
import { openOutput } from './output.ts';
import { table } from './render.ts';

export async function runProxy(
  args: CommonArguments & { readonly action: 'status' | 'stop'; readonly force: boolean },
): Promise<number> {
  const output = openOutput({ json: args.json });
  const stateDir = await openStateDir(args.stateDir);
  const proxy = new ProxyClient({ stateDir: stateDir.path });
  try {
    if (args.action === 'status') {
      const status = await proxy.status();
      output.document({ running: true, ...status }, renderStatus(status));
    } else {
      await proxy.stop(args.force);
      output.document(
        { running: false },
        'The proxy has stopped; its ports are closed until a command starts it again.',
      );
    }
  } catch (error) {
    if (!isGantryError(error, 'proxy-unreachable')) throw error;
    output.document({ running: false }, `No proxy runs for ${stateDir.path}`);
  }
  return 0;
}

function renderStatus(status: ProxyStatus): string {
  const listeners = status.listeners.map((l) => [
    `${l.address}:${l.port}`,
    l.kind,
    `${l.owner}/${l.component}`,
    String(l.connections),
  ]);
  const backends = status.backends.map((b) => [
    b.id.slice(0, 12),
    `${b.owner}/${b.component}`,
    b.routed ? 'serving' : 'draining',
    String(b.open),
    `${Math.round(b.oldestMs / 1000)} s`,
  ]);
  return [
    `proxy ${status.version}, pid ${status.pid}, since ${status.startedAt}`,
    ...(status.persistError === undefined ? [] : [`Its tables are not on disk: ${status.persistError}`]),
    '',
    table(['LISTENER', 'KIND', 'COMPONENT', 'CLIENTS'], listeners),
    '',
    table(['CONTAINER ID', 'COMPONENT', 'STATUS', 'CONNECTIONS', 'OLDEST'], backends),
  ].join('\n');
}
