/**
 * One listening socket and what its clients are led to at the moment. Its kind and its route may
 * change at any time without the socket being closed; connections keep the kind they came with.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { LiveBackend } from './backends/backend.ts';
import { TCP_KEEPALIVE_MS } from './backends/dispatch.ts';
import type { LiveRoute } from './backends/live-route.ts';
import type { TrafficTally } from './backends/traffic.ts';
import { type HttpPath, HttpSide } from './http/http.ts';
import type { HttpEntrance } from './http/http-client.ts';
import type { RoutedListener } from './tables/routes.ts';
import { tryHandles } from './tcp/handle-trial.ts';
import { acceptTcp } from './tcp/tcp.ts';

const BACKLOG = 1_024;

/** Everything a swap changes about a door. */
export interface DoorPlan {
  readonly owner: string;
  readonly listener: RoutedListener;
  readonly route: LiveRoute;
  readonly unserved: TrafficTally;
}

export interface DoorEvents {
  /** Of all doors. */
  readonly httpPath?: HttpPath | undefined;
  /** The container port answered, or did not. */
  reached(backend: LiveBackend, port: number, error?: Error): void;
  /** The kernel refused to hand over a connection (out of file descriptors, say). The door stays open. */
  acceptFailed(door: Door, error: Error): void;
}

export class Door implements HttpEntrance {
  readonly address: string;
  readonly port: number;
  readonly #events: DoorEvents;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  /** Accepted between the bind and the swap that this bind is for. */
  readonly #early: Socket[] = [];
  #plan: DoorPlan | undefined;
  #http: HttpSide | undefined;
  #closing = false;
  #handedOver = false;

  constructor(address: string, port: number, events: DoorEvents) {
    this.address = address;
    this.port = port;
    this.#events = events;
    void tryHandles();
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEPALIVE_MS },
      (socket) => this.#accept(socket),
    );
    this.#server.on('error', (error) => {
      if (this.#server.listening) this.#events.acceptFailed(this, error);
    });
  }

  get plan(): DoorPlan {
    if (this.#plan === undefined) throw new Error('a door without a plan');
    return this.#plan;
  }

  /** Some table is, or was, about it. */
  get isLed(): boolean {
    return this.#plan !== undefined;
  }

  get route(): LiveRoute {
    return this.plan.route;
  }

  get containerPort(): number {
    return this.plan.listener.containerPort;
  }

  get unserved(): TrafficTally {
    return this.plan.unserved;
  }

  get retiring(): boolean {
    return this.#handedOver || this.dismissing;
  }

  /** Who has been handed over serves on elsewhere: an idle client may be about to use its connection. */
  get dismissing(): boolean {
    return this.#closing || this.plan.listener.kind !== 'http';
  }

  reached(backend: LiveBackend, error?: Error): void {
    this.#events.reached(backend, this.containerPort, error);
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Rejects with Node's error when the address cannot be bound. */
  bind(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: this.address, port: this.port, backlog: BACKLOG }, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
  }

  /** Listens on another process's socket. INVARIANT: in the tick in which it came, else its first clients are lost. */
  adopt(server: Server): void {
    this.#server.listen(server, BACKLOG);
  }

  /** The listening socket, to be sent to another process. */
  get server(): Server {
    return this.#server;
  }

  /** Another process accepts for this place from now on: the kernel keeps the queue as long as one of us listens. */
  handOver(): void {
    this.#handedOver = true;
    if (this.#server.listening) this.#server.close();
  }

  /** From here on clients are led by this plan: new connections at once, http connections at their next request. */
  assign(plan: DoorPlan): void {
    this.#plan = plan;
    const { limits } = plan.route;
    this.#server.maxConnections = limits.maxConnections || Number.POSITIVE_INFINITY;
    this.#http?.limit(limits);
    for (const socket of this.#early.splice(0)) this.#lead(socket);
  }

  /** Stops accepting; whoever is inside finishes. http clients are asked to leave. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#early.splice(0)) socket.destroy();
  }

  /** Cuts everybody off. */
  destroy(): void {
    this.close();
    for (const socket of this.#connections) socket.destroy();
    this.#http?.close();
  }

  tick(now: number): void {
    this.#http?.tick(now);
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    if (this.#plan !== undefined) return void this.#lead(socket);
    socket.on('error', seenOnClose);
    this.#early.push(socket);
  }

  #lead(socket: Socket): void {
    if (this.plan.listener.kind === 'tcp') return void acceptTcp(this, socket);
    this.#http ??= new HttpSide(this, this.route.limits, this.#events.httpPath);
    this.#http.accept(socket);
  }
}

function seenOnClose(): void {}
