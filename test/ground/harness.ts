/**
 * The tests' small vocabulary: wait for a condition, find the engine, get a free port, a folder that goes
 * away again. Processes and whole grounds for gantryd are in processes.ts and sandbox.ts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

const POLL_MS = 20;
/** What has taken long may be seen a little later: each look takes from what is waited for. */
const REST_PER_WAIT = 0.1;
const MAX_REST_PER_WAIT_MS = 100;
/** Looking may mean to start a command: whoever waits leaves most of the machine to what is waited for. */
const REST_PER_LOOK = 2;
const MAX_REST_MS = 500;

/** Where a test's clean-up goes: a TestContext, or `{ after }` of node:test inside a describe. */
export interface Cleanup {
  after(clean: () => Promise<void> | void): void;
}

export interface UntilOptions {
  readonly timeoutMs: number;
  /** What is waited for, as a phrase for the error. */
  readonly what: string;
}

/**
 * Polls until `check` answers something truthy, and answers that. A throw counts as "not yet".
 * Throws after `timeoutMs`, telling what it waited for and what it saw last.
 */
export async function until<T>(check: () => T | Promise<T>, options: UntilOptions): Promise<NonNullable<T>> {
  const first = performance.now();
  for (;;) {
    const began = performance.now();
    const seen = await look(check);
    if (seen.value) return seen.value;
    const now = performance.now();
    if (now >= first + options.timeoutMs) throw new Error(waitedInVain(options, seen), { cause: seen.error });
    await delay(restMs(now - began, now - first));
  }
}

function restMs(tookMs: number, waitedMs: number): number {
  const ofLook = Math.min(REST_PER_LOOK * tookMs, MAX_REST_MS);
  return Math.max(POLL_MS, ofLook, Math.min(REST_PER_WAIT * waitedMs, MAX_REST_PER_WAIT_MS));
}

/** The engine the tests use, as `unix://…` or `tcp://…`. */
export function engineAddress(): string {
  return process.env.GANTRYD_TEST_DOCKER || process.env.DOCKER_HOST || 'unix:///var/run/docker.sock';
}

/** For the `skip` option of a test that needs the engine. Only an explicit wish skips; a missing engine fails. */
export const skipWithoutEngine: string | false =
  process.env.GANTRYD_TEST_NO_ENGINE === '1' ? 'GANTRYD_TEST_NO_ENGINE=1: no Docker engine' : false;

/**
 * Below the ports that the kernel gives to whoever connects (ip_local_port_range begins at 32768), where any connection
 * may take one between the look and its use. Each process has a slice of its own, so that two of them that run side by
 * side do not find the same: its first port is held by whose slice it is, at an address that nobody else listens on.
 */
const FIRST_PORT = 12_000;
const SLICES = 250;
const SLICE_PORTS = 80;
const HELD_AT = '127.255.0.1';
let slice: Promise<number> | undefined;
let nextPort = 0;

/**
 * A TCP port that nothing of this network namespace listens on, and that no one else will be given while this process
 * runs: it may be taken in another namespace as well.
 */
export async function freePort(): Promise<number> {
  slice ??= ownSlice();
  const first = await slice;
  for (let tries = 1; tries < SLICE_PORTS; tries++) {
    const port = first + 1 + (nextPort++ % (SLICE_PORTS - 1));
    const server = await listenAt(port, '0.0.0.0');
    if (server === undefined) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error(`all ${SLICE_PORTS} ports of this process are taken`);
}

/** The first port of a slice that no other process has; it has it until it ends. */
async function ownSlice(): Promise<number> {
  for (let tries = 0; tries < SLICES; tries++) {
    const first = FIRST_PORT + ((process.pid + tries) % SLICES) * SLICE_PORTS;
    const holder = await listenAt(first, HELD_AT);
    holder?.unref();
    if (holder !== undefined) return first;
  }
  throw new Error(`all ${SLICES} slices of ports are taken`);
}

/** undefined: somebody listens there. */
function listenAt(port: number, address: string): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(port, address, () => resolve(server));
  });
}

/** A fresh folder that is removed when the test ends. The path is short enough for unix sockets below it. */
export async function tempFolder(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'g-'));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

interface Seen<T> {
  readonly value?: T;
  readonly error?: unknown;
}

async function look<T>(check: () => T | Promise<T>): Promise<Seen<T>> {
  try {
    return { value: await check() };
  } catch (error) {
    return { error };
  }
}

function waitedInVain({ what, timeoutMs }: UntilOptions, seen: Seen<unknown>): string {
  const last =
    seen.error === undefined ? `last seen: ${inspect(seen.value)}` : `last error: ${String(seen.error)}`;
  return `waited ${timeoutMs} ms in vain for ${what}; ${last}`;
}
