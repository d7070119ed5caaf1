/**
 * A container as the data plane sees it: what is open on it right now, exactly, and the idle
 * connections kept to it. One object per container; it lives until it is neither routed nor held.
 */
import type { Socket } from 'node:net';
import type { BackendReport, Peer } from '../control/protocol.ts';
import { IdlePools, RestingSocket } from '../http/idle-pool.ts';
import type { Upstream } from '../http/upstream.ts';
import { CarriedFlows } from '../kernel/carried.ts';
import type { KernelFlow } from '../kernel/plane.ts';
import type { Backend, LeaveTerms } from '../tables/routes.ts';
import { AnswerTally } from './answers.ts';
import { Hold, type HoldKind } from './hold.ts';
import { Leaving } from './leaving.ts';
import { SETTLED } from './slow-start.ts';
import { NO_RELEASE, TrafficTally } from './traffic.ts';

const MAX_PEERS_REPORTED = 20;
/** A port of a backend that could not be dialled is left to one client in so long, unless there is no other. */
const SHUNNED_MS = 5_000;

export interface BackendName {
  readonly owner: string;
  readonly component: string;
  readonly id: string;
}

/** `pid`: of the container's first process, for the kernel plane. */
export type BackendAddress = Pick<Backend, 'host' | 'port' | 'pid'>;

export class LiveBackend {
  readonly name: BackendName;
  /** Where its work is counted: that of its release, once it is known. */
  traffic: TrafficTally;
  /** What the kernel leads there past every process, as last read. */
  readonly carried = new CarriedFlows();
  readonly #released: (backend: LiveBackend) => void;
  readonly #holds = new Set<Hold>();
  readonly #idle = new IdlePools<RestingSocket>();
  readonly #upstreams = new IdlePools<Upstream>();
  #counts = { request: 0, upgraded: 0, tcp: 0 };
  #address: BackendAddress;
  /** Connections dialled to this address. */
  #present = new WeakSet<Socket>();
  #routed = false;
  #joinedAt = SETTLED;
  /** By performance.now(), since when it gets nothing new. */
  #unroutedAt = 0;
  /** By port, which last could not be dialled: a container may be well on its others. */
  readonly #shunnedUntil = new Map<number, number>();
  readonly #unanswered = new Set<number>();
  #tally: AnswerTally | undefined;
  #elsewhere = 0;
  #leave: LeaveTerms | undefined;
  #leaving: Leaving | undefined;

  /** `released` is called whenever the last hold goes. */
  constructor(name: BackendName, address: BackendAddress, released: (backend: LiveBackend) => void) {
    this.name = name;
    this.traffic = new TrafficTally({ owner: name.owner, component: name.component, release: NO_RELEASE });
    this.#address = address;
    this.#released = released;
  }

  /** Where clients of a listener with this containerPort are led. */
  addressFor(containerPort: number): { readonly host: string; readonly port: number } {
    const { host, port = containerPort } = this.#address;
    return { host, port };
  }

  dialled(socket: Socket): void {
    this.#present.add(socket);
  }

  get routed(): boolean {
    return this.#routed;
  }

  /** Exactly what a drain waits for. */
  get open(): number {
    return this.#holds.size + this.carried.open;
  }

  /** Where it is, and its first process. */
  get address(): BackendAddress {
    return this.#address;
  }

  /** By performance.now(), since when it gets nothing new; means nothing while it is routed. */
  get unroutedAt(): number {
    return this.#unroutedAt;
  }

  /** INVARIANT: called by the kernel's side alone, with all that there was at `readAt`. */
  carry(flows: readonly KernelFlow[], readAt: number, now: number): void {
    const was = this.carried.open;
    this.carried.see(flows, readAt, now);
    if (was > 0 && this.open === 0) this.#released(this);
  }

  /**
   * What balancing goes by: requests from their pick to their last byte, upgraded and tcp connections, also those that
   * older generations were last known to carry. A client's or backend's idle connection is no work for anybody.
   */
  get underWay(): number {
    return this.#holds.size + this.#elsewhere;
  }

  /** Of what older generations carry. */
  set elsewhere(open: number) {
    this.#elsewhere = open;
  }

  /** When it came into the table, by performance.now(). */
  get joinedAt(): number {
    return this.#joinedAt;
  }

  /** Of what is open, how much is of which kind. */
  get kinds(): Readonly<Record<HoldKind, number>> {
    return this.#counts;
  }

  /** How long it has been held since it left the table; undefined: it is in the table, or nothing holds it. */
  drainsForMs(now: number): number | undefined {
    return this.#routed || this.open === 0 ? undefined : now - this.#unroutedAt;
  }

  /** Others are to be preferred: a dial of a container that is gone takes seconds to fail. */
  isShunned(port: number): boolean {
    const until = this.#shunnedUntil.size === 0 ? undefined : this.#shunnedUntil.get(port);
    return until !== undefined && until > performance.now();
  }

  shun(port: number): void {
    this.#shunnedUntil.set(port, performance.now() + SHUNNED_MS);
  }

