/** `gantryd uninstall`: what install wrote and enabled goes again. The proxy and all containers stay. */
import { join } from 'node:path';
import { refuseName } from './etcd.ts';
import type { UninstallArguments } from './install-options.ts';
import { removeOurs, textAt, unitPath } from './installed.ts';
import { outputOf } from './output.ts';
import { Systemd } from './systemd.ts';
import { AGENT_UNIT, agentOf, isOurs, PROXY_UNIT, SETTINGS } from './units.ts';

export async function runUninstall(args: UninstallArguments): Promise<number> {
  for (const project of args.project) refuseName(project);
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
  outputOf(args).result(
    { kind: 'uninstalled', agents, removed },
    lines.length === 0 ? 'Nothing of it is installed.' : lines.join('\n'),
  );
  return 0;
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
  return [
    ...((await textAt(settings)) === undefined ? [] : [`${settings} stays: it is yours to remove`]),
    ...(root === undefined
      ? [
          'A proxy that runs goes on serving; gantryd proxy stop --purge ends it, when it is idle, and takes its rules out of the kernel',
        ]
      : []),
  ];
}
