/** `gantryd proxy status|stop`. */
import { openStateDir } from '../agent/state-dir.ts';
import { connectProxy } from '../proxy/client.ts';
import type { ProxyStatus } from '../proxy/protocol.ts';
import type { CommonArguments } from './options.ts';
import { openOutput } from './output.ts';
import { table } from './render.ts';

export async function runProxy(
  args: CommonArguments & { readonly action: 'status' | 'stop'; readonly force: boolean },
): Promise<number> {
  const output = openOutput({ json: args.json });
  const stateDir = await openStateDir(args.stateDir);
  const proxy = connectProxy(stateDir.path);
  if (args.action === 'status') {
    const status = await proxy.status();
    output.document(status, renderStatus(status));
    return 0;
  }
  await proxy.stop(args.force);
  output.document(
    { stopped: true },
    'The proxy has stopped; its ports are closed until the next command starts it again.',
  );
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
