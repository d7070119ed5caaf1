/**
 * The tcp side of a listener: one connection of the client, one to a backend, bytes copied both
 * ways with backpressure. Half-closed connections stay half-closed, resets stay resets, and no
 * timeout ends a quiet one.
 */
import type { Socket } from 'node:net';
import type { Hold } from './backend.ts';
import { Dispatch, type Entrance } from './dispatch.ts';
import { shareFate } from './tunnel.ts';

export function acceptTcp(entrance: Entrance, client: Socket): void {
  const dispatch = new Dispatch(entrance, 'tcp', client, {
    found: (upstream, hold) => join(client, upstream, hold),
    notFound: () => void client.destroy(),
  });
  const goneEarly = () => dispatch.cancel();
  client.on('error', seenOnClose);
  client.once('close', goneEarly);
  dispatch.next(false);

  function join(from: Socket, to: Socket, hold: Hold): void {
    from.removeListener('close', goneEarly);
    shareFate(from, to, () => hold.release());
    from.pipe(to);
    to.pipe(from);
  }
}

function seenOnClose(): void {}
