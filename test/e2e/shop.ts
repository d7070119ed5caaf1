/**
 * A private gantryd with one component `web` of the example application on free ports: what most end-to-end
 * tests start from. Versions differ in an environment variable alone, so one image serves a whole test.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { LABELS } from '../../src/docker/spec.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { buildAppImage, dockerCall, type ObservedContainer, removeAppImages } from '../ground/docker.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { get } from '../ground/get.ts';
import { type Cleanup, freePort, until } from '../ground/harness.ts';
import type { LedPlaces, Load } from '../ground/load.ts';
import { type Running, type RunResult, start } from '../ground/processes.ts';
import type { Place } from '../ground/requests.ts';
import { type Sandbox, sandbox } from '../ground/sandbox.ts';
import type { Stream } from '../ground/streams.ts';
import { listed, type Row } from './shop-list.ts';

export type { Row } from './shop-list.ts';

/** For whatever happens within seconds on an idle machine. */
export const WAIT_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;

export interface ShopOptions {
  /** Over the defaults of component `web`. */
  readonly web?: Readonly<Record<string, unknown>>;
  /** Further components; `repo` and `tag` are filled in. */
  readonly others?: readonly Readonly<Record<string, unknown>>[];
  /** Two ports more that the kernel leads, where this machine can. */
  readonly led?: boolean;
}

export interface Event {
  readonly kind: string;
  readonly [field: string]: unknown;
}

export interface Command extends Running {
  /** What it told so far with --json. */
  events(kind?: string): readonly Event[];
  /** As a terminal does it: to the whole process group. */
  interrupt(name?: NodeJS.Signals): void;
}

export interface Shop {
  readonly box: Sandbox;
  readonly file: string;
  readonly http: Place;
  readonly tcp: Place;
  /** When it was asked for, and this machine can. */
  readonly led: LedPlaces | undefined;
  /** `gantry FILE ACTION COMPONENT …` to its end, whatever its exit code; `action` may name a component: `stop db`. */
  gantry(action: string, ...args: readonly string[]): Promise<RunResult>;
  /** The same; fails the test when it exits with anything but 0. Answers stdout. */
  must(action: string, ...args: readonly string[]): Promise<string>;
  /** With --json, in a process group of its own. */
  begin(action: string, ...args: readonly string[]): Command;
  /** As `list --json` has it. */
  list(component?: string): Promise<readonly Row[]>;
  /** The containers of the component, whatever their state. */
  containers(component?: string): Promise<readonly ObservedContainer[]>;
  /** Waits until exactly these containers are there, told by the engine. */
  untilContainers(ids: readonly string[], timeoutMs?: number): Promise<void>;
}

export async function openShop(t: Cleanup, options: ShopOptions = {}): Promise<Shop> {
  const box = await sandbox(t);
  const tag = `gantryd-e2e-${box.project}:app`;
  t.after(() => removeAppImages([tag]));
  await buildAppImage({ tag, env: { VERSION: 'v1' } });
  const [http, tcp] = [await place(), await place()];
  const image = { repo: tag.slice(0, -':app'.length), tag: 'app' };
  const led =
    options.led === true && skipWithoutKernel === false
      ? { http: await place(), tcp: await place() }
      : undefined;
  const web = { ...webDefaults(http, tcp, led), ...image, ...options.web };
  const others = (options.others ?? []).map((other) => ({ ...image, ...other }));
  const file = await box.config({ project: box.project, components: [web, ...others] });
  return { box, file, http, tcp, led, ...commands(t, box, file), ...looks(box, file) };
}

/** Arguments that make the next release say another version. */
export function version(name: string): readonly string[] {
  return variable('VERSION', name);
}

/** Arguments that set an environment variable of the application; see examples/app/server.mjs. */
export function variable(name: string, value: string | number): readonly string[] {
  return ['--set', `environmentVariables.${name}=${value}`];
}

export function releaseOf(container: ObservedContainer): number {
  return Number(container.labels[LABELS.release]);
}

/** The whole text answer to a GET; any other status than 200 throws. */
export async function getText(place: Place, path: string): Promise<string> {
  const got = await get(place, path, REQUEST_TIMEOUT_MS);
  if (got.kind !== 'answered') throw new Error(`${place.host}:${place.port}${path}: ${got.why}`);
  if (got.status !== 200)
    throw new Error(`${place.host}:${place.port}${path} answered ${got.status}: ${got.text}`);
  return got.text.trim();
}

/** Where a container is reached past the proxy. */
export async function directly(container: string): Promise<Place> {
  const { NetworkSettings } = (await dockerCall('GET', `/containers/${container}/json`)) as {
    NetworkSettings: { IPAddress: string };
  };
  return { host: NetworkSettings.IPAddress, port: 8080 };
}

