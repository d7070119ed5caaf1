/**
 * A ground is one folder. Everything a run makes lives in it, and every process it starts names the folder in
 * its environment or as the place of its state, so that what a killed run left behind can be found and removed
 * by the next. A process is known by pid and start time; a recycled pid is never signalled.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeCgroups } from './cgroups.mjs';
import { answers, removeMadeBy } from './foreign-engine.mjs';

export const GROUND_VARIABLE = 'GANTRYD_GROUND';
const PREFIX = 'gantryd-ground-';
/** What the ground's processes get as their temporary folder. */
export const TEMP = 't';
const OWNER_FILE = 'owner.json';
const ENGINE_FILE = 'engine.json';
const ENGINE_STOP_MS = 30_000;
const KILL_MS = 5_000;

/** A fresh ground folder, marked as this process's. */
export function openFolder() {
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  writeFileSync(join(folder, OWNER_FILE), JSON.stringify(identity(process.pid)));
  mkdirSync(join(folder, TEMP));
  return folder;
}

/** The engine that was started for the ground, by its pid. */
export function recordOwnEngine(folder, pid) {
  writeFileSync(join(folder, ENGINE_FILE), JSON.stringify(identity(pid)));
}

/** The engine that was there before: it stays, and what the ground's processes made on it goes. */
export function recordForeignEngine(folder, address) {
  writeFileSync(join(folder, ENGINE_FILE), JSON.stringify({ address }));
}

/** Removes the grounds of runs that are no more. Answers how many. */
export async function removeLeftovers() {
  const folders = groundsIn(tmpdir()).filter((folder) => !isAlive(readRecord(folder, OWNER_FILE)));
  for (const folder of folders) await removeGround(folder);
  return folders.length;
}

/**
 * Ends every process of the ground, its own engine first and gracefully, takes what they made from an engine
 * that stays, and deletes the folder; before that the same for the grounds that its processes had opened.
 */
export async function removeGround(folder) {
  const engine = readRecord(folder, ENGINE_FILE);
  if (isAlive(engine)) await stopEngine(engine);
  await killMarked(folder);
  for (const inner of groundsIn(join(folder, TEMP))) await removeGround(inner);
  if (engine?.address && (await answers(engine.address)))
    await removeMadeBy(basename(folder), engine.address);
  await removeCgroups(basename(folder));
  unmountBelow(folder);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

export function isAlive(record) {
  return record?.start !== undefined && startTime(record.pid) === record.start;
}

export function identity(pid) {
  return { pid, start: startTime(pid) };
}

/** Field 22 of /proc/PID/stat (proc(5)): clock ticks since boot; undefined when gone or a zombie. */
function startTime(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? undefined : `${bootId()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

function bootId() {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function groundsIn(parent) {
  const names = existsSync(parent) ? readdirSync(parent) : [];
  return names
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => join(parent, name))
    .filter(isOurs);
}

function isOurs(folder) {
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === process.getuid();
}

function readRecord(folder, file) {
  try {
    return JSON.parse(readFileSync(join(folder, file), 'utf8'));
  } catch {
    return undefined; // never written, or cut short by the kill: then there is nothing to spare
  }
}

async function stopEngine(engine) {
  process.kill(engine.pid, 'SIGTERM');
  await gone(() => !isAlive(engine), ENGINE_STOP_MS);
}

/** Ends all that carry the folder, as ground or as place of their state, and all below them. */
export async function killMarked(folder) {
  const ended = () => {
    const pids = markedProcesses(folder);
    for (const pid of pids) signal(pid, 'SIGKILL');
    return pids.length === 0;
  };
  if (!(await gone(ended, KILL_MS))) throw new Error(`processes of ${folder} do not end`);
}

/** Processes that carry the folder, and all below them: a container's own do not inherit the mark. */
function markedProcesses(folder) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const marked = new Set(all.filter((pid) => carries(pid, folder)));
  const parents = all.map((pid) => [pid, parentOf(pid)]);
  for (let grown = true; grown; ) {
    const found = parents.filter(([pid, parent]) => marked.has(parent) && !marked.has(pid));
    for (const [pid] of found) marked.add(pid);
    grown = found.length > 0;
  }
  return [...marked].map(Number).filter((pid) => startTime(pid) !== undefined);
}

/** The proxy, which outlives its caller, takes no environment along; its command line names its state. */
function carries(pid, folder) {
  const inEnvironment = procList(pid, 'environ').includes(`${GROUND_VARIABLE}=${folder}`);
  const words = procList(pid, 'cmdline');
  const states = words.filter((_, i) => words[i - 1] === '--state-dir');
  return inEnvironment || states.some((path) => path === folder || path.startsWith(`${folder}/`));
}

function procList(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  } catch {
    return []; // gone meanwhile, or another user's
  }
}

function parentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[1];
  } catch {
    return undefined;
  }
}

export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function unmountBelow(folder) {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point?.startsWith(`${folder}/`));
  for (const point of points.reverse()) execFileSync('umount', ['-l', point], { stdio: 'ignore' });
}

async function gone(check, timeoutMs) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await delay(50)) if (check()) return true;
  return check();
}
