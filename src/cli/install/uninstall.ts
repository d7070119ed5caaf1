/**
 * `gantryd uninstall`: what install wrote and enabled goes again. A proxy that runs serves on, with its rules in the kernel; where
 * none runs nobody would look after the rules, and they go. `--purge` ends the proxy too. All containers stay.
 */
import { join } from 'node:path';
import { GantryError, isGantryError } from '../../errors.ts';
import { ProxyClient } from '../../proxy/control/client.ts';
import { refuseName } from '../etcd.ts';
import { outputOf } from '../output.ts';
import { isThere as isOnDisk, stateDirIn } from './install.ts';
import type { UninstallArguments } from './install-options.ts';
import { removeOurs, textAt, unitPath } from './installed.ts';
import { endProxy, purgeKernel, statusOfAny } from './proxy-end.ts';
import { Systemd } from './systemd.ts';
import { AGENT_UNIT, agentOf, isOurs, PROXY_UNIT, SETTINGS } from './units.ts';

/** `absent`: none ran; `running`: it serves on, with its rules in the kernel. Only the last leaves any there. */
type ProxyEnd = 'not touched' | 'absent' | 'stopped' | 'running';

const WORDS: Readonly<Record<ProxyEnd, readonly string[]>> = {
  'not touched': [],
  absent: ['No proxy runs; the kernel has no rules of it'],
  stopped: ['The proxy has stopped; the kernel has no rules of it'],
  running: [
    'The proxy goes on serving; gantryd proxy stop --purge ends it, when it is idle, and takes its rules out of the kernel',
  ],
};

export async function runUninstall(args: UninstallArguments): Promise<number> {
  refuseOdd(args);
  const systemd = new Systemd(args.root);
  await systemd.refuseUnfit();
  const isThere = async (unit: string) => isOurs((await textAt(unitPath(args.root, unit))) ?? '');
  const agents = (await isThere(AGENT_UNIT)) ? await agentsOf(args, systemd) : [];
  await systemd.disable(agents.map(agentOf));
  if (args.root === undefined) await systemd.act('stop', agents.map(agentOf));
  const removed = args.project.length > 0 ? [] : await removeUnits(args, systemd, await isThere(PROXY_UNIT));
  await systemd.reload();
  const end = args.root === undefined ? 'ended, its containers serve on' : 'disabled';
  const lines = [
    ...agents.map((project) => `The agent of ${project}: ${end}`),
    ...removed.map((path) => `${path}: removed`),
  ];
  if (removed.length > 0) lines.push(...(await whatStays(args)));
  const proxy = args.root === undefined && args.project.length === 0 ? await endProxyOf(args) : 'not touched';
  lines.push(...WORDS[proxy]);
  outputOf(args).result(
    { kind: 'uninstalled', agents, removed, proxy },
    lines.length === 0 ? 'Nothing of it is installed.' : lines.join('\n'),
  );
  return 0;
}

function refuseOdd({ project, root, purge }: UninstallArguments): void {
  for (const name of project) refuseName(name);
  if (!purge || (root === undefined && project.length === 0)) return;
  throw new GantryError('usage', '--purge ends the proxy of this host, which serves all projects', {
    hint: 'Leave out --root and the projects: gantryd uninstall --purge',
  });
}

async function endProxyOf({ purge, stateDir }: UninstallArguments): Promise<ProxyEnd> {
  const place = stateDir ?? stateDirIn(await textAt(join('/', SETTINGS)));
  if (!(await isOnDisk(place))) return 'absent'; // none ever ran
  const status = await statusOfAny(new ProxyClient({ stateDir: place }), place);
  if (status === undefined) await purgeKernel(place);
  if (status === undefined) return 'absent';
  if (!purge) return 'running';
  await endProxy(place, status, { force: false, purge }).catch((error) => {
    throw isGantryError(error, 'proxy-failed') ? stillThere(error) : error;
  });
  return 'stopped';
}

function stillThere(cause: GantryError): GantryError {
  return new GantryError('proxy-failed', `What install wrote is gone, but ${cause.message}`, {
    hint: 'Run this again when it carries nothing, or cut what it carries: gantryd proxy stop --purge --force',
    cause,
  });
}

async function agentsOf(args: UninstallArguments, systemd: Systemd): Promise<readonly string[]> {
  const known = await systemd.agents();
  return args.project.length === 0 ? known : known.filter((project) => args.project.includes(project));
}

async function removeUnits(
  { root }: UninstallArguments,
  systemd: Systemd,
  hasProxy: boolean,
): Promise<readonly string[]> {
  if (hasProxy) await systemd.disable([PROXY_UNIT]);
  const removed: string[] = [];
  for (const unit of [PROXY_UNIT, AGENT_UNIT]) {
    const path = unitPath(root, unit);
    if (await removeOurs(path)) removed.push(path);
  }
  return removed;
}

async function whatStays({ root }: UninstallArguments): Promise<readonly string[]> {
  const settings = join(root ?? '/', SETTINGS);
  return (await textAt(settings)) === undefined ? [] : [`${settings} stays: it is yours to remove`];
}
