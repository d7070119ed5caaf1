/** `gantryd drains` and `drains cut`: what holds the containers of this host, and how one is freed on purpose. */
import { openStateDir } from '../../agent/state-dir.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import { duration } from '../../fleet/reports/why.ts';
import { ProxyClient } from '../../proxy/control/client.ts';
import type { BackendReport, CutRequest, HoldReport } from '../../proxy/control/protocol.ts';
import { type Output, outputOf } from '../output.ts';
import { table } from '../render.ts';
import type { DrainsArguments } from './drains-options.ts';

export async function runDrains(args: DrainsArguments): Promise<number> {
  const output = outputOf(args);
  const { path } = await openStateDir(args.stateDir);
  const proxy = new ProxyClient({ stateDir: path });
  if (args.action === 'cut') await cut(proxy, args, output);
  else await list(proxy, path, args, output);
  return 0;
}

async function list(
  proxy: ProxyClient,
  stateDir: string,
  args: DrainsArguments,
  output: Output,
): Promise<void> {
  const all = await holdsIfAny(proxy, args.project);
  if (all === undefined)
    return void output.document({ running: false, holds: [] }, `No proxy runs for ${stateDir}`);
  const isMeant = ({ component }: HoldReport) =>
    args.component.length === 0 || args.component.includes(component);
  const holds = all.filter((hold) => isMeant(hold) && (args.all || !hold.routed));
  output.document({ running: true, holds }, renderHolds(holds, args.all));
}

async function holdsIfAny(proxy: ProxyClient, project?: string): Promise<HoldReport[] | undefined> {
  try {
    return await proxy.holds(project);
  } catch (error) {
    if (isGantryError(error, 'proxy-unreachable')) return undefined;
    throw error;
  }
}

async function cut(proxy: ProxyClient, args: DrainsArguments, output: Output): Promise<void> {
  const { container = '', project, client, idle, force } = args;
  const { backends } = await proxy.status(project);
  const { owner, component, id, routed } = theOne(backends, container);
  if (routed && !force)
    throw new GantryError(
      'usage',
      `Container ${short(id)} of ${component} serves: it would get new clients at once`,
      {
        hint: '--force cuts what it has now nevertheless. To replace it, update the component.',
      },
    );
  const request: CutRequest = {
    ...{ owner, backend: id },
    ...(client === undefined ? {} : { client }),
    ...(idle === undefined ? {} : { idleMs: idle }),
  };
  const answer = await proxy.cut(request);
  const words = `Cut ${answer.cut === 1 ? '1 connection' : `${answer.cut} connections`} of container ${short(id)} (${owner}/${component})`;
  output.document({ project: owner, component, container: id, ...answer }, words);
}

/** A container may stand behind several components of its project. */
function theOne(backends: readonly BackendReport[], prefix: string): BackendReport {
  const found = backends.filter(({ id }) => id.startsWith(prefix));
  const [first] = found;
  if (first === undefined)
    throw new GantryError('usage', `The proxy carries nothing for a container ${JSON.stringify(prefix)}`, {
      hint: '`gantryd drains --all` lists what it carries.',
    });
  const others = new Set(found.map(({ owner, id }) => `${owner}/${short(id)}`));
  if (others.size > 1)
    throw new GantryError('usage', `${JSON.stringify(prefix)} may be any of ${[...others].join(', ')}`, {
      hint: 'Give more of its id, or --project.',
    });
  return found.find(({ routed }) => routed) ?? first;
}

export function renderHolds(holds: readonly HoldReport[], all: boolean): string {
  if (holds.length === 0)
    return all ? 'Nothing holds any container.' : 'Nothing holds a container that is to leave.';
  const rows = holds.map((hold) => [
    `${hold.owner}/${hold.component}`,
    short(hold.backend),
    ...(all ? [hold.routed ? 'serving' : 'draining'] : []),
    hold.client,
    hold.kind,
    duration(hold.ageMs),
    size(hold.bytes),
    duration(hold.idleMs),
    hold.pid === 0 ? 'kernel' : String(hold.pid),
  ]);
  const status = all ? ['STATUS'] : [];
  const head = ['COMPONENT', 'CONTAINER ID', ...status, 'CLIENT', 'KIND', 'AGE', 'BYTES', 'IDLE', 'PROCESS'];
  return table(head, rows);
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function short(id: string): string {
  return id.slice(0, 12);
}
