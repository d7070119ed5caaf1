/**
 * The workers of the proxy that serves: processes that accept from the same listening sockets. Starts as many as the
 * tables ask for, gives them the sockets, replaces who dies, and lets go of who is not needed any more. What they count
 * and which tables they follow is the business of Elders.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../errors.ts';
import type { Log, LogLevel } from '../../log.ts';
import type { Door } from '../door.ts';
import type { DataPlane } from '../proxy.ts';
import type { Place } from '../tables/routes.ts';
import type { FromProxy, FromWorker } from './crew-words.ts';
import type { Elders } from './elders.ts';
import { workersWanted } from './share.ts';
import { MAIN, openProxyLog, surroundings } from './spawned.ts';

/** One that is not ready by then is killed, and another started. */
const START_MS = 15_000;
/** How long a socket's place may take to be free everywhere. */
const WITHDRAW_MS = 2_000;
/** Between the end of one that had just begun and the next: doubled while they end at once. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 60_000;
/** One that lived for so long is replaced at once. */
const STEADY_MS = 10_000;

export interface CrewOptions {
  readonly folder: string;
  readonly level: LogLevel;
  readonly plane: DataPlane;
  readonly elders: Elders;
  readonly log: Log;
}

export class Crew {
  readonly #options: CrewOptions;
  /** By place; the process that serves has place 0. */
  readonly #members = new Map<number, Member>();
  readonly #restarts = new Map<number, NodeJS.Timeout>();
  #pauseMs = FIRST_PAUSE_MS;
  #wanted = 1;
  #open = false;

  constructor(options: CrewOptions) {
    this.#options = options;
  }

  get mayListen(): boolean {
    return this.#members.size > 0;
  }

  /** From now on there are as many as the tables ask for. Nobody waits until they accept. */
  open(): void {
    this.#open = true;
    this.adjust();
  }

