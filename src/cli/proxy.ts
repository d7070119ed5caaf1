/** `gantryd proxy status|metrics|start|upgrade|stop`. */
import { placeOf } from '../agent/planes.ts';
import { openStateDir } from '../agent/state-dir.ts';
import type { GantryError } from '../errors.ts';
import { proxyText } from '../metrics/proxy-text.ts';
import { ProxyClient } from '../proxy/control/client.ts';
import type { ProxyMetrics, ProxyStatus } from '../proxy/control/protocol.ts';
import { ensureProxy, type ProxyIdentity, upgradeProxy } from '../proxy/generations/launch.ts';
import { bringHome } from './install/own-unit.ts';
import { endProxy, purgeKernel, statusOfAny } from './install/proxy-end.ts';
import type { CommonArguments } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { renderProxy } from './render.ts';

export async function runProxy(
  args: CommonArguments & {
    readonly action: 'status' | 'metrics' | 'start' | 'upgrade' | 'stop';
    readonly force: boolean;
    readonly purge: boolean;
    /** Seconds. */
    readonly within: number | undefined;
  },
): Promise<number> {
  const output = openOutput({ json: args.json, level: args.logLevel });
  const stateDir = await openStateDir(args.stateDir);
  const proxy = new ProxyClient({ stateDir: stateDir.path });
  const status = await statusOfAny(proxy, stateDir.path);
  if (args.action === 'metrics') {
    await printMetrics(output, status === undefined ? undefined : await proxy.metrics());
  } else if (args.action === 'upgrade' && status !== undefined) {
    const { was, now } = await upgradeProxy({ stateDir: stateDir.path });
    const words = `The proxy is now ${named(now)}, in place of ${named(was)}, which ends with its last client.`;
    output.document({ running: true, was, now }, words);
  } else if (args.action === 'start' || args.action === 'upgrade') {
    const running = await (await ensureProxy({ stateDir: stateDir.path })).status();
    output.document({ running: true, ...running }, renderProxy(running));
  } else if (status === undefined) {
    const purged = args.action === 'stop' && args.purge;
    if (purged) await purgeKernel(stateDir.path);
    const words = `No proxy runs for ${stateDir.path}${purged ? '; the kernel has no rules of it' : ''}`;
    output.document({ running: false, ...(purged ? { purged } : {}) }, words);
  } else if (args.action === 'status') {
    output.document({ running: true, ...status }, renderProxy(status));
  } else {
    const left = await endProxy(stateDir.path, status, args);
    output.document({ running: false, stopped: status.pid }, stoppedWords(left));
  }
  if (args.action === 'start' || args.action === 'upgrade') {
    // It serves all the same.
    await bringHome(stateDir.path).catch((error: GantryError) => output.error(error));
  }
  return 0;
}

/** As Prometheus reads it, for the textfile collector of a host without an agent. */
async function printMetrics(output: Output, metrics: ProxyMetrics | undefined): Promise<void> {
  const words = (await proxyText(metrics)).trimEnd();
  output.document(metrics === undefined ? { running: false } : { running: true, ...metrics }, words);
}

function named({ version, pid }: ProxyIdentity): string {
  return `${version} (process ${pid})`;
}

function stoppedWords(led: ProxyStatus['listeners']): string {
  const stopped = 'The proxy has stopped; its ports are closed until a command starts it again.';
  if (led.length === 0) return stopped;
  return `${stopped}
The kernel leads ${led.map(placeOf).join(', ')} on, and nobody watches it: with --purge it would not.`;
}
