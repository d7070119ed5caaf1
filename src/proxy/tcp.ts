/**
 * The tcp side of a listener: one connection of the client, one to a backend, bytes copied both
 * ways with backpressure. Half-closed connections stay half-closed, resets stay resets, and no
 * timeout ends a quiet one.
 */
import type { Socket } from 'node:net';
import { Dispatch, type Entrance } from './dispatch.ts';
import type { Hold } from './hold.ts';
import { endBoth, shareFate } from './tunnel.ts';

export function acceptTcp(entrance: Entrance, client: Socket): void {
  const dispatch = new Dispatch(entrance, 'tcp', client, {
    found: (upstream, hold) => join(client, upstream, hold),
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

  function join(from: Socket, to: Socket, hold: Hold): void {
    unwatch();
    from.removeListener('close', goneEarly);
    hold.carriedBy({ end: () => endBoth(from, to) });
    hold.backend.traffic.tcpOpened();
    shareFate(from, to, () => hold.release());
    from.pipe(to);
    to.pipe(from);
  }
}

function seenOnClose(): void {}
