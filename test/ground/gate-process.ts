/**
 * A gate in front of a TCP service, on the machine the service is on: HOST PORT TARGET_PORT CONTROL_SOCKET. Passes
 * everything on until it is told otherwise, by a line on the control socket, which it answers once that is so:
 * `open`, `shut` (refuses connections), `mute` (takes them and says nothing), `cut BYTES` (breaks each connection once
 * so much of the answer has passed). Every change ends the connections that there are.
 */
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const [host = '', port = '0', target = '0', control = ''] = process.argv.slice(2);
const sockets = new Set<Socket>();
let way = 'open';
let mostBytes = Number.POSITIVE_INFINITY;

const gate = createServer({ allowHalfOpen: true }, (client) => {
  kept(client);
  if (way === 'mute') return void client.resume();
  const service = kept(connect({ host, port: Number(target), allowHalfOpen: true }));
  let left = mostBytes;
  client.on('close', () => service.destroy());
  service.on('close', () => client.destroy());
  client.pipe(service);
  service.on('end', () => client.end());
  service.on('data', (part: Buffer) => {
    left -= part.length;
    if (left < 0) return void client.resetAndDestroy();
    if (client.write(part)) return;
    service.pause();
    client.once('drain', () => service.resume());
  });
});

createServer((socket) => {
  socket.on('error', () => socket.destroy());
  createInterface({ input: socket }).on('line', (line) => {
    void change(line).then(() => socket.end(`${line}\n`));
  });
}).listen(control);
await listen();
process.stdout.write('ready\n');

async function change(line: string): Promise<void> {
  const [word = '', bytes = 'Infinity'] = line.split(' ');
  way = word;
  mostBytes = Number(bytes);
  const closed = new Promise<void>((resolve) => gate.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
  if (way !== 'shut') await listen();
}

function listen(): Promise<void> {
  return new Promise((resolve, reject) => {
    gate.once('error', reject).listen(Number(port), host, () => {
      gate.off('error', reject);
      resolve();
    });
  });
}

function kept(socket: Socket): Socket {
  sockets.add(socket);
  socket.on('error', () => socket.destroy()); // the other end sees a close, which is all a gate can tell
  return socket.on('close', () => sockets.delete(socket));
}
