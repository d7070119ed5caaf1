/**
 * Node warns on stderr, once per process, when TLS is asked for an IP address as the name of the server (DEP0123).
 * gRPC always asks so, and no option of it or etcd3 prevents it; an operator can do nothing about it. So the one
 * time is spent here, unprinted, on a connection that is never made.
 */
import { isIP, Socket } from 'node:net';
import { connect } from 'node:tls';

let spent = false;

export function keepQuietAboutAddresses(host: string): void {
  if (spent || isIP(host.replace(/^\[(.*)\]$/, '$1')) === 0) return;
  spent = true;
  const { noDeprecation } = process;
  process.noDeprecation = true;
  try {
    const socket = new Socket();
    connect({ socket, servername: '127.0.0.1' })
      .on('error', () => {})
      .destroy();
    socket.destroy();
  } finally {
    process.noDeprecation = noDeprecation ?? false;
  }
}
