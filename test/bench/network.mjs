/**
 * A network namespace for one benchmark command: loopback alone, settings of its own, gone with its last process.
 * New connections by the ten thousand leave as many ports in TIME_WAIT; there they may be used again at once.
 */
import { writeFileSync } from 'node:fs';
import { hasCommand } from '../ground/packages.mjs';

/** All of them belong to the namespace (ip-sysctl in the kernel's documentation). */
const SETTINGS = {
  'ipv4/ip_local_port_range': '10240 65535',
  'ipv4/tcp_tw_reuse': '1',
  'ipv4/tcp_max_tw_buckets': '256',
  'core/somaxconn': '4096',
};

/** Says inside the namespace that it is one: settings are changed nowhere else. */
const INSIDE = 'GANTRYD_BENCH_NAMESPACE';

/** The command line that runs `command` in a namespace of its own. */
export function isolated(command) {
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const script = `ip link set lo up && ${INSIDE}=1 exec "$0" "$@"`;
  return ['unshare', '--net', ...user, '--', 'sh', '-c', script, ...command];
}

/** Answers what could not be set, in words. */
export function prepareNetwork() {
  if (process.env[INSIDE] !== '1')
    return [
      'not in a network namespace of its own: rates of new connections are bound by ports in TIME_WAIT',
    ];
  return Object.entries(SETTINGS).flatMap(([name, value]) => {
    try {
      writeFileSync(`/proc/sys/net/${name}`, value);
      return [];
    } catch (error) {
      return [`net/${name} stays as it is (${error.code})`];
    }
  });
}

export function hasTaskset() {
  return hasCommand('taskset');
}
