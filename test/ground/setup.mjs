/**
 * The ground that tests, quickstart and benchmark stand on: a Docker engine and where to reach it.
 * Uses an engine that answers and leaves it as it is; starts a private one (as root) when none does, and
 * installs what that takes. Plain JavaScript and Node alone: it runs before anything is installed or built.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { startEngine, UNSET } from './dockerd.mjs';
import { answers } from './foreign-engine.mjs';
import {
  GROUND_VARIABLE,
  openFolder,
  recordForeignEngine,
  removeGround,
  removeLeftovers,
  TEMP,
} from './leftovers.mjs';
import { ENGINE_PACKAGES, installMissing, isRoot, TOOL_PACKAGES } from './packages.mjs';

const DEFAULT_ADDRESS = 'unix:///var/run/docker.sock';
/**
 * Whoever is given it reads and checks all certificates of the machine at its start, which takes a process of Node three
 * times as long as all the rest of it. What stands on a ground calls nobody outside; what is installed before may.
 */
export const QUICK_START = { NODE_EXTRA_CA_CERTS: undefined };
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Answers `{address, own, env, enter, close}`. `own`: the engine was started here. `env`: for the processes that
 * use the ground. `enter(command)`: the command line that runs inside the ground's network. `close()`, once: ends
 * every process of the ground and removes what they made, also from an engine that stays. Throws without an
 * engine and the rights to start one. `tests`: brings also what only the tests need, and heeds
 * GANTRYD_TEST_NO_ENGINE=1, with which `address` is undefined.
 */
export async function ensureEngine({ tests = false, say = tell } = {}) {
  const removed = await removeLeftovers();
  if (removed > 0) say(`removed what ${removed} killed run(s) had left behind`);
  const folder = openFolder();
  try {
    const engine = await findOrStart(folder, tests, say);
    return ground(folder, engine);
  } catch (error) {
    await removeGround(folder);
    throw error;
  }
}

/** The same with a private engine of its own, whatever engines there are, and nothing installed: for a second one beside a first. */
export async function anotherGround() {
  const folder = openFolder();
  try {
    return ground(folder, { own: true, ...(await startEngine(folder)) });
  } catch (error) {
    await removeGround(folder);
    throw error;
  }
}

/** Runs one command in a ground. `stop`: from stopRequest. */
export function runInside(made, command, { stop } = {}) {
  const [file, ...args] = made.enter(command);
  return runCommand(file, args, { stop, env: { ...process.env, ...made.env } });
}

/** Answers the exit code; 128 + n when it ended by signal n or a stop was asked for. */
export function runCommand(file, args, { stop, env = process.env } = {}) {
  if (stop?.code !== undefined) return Promise.resolve(stop.code);
  const child = spawn(file, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  const forward = (name) => child.kill(name);
  stop?.listeners.add(forward);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(stop?.code ?? code ?? 1));
  }).finally(() => stop?.listeners.delete(forward));
}

/**
 * From now on Ctrl-C and SIGTERM end the running command only, so that the ground can be taken down after it.
 * The second one kills the command.
 */
export function stopRequest() {
  const stop = { code: undefined, listeners: new Set() };
  const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
  process.stdout.on('error', () => {}); // `npm test | head`: a closed pipe must not skip the clean-up
  for (const name of STOP_SIGNALS)
    process.on(name, () => {
      const sent = stop.code === undefined ? name : 'SIGKILL';
      stop.code ??= codes[name];
      for (const listener of stop.listeners) listener(sent);
    });
  return stop;
}

async function findOrStart(folder, tests, say) {
  if (tests && process.env.GANTRYD_TEST_NO_ENGINE === '1') {
    say('GANTRYD_TEST_NO_ENGINE=1: every test that needs a Docker engine is SKIPPED');
    return { own: false };
  }
  const places = [...new Set([process.env.DOCKER_HOST || DEFAULT_ADDRESS, DEFAULT_ADDRESS])];
  const found = await firstAnswering(places);
  if (found === undefined && !isRoot()) throw new Error(noEngine(places, tests));
  const starts = found === undefined || (tests && isRoot()); // hosts.mjs starts engines beside one that was there
  installMissing([...(starts ? ENGINE_PACKAGES : []), ...(tests ? TOOL_PACKAGES : [])], say);
  if (found) {
    recordForeignEngine(folder, found);
    say(`using the Docker engine at ${found}`);
    return { own: false, address: found };
  }
  const started = await startEngine(folder);
  say(`no Docker engine at ${places.join(' or ')}: started a private one at ${started.address}`);
  return { own: true, ...started };
}

async function firstAnswering(places) {
  for (const place of places) if (await answers(place)) return place;
  return undefined;
}

function noEngine(places, tests) {
  return [
    `No Docker engine answers at ${places.join(' or ')}, and starting one takes root.`,
    'Start Docker, point DOCKER_HOST to an engine, or run this as root.',
    ...(tests ? ['GANTRYD_TEST_NO_ENGINE=1 runs only the tests that need none.'] : []),
  ].join('\n');
}

function ground(folder, { address, own, pid }) {
  const engine =
    address === undefined ? {} : { ...UNSET, DOCKER_HOST: address, GANTRYD_TEST_DOCKER: address };
  let closing;
  return {
    address,
    own,
    env: { TMPDIR: join(folder, TEMP), [GROUND_VARIABLE]: folder, ...QUICK_START, ...engine },
    enter: (command) => (own ? ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...command] : command),
    close() {
      closing ??= removeGround(folder);
      return closing;
    },
  };
}

function tell(line) {
  console.log(`ground: ${line}`);
}
