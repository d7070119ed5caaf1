/**
 * `gantryd install`: units for the proxy and the agents, written, enabled and started. Safe to repeat, and the way to
 * go over to a newer version: the proxy hands over to it, and agents are restarted, which nobody outside notices.
 */
import { access, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { defaultStateDir } from '../../agent/state-path.ts';
import { codeOf, GantryError } from '../../errors.ts';
import { ProxyClient } from '../../proxy/control/client.ts';
import { PACKAGE_ROOT, VERSION } from '../../version.ts';
import { refuseName } from '../etcd.ts';
import { outputOf } from '../output.ts';
import { type InstallArguments, settingsFrom, settingsOf } from './install-options.ts';
import { type Placed, place, refuseForeign, textAt, unitPath } from './installed.ts';
import { statusIfAny } from './proxy-end.ts';
import { Systemd } from './systemd.ts';
import { agentOf, PROXY_UNIT, type Program, SETTINGS, settingIn, unitFiles, withSettings } from './units.ts';

type ProxyEnd = 'started' | 'upgraded' | 'running' | 'not touched';

export async function runInstall(given: InstallArguments): Promise<number> {
  const args = { ...given, root: given.root === undefined ? undefined : resolve(given.root) };
  for (const project of args.project) refuseName(project);
  const program = programBelow(args.root);
  if (args.print) return print(args, program);
  const systemd = new Systemd(args.root);
  await systemd.refuseUnfit();
  await refuseOdd(args, program);
  const settings = await settingsText(args);
  const files = await placeAll(args.root, settings, program);
  await systemd.reload();
  await systemd.enable([PROXY_UNIT, ...args.project.map(agentOf)]);
  const starts = args.start && args.root === undefined;
  const proxy = starts ? await bringUp(systemd, stateDirIn(settings)) : 'not touched';
  const agents = [...new Set([...args.project, ...(await systemd.agents())])].sort();
  if (starts) await systemd.act('restart', agents.map(agentOf));
  const end = { files, enabled: args.project, proxy, agents: starts ? agents : [] };
  outputOf(args).result({ kind: 'installed', ...end }, await words(args, program, end));
  return 0;
}

function print(args: InstallArguments, program: Program): number {
  const settings = settled(undefined, settingsOf(args));
  const files = [
    ...(settings === undefined ? [] : [{ path: join(args.root ?? '/', SETTINGS), text: settings }]),
    ...unitFiles(program).map(({ name, text }) => ({ path: unitPath(args.root, name), text })),
  ];
  const shown = files.map(({ path, text }) => `# ${path}\n${text}`).join('\n');
  outputOf(args).document({ files }, shown.trimEnd());
  return 0;
}

/** What runs now, as it is called in the file system below the root. */
function programBelow(root: string | undefined): Program {
  const [node, script] = [process.execPath, join(PACKAGE_ROOT, 'bin', 'gantryd.js')];
  return { node: pathBelow(root, node), script: pathBelow(root, script) };
}

function pathBelow(root: string | undefined, path: string): string {
  const below = root === undefined ? path : relative(root, path);
  return root === undefined || below.startsWith('..') ? path : `/${below}`;
}

async function refuseOdd({ root }: InstallArguments, { script }: Program): Promise<void> {
  if (root !== undefined && !(await stat(root).catch(absent))?.isDirectory()) {
    throw new GantryError('usage', `--root ${root} is no folder`, {
      hint: 'It is where the file system of the image begins.',
    });
  }
  if (script.includes('/_npx/')) {
    throw new GantryError('install-failed', `gantryd runs from a cache that npm empties: ${script}`, {
      hint: 'Install it to stay: npm install --global gantryd',
    });
  }
  for (const { name } of unitFiles({ node: '', script })) await refuseForeign(unitPath(root, name));
}

async function settingsText(args: InstallArguments): Promise<string | undefined> {
  const text = await textAt(join(args.root ?? '/', SETTINGS));
  const given = settingsOf(args);
  const known = settingIn(text ?? '', 'GANTRYD_STATE_DIR');
  const stateDir = given.GANTRYD_STATE_DIR;
  if (known !== undefined && stateDir !== undefined && known !== stateDir) {
    throw new GantryError('install-failed', `The services of this host use the state directory ${known}`, {
      hint: `With ${stateDir} they would know nothing of what runs. Leave out --state-dir and GANTRYD_STATE_DIR, or edit ${SETTINGS}.`,
    });
  }
  return settled(text, given);
}

/** What is given is set; what else the environment of this command has, where it is not set yet. */
function settled(text: string | undefined, given: Readonly<Record<string, string>>): string | undefined {
  const found = Object.entries(settingsFrom(process.env));
  const missing = found.filter(([name]) => settingIn(text ?? '', name) === undefined);
  const settings = { ...Object.fromEntries(missing), ...given };
  return Object.keys(settings).length === 0 ? text : withSettings(text, settings);
}

async function placeAll(
  root: string | undefined,
  settings: string | undefined,
  program: Program,
): Promise<readonly Placed[]> {
  const placed: Placed[] = [];
  if (settings !== undefined) placed.push(await place(join(root ?? '/', SETTINGS), settings, 0o600));
  for (const { name, text } of unitFiles(program)) {
    placed.push(await place(unitPath(root, name), text, 0o644));
  }
  return placed;
}

/** Of the services, as their settings have it. */
export function stateDirIn(settings: string | undefined): string {
  return settingIn(settings ?? '', 'GANTRYD_STATE_DIR') ?? defaultStateDir();
}

async function bringUp(systemd: Systemd, stateDir: string): Promise<ProxyEnd> {
  const proxy = new ProxyClient({ stateDir });
  const before = await statusIfAny(proxy);
  await systemd.act('start', [PROXY_UNIT]);
  const now = await statusIfAny(proxy);
  // The unit was active though its proxy had been stopped, or the proxy is of another version.
  if (now?.version !== VERSION) await systemd.act('reload', [PROXY_UNIT]);
  if (before === undefined) return 'started';
  return before.version === VERSION ? 'running' : 'upgraded';
}

async function words(
  args: InstallArguments,
  { node, script }: Program,
  end: { readonly files: readonly Placed[]; readonly proxy: ProxyEnd; readonly agents: readonly string[] },
): Promise<string> {
  const lines = end.files.map(({ path, change }) => `${path}: ${change}`);
  lines.push(`Enabled: the proxy${args.project.map((project) => `, the agent of ${project}`).join('')}`);
  if (args.root !== undefined) {
    for (const path of [node, script])
      if (!(await isThere(join(args.root, path)))) lines.push(`Missing in ${args.root}: ${path}`);
  } else if (args.start) {
    lines.push(`The proxy: ${end.proxy}`);
    lines.push(...end.agents.map((project) => `The agent of ${project}: restarted`));
    if (end.agents.length === 0) lines.push('No agent yet: gantryd install PROJECT');
  }
  return lines.join('\n');
}

export async function isThere(path: string): Promise<boolean> {
  return (await access(path).then(() => true, absent)) === true;
}

function absent(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined;
  throw error;
}