/** What a process tells with --json, so far. Each line is read once: tests look many times a second. */
export function toldBy(running: Running): (kind?: string) => readonly Event[] {
  const told: Event[] = [];
  let read = 0;
  return (kind) => {
    const end = running.stdout.lastIndexOf('\n') + 1;
    if (end > read) told.push(...jsonLines(running.stdout.slice(read, end)));
    read = Math.max(read, end);
    return told.filter((event) => kind === undefined || event.kind === kind);
  };
}

/** Its standard output must be JSON values, one a line, and nothing else. */
export function jsonLines(stdout: string): readonly Event[] {
  const lines = stdout.split('\n');
  assert.equal(lines.pop(), '', 'the last line ends');
  return lines.map((line) => JSON.parse(line));
}

export function exitedWith(code: number, result: RunResult): void {
  assert.equal(result.code, code, `${result.signal ?? ''}\n${result.stdout}\n${result.stderr}`);
}

/** Waits until a command has told of an event, and answers the first. */
export async function tells(command: Command, kind: string): Promise<Event> {
  const silent = async () => {
    const { code, stdout, stderr } = await command.ended;
    throw new Error(`ended with ${code} without ${kind}:\n${stdout}\n${stderr}`);
  };
  const told = until(() => command.events(kind)[0], {
    timeoutMs: WAIT_MS,
    what: `the command to tell ${kind}`,
  });
  return Promise.race([
    told,
    silent().catch(async (error) => command.events(kind)[0] ?? Promise.reject(error)),
  ]);
}

/** Waits until a command says what it waits for. */
export async function waits(command: Command, why: RegExp): Promise<void> {
  const told = () => command.events('waiting').some((event) => why.test(String(event.why)));
  await until(told, { timeoutMs: WAIT_MS, what: `the command to wait for ${why}` });
}

/** A long connection, ended with the test at the latest. */
export async function opened(t: Cleanup, stream: Promise<Stream>): Promise<Stream> {
  const open = await stream;
  t.after(() => open.stop());
  return open;
}

/** Still answered, and not just not closed. */
export async function carriesOn(stream: Stream): Promise<void> {
  const { ok } = stream.tally;
  await until(() => stream.tally.ok > ok + 2, { timeoutMs: WAIT_MS, what: `${stream.tally.name} to go on` });
  assert.equal(stream.cutAt, undefined);
}

/** Ends the load; fails the test when it lost anything. */
export async function lostNothing(load: Load): Promise<void> {
  const { failed, cut, errors } = await load.stop();
  assert.equal(failed + cut, 0, errors.join('\n'));
}

async function place(): Promise<Place> {
  return { host: '127.0.0.1', port: await freePort() };
}

function webDefaults(http: Place, tcp: Place, led: LedPlaces | undefined) {
  const kernel = { kind: 'tcp', plane: 'kernel' };
  return {
    name: 'web',
    ports: [
      { external: http.port, container: 8080, kind: 'http' },
      { external: tcp.port, container: 9000, kind: 'tcp' },
      ...(led === undefined
        ? []
        : [
            { external: led.http.port, container: 8080, ...kernel },
            { external: led.tcp.port, container: 9000, ...kernel },
          ]),
    ],
    readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
    readyTimeout: 30_000,
  };
}

function commands(t: Cleanup, box: Sandbox, file: string) {
  const line = (action: string, args: readonly string[]) => {
    const [name = '', component = 'web'] = action.split(' ');
    return [file, name, component, ...args];
  };
  const gantry: Shop['gantry'] = (action, ...args) => box.gantry(line(action, args));
  return {
    gantry,
    async must(action: string, ...args: readonly string[]) {
      const result = await gantry(action, ...args);
      exitedWith(0, result);
      return result.stdout;
    },
    begin(action: string, ...args: readonly string[]): Command {
      const bin = join(PACKAGE_ROOT, 'bin', 'gantry.js');
      const words = [process.execPath, bin, ...line(action, args), '--json'];
      return command(start(t, 'setsid', words, { env: box.env }));
    },
  };
}

function command(running: Running): Command {
  const { pid, ended, signal, says } = running;
  return {
    pid,
    ended,
    signal,
    says,
    get stdout() {
      return running.stdout;
    },
    get stderr() {
      return running.stderr;
    },
    events: toldBy(running),
    interrupt: (name = 'SIGINT') => void process.kill(-pid, name),
  };
}

function looks(box: Sandbox, file: string) {
  const containers: Shop['containers'] = async (component = 'web') =>
    (await box.containers()).filter((c) => c.labels[LABELS.component] === component);
  return {
    containers,
    list: (component = 'web') => listed(file, box.stateDir, component),
    async untilContainers(ids: readonly string[], timeoutMs = WAIT_MS) {
      const wanted = [...ids].sort().join();
      const there = async () => (await containers()).map((c) => c.id).sort();
      const what = `exactly the containers ${wanted}`;
      await until(async () => (await there()).join() === wanted, { timeoutMs, what });
    },
  };
}
