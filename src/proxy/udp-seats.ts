/**
 * The sockets of udp ports: they keep others off ports that the kernel leads, and drop what it does not. Nothing is
 * ever answered from here.
 */
import { createSocket, type Socket } from 'node:dgram';
import { bindError } from './doors.ts';
import { placeKey, type RoutedListener } from './tables/routes.ts';

export class UdpSeats {
  readonly #open = new Map<string, { readonly listener: RoutedListener; readonly socket: Socket }>();

  /** Exactly these from now on, or what was before: throws GantryError port-taken or proxy-failed. */
  async change(listeners: readonly RoutedListener[]): Promise<void> {
    const before = this.listeners;
    const wanted = new Set(listeners.map(placeKey));
    // They carry nothing, and one may be in the way of a new one.
    for (const key of this.#open.keys()) if (!wanted.has(key)) this.#leave(key);
    try {
      for (const listener of listeners) await this.#take(listener);
    } catch (error) {
      const known = new Set(before.map(placeKey));
      for (const key of this.#open.keys()) if (!known.has(key)) this.#leave(key);
      for (const listener of before) await this.#take(listener);
      throw error;
    }
  }

  /** Whether these could be had beside those that are; nothing changes. Throws as `change`. */
  async rehearse(listeners: readonly RoutedListener[]): Promise<void> {
    for (const listener of listeners) if (!this.#open.has(placeKey(listener))) (await bind(listener)).close();
  }

  get listeners(): readonly RoutedListener[] {
    return Array.from(this.#open.values(), ({ listener }) => listener);
  }

  close(): void {
    for (const key of this.#open.keys()) this.#leave(key);
  }

  async #take(listener: RoutedListener): Promise<void> {
    const key = placeKey(listener);
    if (!this.#open.has(key)) this.#open.set(key, { listener, socket: await bind(listener) });
  }

  #leave(key: string): void {
    this.#open.get(key)?.socket.close();
    this.#open.delete(key);
  }
}

function bind(listener: RoutedListener): Promise<Socket> {
  const { address, port } = listener;
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      bindError(listener, error).then(reject, reject);
    });
    socket.bind({ address, port }, () => {
      socket.removeAllListeners('error').on('error', droppedToo);
      resolve(socket);
    });
  });
}

/** What the kernel tells of a datagram that was dropped is dropped as well. */
function droppedToo(): void {}
