/**
 * A private Docker engine inside a ground's folder, in a network namespace of its own: its bridge and its
 * packet filter rules are not this machine's, so no foreign engine is disturbed and nothing of them stays.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { answers } from './foreign-engine.mjs';
import { GROUND_VARIABLE, recordOwnEngine } from './leftovers.mjs';

const START_MS = 60_000;
const LOG_TAIL_LINES = 25;
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What the caller has set for another engine is not meant for this one, nor for its clients. */
export const UNSET = { DOCKER_TLS_VERIFY: undefined, DOCKER_CERT_PATH: undefined, DOCKER_CONTEXT: undefined };

/**
 * Engines of tests make thousands of containers that live for seconds, and a seventh of a processor's work for each is
 * filters of system calls, which gantryd knows nothing of, and garbage of programs that have ended by then.
 */
export const FRUGAL = {
  settings: { 'seccomp-profile': fileURLToPath(new URL('seccomp.json', import.meta.url)) },
  env: { GOGC: '400' },
};

/** Starts the engine and waits until it answers; it is ended by removing the ground. */
export async function startEngine(folder) {
  const engine = join(folder, 'engine');
  mkdirSync(engine);
  const address = `unix://${join(engine, 'docker.sock')}`;
  const child = spawnDetached(folder, engine, address);
  recordOwnEngine(folder, child.pid);
  await answering(child, address, join(engine, 'log'));
  return { address, pid: child.pid };
}

function spawnDetached(folder, engine, address) {
  writeFileSync(join(engine, 'daemon.json'), JSON.stringify(FRUGAL.settings));
  const log = openSync(join(engine, 'log'), 'a');
  const own = 'ip link set lo up && exec "$0" "$@"';
  const args = ['--net', '--', 'sh', '-c', own, 'dockerd', ...flags(folder, engine, address)];
  const path = `${process.env.PATH}:${SYSTEM_PATH}`;
  const env = { ...process.env, ...UNSET, ...FRUGAL.env, PATH: path, [GROUND_VARIABLE]: folder };
  // A session of its own: Ctrl-C on the terminal must not reach it before the containers are gone.
  const child = spawn('unshare', args, { detached: true, stdio: ['ignore', log, log], env });
  closeSync(log);
  child.unref();
  return child;
}

/** Every place of its own, and none of the machine's settings: --config-file keeps /etc/docker out. */
function flags(folder, engine, address) {
  return [
    ...['--config-file', join(engine, 'daemon.json')],
    ...['--data-root', join(engine, 'data'), '--exec-root', join(engine, 'exec')],
    ...['--pidfile', join(engine, 'pid'), '--host', address],
    ...['--containerd-namespace', basename(folder)],
    ...['--containerd-plugins-namespace', `${basename(folder)}-plugins`],
  ];
}

/** Until the engine at `address`, held by `child`, answers; throws with the end of its log when it does not. */
export async function answering(child, address, logFile) {
  const failed = new Promise((_, reject) => child.once('error', reject));
  for (const end = Date.now() + START_MS; Date.now() < end; ) {
    if (await Promise.race([answers(address), failed])) return;
    if (child.exitCode !== null) break;
    await Promise.race([delay(100), failed]);
  }
  const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  throw new Error(`the private Docker engine did not start; the end of its log:\n${tail}`);
}
