/**
 * An Engine in memory, for simulations: nothing runs, time is the clock it is given, and it can be told
 * what goes wrong. contract.ts holds it to what a real engine does.
 */
import type {
  Container,
  ContainerFilter,
  ContainerHealth,
  Engine,
  EngineEvent,
  EngineInfo,
  ExecResult,
  ExitReport,
  Image,
  PullOptions,
  Room,
} from '../../src/docker/engine.ts';
import type { ExecAsked, ExecSession } from '../../src/docker/exec-session.ts';
import type { ContainerSpec } from '../../src/docker/spec.ts';
import { LABELS } from '../../src/docker/spec.ts';
import { GantryError } from '../../src/errors.ts';
import { type Clock, REAL_CLOCK } from './fake-clock.ts';
import { type FakeCommand, FakeExec } from './fake-exec.ts';

/** What a container does when it is started. */
export interface Program {
  /** It cannot be started; the engine's words. */
  readonly neverStarts?: string;
  /** It ends by itself after so long. */
  readonly endsAfterMs?: number;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** undefined: SIGTERM is ignored. */
  readonly term?: {
    readonly afterMs: number;
    readonly exitCode: number;
    readonly prints?: readonly string[];
  };
  readonly prints?: readonly string[];
  readonly exec?: (command: readonly string[]) => ExecResult | 'hangs';
  /** What a command with its streams does there; absent: nothing. */
  readonly session?: (command: readonly string[]) => FakeCommand;
}

/** Such as no process of this host has. */
const FIRST_PID = 2 ** 30;

export const IDLE: Program = { term: { afterMs: 0, exitCode: 143 } };

export interface FakeOptions {
  readonly clock?: Clock;
  /** Chooses what a container does; IDLE when left out. */
  readonly program?: (spec: ContainerSpec) => Program;
}

type Fallible = Exclude<keyof Engine, 'watch' | 'close'>;

interface Box {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly program: Program;
  readonly createdAt: number;
  readonly number: number;
  state: 'created' | 'running' | 'exited';
  startedAt?: number;
  finishedAt?: number;
  exitCode: number;
  oomKilled: boolean;
  error: string;
  readonly log: string[];
  /** As judge() said; undefined: its own check is asked. */
  health?: ContainerHealth;
  readonly onEnd: Set<() => void>;
}

export class FakeEngine implements Engine {
  /** Calls made, as `start shop-web-r1-aaaa`. */
  readonly calls: string[] = [];
  /** Bytes free on its disk; undefined: it cannot be told. */
  freeBytes: number | undefined = 10_000_000_000;
  /** Of all containers, in the order they were begun. */
  readonly sessions: FakeExec[] = [];
  /** false: no call reaches it and no event leaves it. */
  reachable = true;
  readonly #clock: Clock;
  readonly #program: (spec: ContainerSpec) => Program;
  readonly #images = new Map<string, Image>();
  readonly #registry = new Map<string, Image>();
  readonly #boxes = new Map<string, Box>();
  readonly #faults = new Map<Fallible, GantryError[]>();
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  #count = 0;

  constructor(options: FakeOptions = {}) {
    this.#clock = options.clock ?? REAL_CLOCK;
    this.#program = options.program ?? (() => IDLE);
  }