  /** Somebody is about to find out whether it answers again: the others need not. */
  picked(port: number): void {
    if (this.#shunnedUntil.has(port)) this.shun(port);
  }

  forgive(port: number): void {
    this.#shunnedUntil.delete(port);
  }

  /** Notes whether the port answered, and says whether that is news: only the change is logged. */
  isNews(port: number, answered: boolean): boolean {
    if (answered) return this.#unanswered.delete(port);
    const known = this.#unanswered.has(port);
    this.#unanswered.add(port);
    return !known;
  }

  /** Those of the route it is in, or was in last. */
  get leave(): LeaveTerms | undefined {
    return this.#leave;
  }

  /** Its clients are to be asked to leave. */
  get dismissing(): boolean {
    return !this.#routed && (this.#leave?.closeSpreadMs ?? 0) > 0;
  }

  /**
   * Part of the table in force, reached at this address from now on. `leave`: once it is not any more. `joinedAt`
   * counts if it was not before.
   */
  route({ host, port, pid }: BackendAddress, leave?: LeaveTerms, joinedAt = SETTLED): void {
    if (host !== this.#address.host || port !== this.#address.port) {
      this.#closeIdle();
      this.#present = new WeakSet();
      this.#shunnedUntil.clear();
    }
    if (pid !== this.#address.pid) this.carried.gone = false;
    this.#address = {
      host,
      ...(port === undefined ? {} : { port }),
      ...(pid === undefined ? {} : { pid }),
    };
    if (!this.#routed) this.#joinedAt = joinedAt;
    this.#routed = true;
    this.#leave = leave;
    this.#leaving?.stop();
    this.#leaving = undefined;
  }

  /** Its answers are counted from now on, anew for another canary; undefined: not any more. */
  compare(canary: string | undefined): void {
    if (canary === this.#tally?.id) return;
    this.#tally = canary === undefined ? undefined : new AnswerTally(canary);
  }

  /** Gets nothing new from now on; what is open stays, as long as the terms let it. Idempotent. */
  unroute(at = performance.now()): void {
    if (!this.#routed) return;
    this.#routed = false;
    this.#unroutedAt = at;
    this.#closeIdle();
    if (this.#leave === undefined) return;
    this.#leaving = new Leaving(this.#leave, performance.now());
    for (const hold of this.#holds) if (hold.canBeAsked) this.#leaving.add(hold);
  }

  /** INVARIANT: called by Hold alone, when that begins to be so. */
  canBeAsked(hold: Hold): void {
    this.#leaving?.add(hold);
  }

  /** Counts the client's work on this backend from this very moment until the hold is released. */
  hold(kind: HoldKind, client: Socket): Hold {
    const hold = new Hold(kind, client, this, kind === 'request' ? this.#tally?.begin() : undefined);
    this.#holds.add(hold);
    this.#counts[kind] += 1;
    return hold;
  }

  /** INVARIANT: called by Hold alone, once per hold. */
  drop(hold: Hold): void {
    this.#holds.delete(hold);
    this.#leaving?.remove(hold);
    this.#counts[hold.kind] -= 1;
    if (this.open === 0) this.#released(this);
  }

  /** INVARIANT: called by Hold alone. */
  recount(from: HoldKind, to: HoldKind): void {
    this.#counts[from] -= 1;
    this.#counts[to] += 1;
  }

  takeIdle(containerPort: number): Socket | undefined {
    return this.#idle.take(this.addressFor(containerPort).port)?.socket;
  }

  /** Unless the table leads elsewhere by now. */
  keepIdle(socket: Socket, keepMs: number): void {
    const port = this.#keptFor(socket);
    if (port !== undefined) this.#idle.put(port, new RestingSocket(socket), keepMs);
  }

  takeUpstream(containerPort: number): Upstream | undefined {
    return this.#upstreams.take(this.addressFor(containerPort).port);
  }

  /** As keepIdle. */
  keepUpstream(upstream: Upstream, keepMs: number): void {
    upstream.user = undefined;
    const port = this.#keptFor(upstream.socket);
    if (port !== undefined) this.#upstreams.put(port, upstream, keepMs);
  }

  /** The port it is kept for; undefined: it is of no use any more, and closed. */
  #keptFor(socket: Socket): number | undefined {
    const port = socket.remotePort;
    if (this.#routed && this.#present.has(socket) && port !== undefined) return port;
    socket.destroy();
    return undefined;
  }

  /** What is open now, the oldest first. */
  get holds(): Iterable<Hold> {
    return this.#holds;
  }

  /**
   * Once a second: notes which peers moved bytes, closes connections kept too long. Answers which silent ones were let
   * go, each once.
   */
  tick(now: number): readonly Peer[] {
    for (const hold of this.#holds) hold.sample(now);
    this.#idle.expire(now);
    this.#upstreams.expire(now);
    const leaving = this.#leaving;
    if (leaving === undefined) return [];
    const silent = [...this.#holds].filter((hold) => leaving.isSilent(hold, now));
    const peers = silent.map((hold) => ({ hold, peer: hold.peer(now) }));
    return peers.filter(({ hold }) => hold.end()).map(({ peer }) => peer);
  }

  report(now: number): BackendReport {
    const [oldest] = this.#holds;
    const { carried } = this;
    return {
      ...this.name,
      routed: this.#routed,
      open: this.open,
      inFlight: this.#counts.request,
      upgraded: this.#counts.upgraded,
      tcp: this.#counts.tcp + carried.tcp,
      oldestMs: Math.max(oldest === undefined ? 0 : Math.round(now - oldest.since), carried.oldestMs(now)),
      peers: this.#peers(now),
      ...carried.report(),
      ...(this.#tally === undefined ? {} : { answers: this.#tally.counts() }),
    };
  }

  close(): void {
    this.#leaving?.stop();
    this.#closeIdle();
  }

  #peers(now: number): Peer[] {
    const peers: Peer[] = [];
    for (const hold of this.#holds) {
      if (peers.length === MAX_PEERS_REPORTED) break;
      peers.push(hold.peer(now));
    }
    if (this.carried.open === 0) return peers;
    const all = [...peers, ...this.carried.peers(now)];
    return all.sort((a, b) => b.ageMs - a.ageMs).slice(0, MAX_PEERS_REPORTED);
  }

  #closeIdle(): void {
    this.#idle.close();
    this.#upstreams.close();
  }
}
