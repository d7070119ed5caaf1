/** Where other hosts reach this one, when nobody says. */
import { createSocket } from 'node:dgram';

/** The address this host would speak to etcd from; undefined: etcd is on this very host, or there is no way to it. */
export async function ownAddress(endpoint: string): Promise<string | undefined> {
  const { hostname, port } = new URL(endpoint.includes('://') ? endpoint : `http://${endpoint}`);
  const address = hostname.replace(/^\[|\]$/g, '');
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  try {
    // Connecting a datagram socket sends nothing; the kernel chooses the way.
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.connect(Number(port) || 2379, address, resolve);
    });
    const own = socket.address().address;
    return /^127\.|^::1$/.test(own) ? undefined : own;
  } catch {
    return undefined; // no way there now: said by whoever needs it
  } finally {
    socket.close();
  }
}