  /** The tables may ask for another number. */
  adjust(): void {
    const { plane, log } = this.#options;
    const wanted = workersWanted(plane.tables.owners);
    if (!this.#open || wanted === this.#wanted) return;
    log.info('another number of workers', { was: this.#wanted, now: wanted });
    this.#wanted = wanted;
    for (const [place, member] of this.#members) if (place >= wanted) this.#dismiss(place, member);
    for (const [place, restart] of this.#restarts) if (place >= wanted) this.#forget(place, restart);
    plane.divide({ of: wanted, at: 0 });
    for (const [place, member] of this.#members)
      member.tell({ kind: 'share', share: { of: wanted, at: place } });
    for (let place = 1; place < wanted; place++)
      if (!this.#members.has(place) && !this.#restarts.has(place)) this.#start(place);
  }

  /** Gives each the listening sockets that it has not got and whose table it follows. */
  share(): void {
    const { elders, plane } = this.#options;
    for (const [place, member] of this.#members) {
      if (!member.isReady || !elders.follows(member.pid)) continue;
      if (member.give(plane.listening)) void this.#serves(place, member);
    }
  }

  /** Resolves when none of them listens in these places, or does not answer. */
  async withdraw(places: readonly Place[]): Promise<void> {
    const asked = [...this.#members.values()].filter(({ isReady }) => isReady);
    await Promise.all(asked.map((member) => member.withdraw(places)));
  }

  /** They are older generations from now on, and no others are started. */
  dismiss(): void {
    this.leave();
    for (const [place, member] of this.#members) this.#dismiss(place, member);
  }

  /** Who ends from now on is not replaced. */
  leave(): void {
    this.#open = false;
    this.#wanted = 1;
    for (const [place, restart] of this.#restarts) this.#forget(place, restart);
    for (const member of this.#members.values()) if (!member.isReady) member.kill();
  }

  #dismiss(place: number, member: Member): void {
    this.#members.delete(place);
    this.#options.elders.retired(member.pid);
    if (member.isReady) member.dismiss();
    else member.kill();
  }

  #forget(place: number, restart: NodeJS.Timeout): void {
    clearTimeout(restart);
    this.#restarts.delete(place);
  }

  #start(place: number): void {
    const { log } = this.#options;
    try {
      const member = new Member(this.#options, {
        ready: () => {
          this.#join(place, member).catch((error) =>
            log.error('a worker did not join', { why: messageOf(error) }),
          );
        },
        idle: () => void this.#look(),
        lost: (why) => this.#lost(place, member, why),
      });
      this.#members.set(place, member);
    } catch (error) {
      log.error('a worker cannot be started', { why: messageOf(error) });
      this.#startAgain(place, this.#nextPauseMs(0));
    }
  }

  async #join(place: number, member: Member): Promise<void> {
    const { elders } = this.#options;
    member.tell({ kind: 'share', share: { of: this.#wanted, at: place } });
    await elders.add(member.pid);
    // One that was dismissed or has ended meanwhile.
    if (this.#members.get(place) !== member) elders.retired(member.pid);
  }

  async #serves(place: number, member: Member): Promise<void> {
    const { elders, log } = this.#options;
    await member.settled();
    if (this.#members.get(place) !== member) return;
    elders.works(member.pid);
    log.info('a worker serves', { worker: member.pid });
  }

  #lost(place: number, member: Member, why: string): void {
    if (this.#members.get(place) !== member) return;
    const { elders, log } = this.#options;
    this.#members.delete(place);
    elders.retired(member.pid);
    void this.#look();
    if (!this.#open) return;
    const inMs = this.#nextPauseMs(member.ageMs);
    log.warn('a worker is gone and is replaced', { worker: member.pid, why, inMs });
    this.#startAgain(place, inMs);
  }

  #nextPauseMs(livedMs: number): number {
    if (livedMs > STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS;
    const pauseMs = livedMs > STEADY_MS ? 0 : this.#pauseMs;
    if (pauseMs > 0) this.#pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    return pauseMs;
  }

  #startAgain(place: number, inMs: number): void {
    const start = () => {
      this.#restarts.delete(place);
      this.#start(place);
    };
    this.#restarts.set(place, setTimeout(start, inMs));
  }

  async #look(): Promise<void> {
    const { elders, log } = this.#options;
    await elders
      .follow()
      .catch((error) => log.error('workers could not be asked', { why: messageOf(error) }));
  }
}

interface MemberEvents {
  ready(): void;
  /** It has a backend less. */
  idle(): void;
  /** It has ended, could not be started, or has left on its own. */
  lost(why: string): void;
}

/** One worker process. */
class Member {
  readonly #child: ChildProcess;
  readonly #events: MemberEvents;
  readonly #startedAt = performance.now();
  readonly #late: NodeJS.Timeout;
  readonly #withdrawn = new Map<number, () => void>();
  #given = new WeakSet<Door>();
  #hasDoors = false;
  #asked = 0;
  #isReady = false;

  constructor({ folder, level }: CrewOptions, events: MemberEvents) {
    this.#events = events;
    const log = openProxyLog(folder);
    this.#child = spawn(process.execPath, [MAIN, '--state-dir', folder, '--log-level', level, '--worker'], {
      ...surroundings(),
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#late = setTimeout(() => this.kill(), START_MS);
    this.#child
      .on('message', (message) => this.#hear(message as FromWorker))
      .on('error', (error) => this.#lost(messageOf(error)))
      .once('exit', (code, signal) => this.#lost(`it ended with ${code ?? signal}`))
      .once('disconnect', () => this.#lost('it has left'));
    this.#child.unref();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get ageMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Whether these are its first. */
  give(doors: readonly Door[]): boolean {
    const isFirst = !this.#hasDoors;
    this.#hasDoors = true;
    for (const door of doors) {
      if (this.#given.has(door)) continue;
      this.#given.add(door);
      this.tell({ kind: 'door', address: door.address, port: door.port }, door);
    }
    return isFirst;
  }

  /** One that does not answer is not waited for. */
  async withdraw(places: readonly Place[]): Promise<void> {
    const done = new AbortController();
    const late = sleep(WITHDRAW_MS, undefined, { signal: done.signal }).catch(() => undefined);
    await Promise.race([this.#ask(places), late]);
    done.abort();
  }

  /** Resolves when it has taken all that it was told before, or has ended. */
  async settled(): Promise<void> {
    await this.#ask([]);
  }

  tell(message: FromProxy, door?: Door): void {
    // Who is gone is told of by `lost`.
    if (this.#child.connected) this.#child.send(message, door?.server, {}, ignored);
  }

  /** It goes on by itself, as an older generation. */
  dismiss(): void {
    this.tell({ kind: 'retire' });
    this.#release();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #ask(places: readonly Place[]): Promise<void> {
    const id = ++this.#asked;
    const answered = new Promise<void>((resolve) => this.#withdrawn.set(id, resolve));
    this.tell({ kind: 'withdraw', id, places });
    return answered;
  }

  #hear(message: FromWorker): void {
    if (message.kind === 'withdrawn') {
      this.#withdrawn.get(message.id)?.();
      this.#withdrawn.delete(message.id);
      return;
    }
    if (message.kind === 'idle') return void this.#events.idle();
    clearTimeout(this.#late);
    this.#isReady = true;
    this.#events.ready();
  }

  #lost(why: string): void {
    this.#release();
    this.#isReady = false;
    for (const resolve of this.#withdrawn.values()) resolve();
    this.#events.lost(why);
  }

  #release(): void {
    clearTimeout(this.#late);
  }
}

/** Of a message to who is gone: `lost` tells of that. */
function ignored(): void {}
