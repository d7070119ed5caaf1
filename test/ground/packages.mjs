/**
 * What the ground needs from the system: which commands are missing and the Debian packages that
 * bring them. Calls apt only when something is missing. Never removes a package, and lets no package
 * start a service of its own: the ground starts what it needs and ends it again.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const APT_TIMEOUT_MS = 600_000;
const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_MARK = '# placed by the gantryd test ground; safe to delete';

/** To run a private engine in a network of its own. */
export const ENGINE_PACKAGES = [
  { name: 'docker.io', present: () => hasCommand('dockerd') },
  { name: 'iptables', present: () => hasCommand('iptables') },
  { name: 'iproute2', present: () => hasCommand('ip') },
];

/** For a fleet. */
export const ETCD_PACKAGES = [{ name: 'etcd-server', present: () => hasCommand('etcd') }];

/** What only the tests need. */
export const TOOL_PACKAGES = [
  ...ETCD_PACKAGES,
  { name: 'busybox-static', present: () => hasCommand('busybox') && isStatic(commandPath('busybox')) },
  { name: 'docker-registry', present: () => hasCommand('docker-registry') },
  { name: 'apache2-utils', present: () => hasCommand('htpasswd') },
  { name: 'etcd-client', present: () => hasCommand('etcdctl') },
  { name: 'curl', present: () => hasCommand('curl') },
  { name: 'nftables', present: () => hasCommand('nft') },
  { name: 'conntrack', present: () => hasCommand('conntrack') },
  { name: 'openssl', present: () => hasCommand('openssl') },
];

export function isRoot() {
  return process.getuid?.() === 0;
}

/** Installs those of `packages` that are missing; throws, with what apt said, when that fails. */
export function installMissing(packages, say) {
  const missing = packages.filter((p) => !p.present()).map((p) => p.name);
  if (missing.length === 0) return;
  refuseWithoutApt(missing);
  say(`installing ${missing.join(', ')} with apt`);
  withoutServiceStart(() => {
    const first = apt(['install', ...missing]);
    if (first.status === 0) return;
    const update = apt(['update']); // warns of no network and still exits with 0
    const second = apt(['install', ...missing]);
    if (second.status !== 0)
      throw new Error(`apt-get could not install ${missing.join(', ')}:\n${update.output}${second.output}`);
  });
}

export function hasCommand(name) {
  return commandPath(name) !== undefined;
}

function commandPath(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isStatic(path) {
  return spawnSync('ldd', [path], { stdio: 'ignore' }).status !== 0;
}

function refuseWithoutApt(missing) {
  if (!isRoot()) throw new Error(`${missing.join(', ')} must be installed, and that takes root`);
  if (!hasCommand('apt-get'))
    throw new Error(`${missing.join(', ')} must be installed by hand: this system has no apt`);
}

function apt(args) {
  const options = ['-y', '-q', '--no-install-recommends', '--no-remove', '-o', 'DPkg::Lock::Timeout=120'];
  const result = spawnSync('apt-get', [...options, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' },
    encoding: 'utf8',
    timeout: APT_TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status: result.status, output: `${result.stdout}${result.stderr}${result.error ?? ''}` };
}

/** Debian's switch for it: policy-rc.d answering 101 forbids the packages to start their services. */
function withoutServiceStart(install) {
  removeOwnPolicy();
  const placed = !existsSync(POLICY);
  if (placed) writeFileSync(POLICY, `#!/bin/sh\n${POLICY_MARK}\nexit 101\n`, { mode: 0o755 });
  try {
    install();
  } finally {
    if (placed) rmSync(POLICY, { force: true });
  }
}

function removeOwnPolicy() {
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8').includes(POLICY_MARK)) rmSync(POLICY);
}