  /** This host has the image. */
  addImage(ref: string, id = fakeId(++this.#count)): Image {
    const image = { id: id.startsWith('sha256:') ? id : `sha256:${id}`, tags: [ref], digests: [] };
    this.#images.set(ref, image);
    return image;
  }

  /** Only the registry has the image. */
  publishImage(ref: string): Image {
    const image = this.addImage(ref);
    this.#images.delete(ref);
    this.#registry.set(ref, image);
    return image;
  }

  /** The next call of this kind fails so. Several are taken in order. */
  failNext(call: Fallible, error: GantryError): void {
    this.#faults.set(call, [...(this.#faults.get(call) ?? []), error]);
  }

  /** The container ends by itself, now. */
  die(id: string, end: { readonly exitCode?: number; readonly oomKilled?: boolean } = {}): void {
    const box = this.#boxes.get(id);
    if (box !== undefined) this.#end(box, end.exitCode ?? 1, end.oomKilled ?? false);
  }

  /** The check that its image brings says so from now on. */
  judge(id: string, health: ContainerHealth): void {
    const box = this.#boxes.get(id);
    if (box === undefined) return;
    box.health = health;
    this.#emit({ kind: 'health', container: id });
  }

  /** A container of somebody else runs here. */
  addForeign(name: string, image = 'sha256:foreign'): string {
    const box = this.#add({ name, labels: {}, hash: '', body: { Image: image } }, IDLE);
    this.#run(box);
    return box.id;
  }

  dropForeign(id: string): void {
    this.#boxes.delete(id);
  }

  /** Of a container of ours, running or not; 0: there is none. */
  releaseOf(id: string): number {
    return Number(this.#boxes.get(id)?.spec.labels[LABELS.release] ?? 0);
  }

  /** Whether any container, ours or not, runs. */
  runs(id: string): boolean {
    return this.#boxes.get(id)?.state === 'running';
  }

  async info(): Promise<EngineInfo> {
    this.#enter('info');
    return { version: 'fake', apiVersion: '1.41', address: 'fake://' };
  }

  async room(): Promise<Room | undefined> {
    this.#enter('room');
    return this.freeBytes === undefined ? undefined : { path: '/fake', freeBytes: this.freeBytes };
  }

  async image(ref: string): Promise<Image | undefined> {
    this.#enter('image', ref);
    return this.#images.get(ref) ?? [...this.#images.values()].find((i) => i.id === ref);
  }

  async pull(ref: string, options: PullOptions = {}): Promise<Image> {
    this.#enter('pull', ref);
    if (options.signal?.aborted) throw new GantryError('interrupted', `The pull of ${ref} was interrupted.`);
    const image = this.#registry.get(ref);
    if (image === undefined) throw new GantryError('image-not-found', `The registry has no ${ref}.`);
    options.onProgress?.({ layers: 1, done: 1, bytes: 1, totalBytes: 1 });
    this.#images.set(ref, image);
    return image;
  }

  async containers(filter: ContainerFilter): Promise<readonly Container[]> {
    this.#enter('containers');
    const keys = ['project', 'component', 'host'] as const;
    const matches = (c: Container) =>
      keys.every((key) => filter[key] === undefined || filter[key] === c[key]);
    // Newest first, as the engine lists them.
    const boxes = [...this.#boxes.values()].reverse();
    return boxes.flatMap((box) => this.#containerOf(box) ?? []).filter(matches);
  }

  async exists(nameOrId: string): Promise<boolean> {
    this.#enter('exists', nameOrId);
    return this.#find(nameOrId) !== undefined;
  }

  async create(spec: ContainerSpec): Promise<string> {
    this.#enter('create', spec.name);
    if (this.#find(spec.name) !== undefined) {
      throw new GantryError('name-taken', `A container named ${spec.name} exists already.`);
    }
    const image = String(spec.body.Image);
    const known = this.#images.has(image) || [...this.#images.values()].some((i) => i.id === image);
    if (!known) throw new GantryError('image-not-found', `This host lacks the image of ${spec.name}.`);
    return this.#add(spec, this.#program(spec)).id;
  }

  async start(id: string): Promise<void> {
    const box = this.#enterBox('start', id);
    if (box === undefined) throw gone(id);
    if (box.state === 'running') return;
    if (box.program.neverStarts !== undefined) {
      Object.assign(box, { error: box.program.neverStarts, exitCode: 127 });
      throw new GantryError('engine-failed', `The Docker engine refused to start ${id}: ${box.error}`);
    }
    this.#run(box);
  }

  async stop(id: string, timeoutMs: number): Promise<void> {
    const box = this.#enterOwn('stop', id);
    if (box?.state !== 'running') return;
    const ended = new Promise<void>((resolve) => box.onEnd.add(resolve));
    const { term } = box.program;
    const cancelTerm =
      term && this.#clock.after(term.afterMs, () => this.#end(box, term.exitCode, false, term.prints));
    const cancelKill = this.#clock.after(Math.ceil(timeoutMs / 1000) * 1000, () =>
      this.#end(box, 137, false),
    );
    await ended;
    cancelTerm?.();
    cancelKill();
  }

  async kill(id: string): Promise<void> {
    const box = this.#enterOwn('kill', id);
    if (box?.state === 'running') this.#end(box, 137, false);
  }

  async remove(id: string): Promise<void> {
    const box = this.#enterOwn('remove', id);
    if (box === undefined) return;
    if (box.state === 'running') this.#end(box, 137, false);
    this.#boxes.delete(box.id);
    this.#emit({ kind: 'destroy', container: box.id });
  }

  async removeStopped(id: string): Promise<boolean> {
    if (this.#enterOwn('removeStopped', id)?.state === 'running') return false;
    await this.remove(id);
    return true;
  }

  async exit(id: string): Promise<ExitReport | undefined> {
    const box = this.#enterBox('exit', id);
    if (box === undefined) return undefined;
    const ended = box.state === 'exited' || box.error !== '';
    const { oomKilled, error, startedAt, finishedAt } = box;
    return { exitCode: ended ? box.exitCode : undefined, oomKilled, error, startedAt, finishedAt };
  }

  async pid(id: string): Promise<number | undefined> {
    const box = this.#enterBox('pid', id);
    return box?.state === 'running' ? FIRST_PID + box.number : undefined;
  }

  async logs(id: string, lines: number): Promise<readonly string[]> {
    const box = this.#enterBox('logs', id);
    return box === undefined || lines === 0 ? [] : box.log.slice(-lines);
  }

  async exec(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const box = this.#enterBox('exec', id);
    if (box?.state !== 'running') throw gone(id);
    const result = box.program.exec?.(command) ?? { exitCode: 0, output: '' };
    if (result !== 'hangs') return result;
    await new Promise<void>((resolve) => this.#clock.after(timeoutMs, resolve));
    throw new GantryError('engine-timeout', `The command did not end within ${timeoutMs / 1000} s.`);
  }

  async openExec(id: string, asked: ExecAsked): Promise<ExecSession> {
    const box = this.#enterOwn('openExec', id);
    if (box?.state !== 'running') throw gone(id);
    const session = new FakeExec(asked, box.program.session?.(asked.command) ?? {});
    this.sessions.push(session);
    box.onEnd.add(() => session.end({ exitCode: 137, containerEnded: true }));
    return session;
  }

  async gateway(network: string | undefined): Promise<string | undefined> {
    this.#enter('gateway', network ?? '');
    return network === 'host' || network === 'none' ? undefined : '172.17.0.1';
  }

  watch(listener: (event: EngineEvent) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
    queueMicrotask(() => this.#listeners.has(listener) && listener({ kind: 'reconnected' }));
  }

  /** As an engine that comes back after an outage. */
  reconnect(): void {
    this.reachable = true;
    this.#emit({ kind: 'reconnected' });
  }

  close(): void {
    this.#listeners.clear();
  }

  #enter(call: Fallible, subject = ''): void {
    this.calls.push(`${call} ${subject}`.trim());
    if (!this.reachable) {
      throw new GantryError('engine-unreachable', 'No Docker engine answers at fake://.', {
        retryable: true,
      });
    }
    const fault = this.#faults.get(call)?.shift();
    if (fault !== undefined) throw fault;
  }

  #enterBox(call: Fallible, id: string): Box | undefined {
    const box = this.#find(id);
    this.#enter(call, box?.spec.name ?? id);
    return box;
  }

  #enterOwn(call: Fallible, id: string): Box | undefined {
    const box = this.#enterBox(call, id);
    if (box !== undefined && this.#containerOf(box) === undefined) {
      throw new GantryError(
        'engine-failed',
        `gantryd did not make the container ${id} and will not ${call} it.`,
      );
    }
    return box;
  }

  #find(nameOrId: string): Box | undefined {
    return this.#boxes.get(nameOrId) ?? [...this.#boxes.values()].find((box) => box.spec.name === nameOrId);
  }

  #add(spec: ContainerSpec, program: Program): Box {
    const number = ++this.#count;
    const createdAt = Math.floor(this.#clock.now() / 1000) * 1000;
    const fresh = { state: 'created' as const, exitCode: 0, oomKilled: false, error: '', log: [] };
    const box: Box = { id: fakeId(number), spec, program, createdAt, number, ...fresh, onEnd: new Set() };
    this.#boxes.set(box.id, box);
    return box;
  }

  #run(box: Box): void {
    const { endsAfterMs, exitCode = 0, oomKilled = false, prints = [] } = box.program;
    Object.assign(box, { state: 'running', startedAt: this.#clock.now(), error: '' });
    box.log.push(...prints);
    this.#emit({ kind: 'start', container: box.id });
    if (healthOf(box) !== 'none') this.#emit({ kind: 'health', container: box.id });
    if (endsAfterMs === undefined) return;
    const cancel = this.#clock.after(endsAfterMs, () => this.#end(box, exitCode, oomKilled));
    box.onEnd.add(cancel);
  }

  #end(box: Box, exitCode: number, oomKilled: boolean, prints: readonly string[] = []): void {
    if (box.state !== 'running') return;
    Object.assign(box, { state: 'exited', exitCode, oomKilled, finishedAt: this.#clock.now() });
    box.log.push(...prints);
    if (oomKilled) this.#emit({ kind: 'oom', container: box.id });
    this.#emit({ kind: 'die', container: box.id });
    for (const run of box.onEnd) run();
    box.onEnd.clear();
  }

  #emit(event: EngineEvent): void {
    if (!this.reachable) return;
    for (const listener of this.#listeners)
      queueMicrotask(() => this.#listeners.has(listener) && listener(event));
  }

  #containerOf(box: Box): Container | undefined {
    const { labels, body } = box.spec;
    const { [LABELS.project]: project, [LABELS.component]: component, [LABELS.host]: host } = labels;
    if (project === undefined || component === undefined || host === undefined) return undefined;
    const imageId = String(body.Image);
    return {
      id: box.id,
      name: box.spec.name,
      project,
      component,
      release: Number(labels[LABELS.release]),
      specHash: labels[LABELS.spec] ?? '',
      host,
      imageId: [...this.#images].find(([ref]) => ref === imageId)?.[1].id ?? imageId,
      image: imageId,
      state: box.state,
      status: this.#statusOf(box),
      health: healthOf(box),
      createdAt: box.createdAt,
      address: addressOf(box),
    };
  }

  #statusOf(box: Box): string {
    const seconds = (since = 0) => Math.floor((this.#clock.now() - since) / 1000);
    if (box.state === 'running') return `Up ${seconds(box.startedAt)} seconds`;
    if (box.state === 'created') return 'Created';
    return `Exited (${box.exitCode}) ${seconds(box.finishedAt)} seconds ago`;
  }
}

function healthOf(box: Box): ContainerHealth {
  const { Test } = Object(box.spec.body.Healthcheck);
  if (box.state !== 'running') return 'none';
  if (box.health !== undefined || Test === undefined) return box.health ?? 'none';
  const result = box.program.exec?.(Test.slice(1));
  return result === undefined || result === 'hangs' || result.exitCode === 0 ? 'healthy' : 'unhealthy';
}

function addressOf(box: Box): string | undefined {
  if (box.state !== 'running') return undefined;
  const { NetworkMode } = Object(box.spec.body.HostConfig);
  if (NetworkMode === 'none') return undefined;
  return NetworkMode === 'host' ? '127.0.0.1' : `172.17.${box.number >> 8}.${box.number & 255}`;
}

function fakeId(number: number): string {
  return number.toString(16).padStart(12, '0').padEnd(64, '0');
}

function gone(id: string): GantryError {
  return new GantryError('container-gone', `The container ${id} is gone.`);
}
