/**
 * The tcp side of a listener: one connection of the client, one to a backend, bytes copied both
 * ways with backpressure. Half-closed connections stay half-closed, resets stay resets, and no
 * timeout ends a quiet one.
 */
import type { Socket } from 'node:net';
import { Dispatch, type Entrance } from '../backends/dispatch.ts';
import type { Hold } from '../backends/hold.ts';
import { Relay } from './relay.ts';
import { endBoth, shareFate } from './tunnel.ts';

export function acceptTcp(entrance: Entrance, client: Socket): void {
  let relay: Relay | undefined;
  const dispatch = new Dispatch(entrance, 'tcp', client, {
    dial: (options) => {
      relay = new Relay(client, options);
      return relay.backend;
    },
    found: (_socket, hold) => relay !== undefined && join(relay, hold),
    notFound: () => void client.destroy(),
    waits: () => watch(),
  });
  const goneEarly = () => dispatch.cancel();
  // Reading nothing is what makes an end of the connection known.
  const onReadable = () => void (client.readableLength === 0 && client.read(0));
  // Whoever ends without a word has left; with one, it may be waiting for an answer with its own side closed.
  const onEnd = () => void client.destroy();
  client.on('error', seenOnClose);
  client.once('close', goneEarly);
  dispatch.next(false);

  function watch(): void {
    unwatch();
    client.on('readable', onReadable);
    client.once('end', onEnd);
  }

  function unwatch(): void {
    client.removeListener('readable', onReadable);
    client.removeListener('end', onEnd);
  }

  function join(between: Relay, hold: Hold): void {
    const { backend } = between;
    unwatch();
    client.removeListener('close', goneEarly);
    hold.carriedBy({
      end: () => {
        between.stop();
        endBoth(client, backend);
      },
    });
    hold.backend.traffic.tcpOpened();
    shareFate(client, backend, () => hold.release());
    between.start();
  }
}

function seenOnClose(): void {}
