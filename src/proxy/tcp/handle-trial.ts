/**
 * Whether reading and writing past Node's streams behaves as it does in the versions it was made for: tried once, on a
 * connection of this process with itself, before anything of it is used.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { lastRead, lastWriteWaits, trust, untriedHandleOf, writeRequest } from './handle.ts';

const LOOPBACK = '127.0.0.1';
/** Nobody waits for it, and a busy machine must not be taken for another Node. */
const TRIAL_MS = 10_000;
/** More of them than any two sockets hold. */
const BLOCK = Buffer.alloc(256 * 1024, 'b');
const MOST_BLOCKS = 256;
const START = 'te\xffxt,parts,';

let trial: Promise<boolean> | undefined;

/** Until this has been asked for and answered true, handleOf answers nothing. Tried once. */
export function tryHandles(): Promise<boolean> {
  trial ??= behaves().then((answer) => {
    trust(answer);
    return answer;
  });
  return trial;
}

async function behaves(): Promise<boolean> {
  const server = createServer({ allowHalfOpen: true });
  // Whatever happens to it, what is waited for does not come.
  const client = new Socket().on('error', () => {});
  const signal = AbortSignal.timeout(TRIAL_MS);
  try {
    await once(server.listen(0, LOOPBACK), 'listening', { signal });
    client.connect((server.address() as AddressInfo).port, LOOPBACK);
    const [accepted] = (await once(server, 'connection', { signal })) as [Socket];
    try {
      return (await reads(client, accepted, signal)) && (await writes(accepted, client, signal));
    } finally {
      accepted.destroy();
    }
  } catch {
    // Whatever it was: as before always works.
    return false;
  } finally {
    client.destroy();
    server.close();
  }
}

/** What is said must come into the memory, stop when it is told to, go on in other memory, and end. */
async function reads(client: Socket, accepted: Socket, signal: AbortSignal): Promise<boolean> {
  const handle = untriedHandleOf(accepted);
  if (handle === undefined) return false;
  const heard: string[] = [];
  const [first, second] = [Buffer.alloc(16), Buffer.alloc(16)];
  const { onread } = handle;
  handle.useUserBuffer(first);
  handle.onread = (memory) => {
    const length = lastRead();
    if (length <= 0) return onread.call(handle, memory);
    const bytes = heard.length === 0 ? first : second;
    heard.push(bytes.toString('latin1', 0, length));
    accepted.emit('heard');
    handle.reading = false;
    return handle.readStop() === 0 ? second : undefined;
  };
  client.write('first');
  await once(accepted, 'heard', { signal });
  await new Promise((sent) => client.write('second', sent));
  for (let turns = 0; turns < 2; turns++) await turn();
  const stopped = heard.length === 1;
  const again = once(accepted, 'heard', { signal });
  handle.reading = handle.readStart() === 0;
  await again;
  handle.reading = handle.readStart() === 0;
  client.end();
  await once(accepted.resume(), 'end', { signal });
  return stopped && heard.join() === 'first,second';
}

/** One request for many writes, until one has to wait: that one is told of once it is over, and all comes in order. */
async function writes(from: Socket, to: Socket, signal: AbortSignal): Promise<boolean> {
  const handle = untriedHandleOf(from);
  if (handle === undefined) return false;
  const request = writeRequest();
  const failed = [
    handle.writeLatin1String(request, 'te\xff'),
    handle.writev(request, ['xt,', 'latin1', Buffer.from('parts,'), 'buffer'], false),
  ];
  if (failed.some((status) => status !== 0) || lastWriteWaits()) return false;
  let blocks = 0;
  const over = new Promise((resolve) => {
    request.oncomplete = resolve;
  });
  for (let waits = false; !waits; waits = lastWriteWaits(), blocks++)
    if (blocks === MOST_BLOCKS || handle.writeBuffer(request, BLOCK) !== 0) return false;
  let [start, length] = ['', 0];
  to.on('data', (bytes: Buffer) => {
    if (start.length < START.length) start += bytes.toString('latin1', 0, START.length);
    length += bytes.length;
  });
  const ended = once(to, 'end', { signal });
  if ((await Promise.race([over, ended])) !== 0) return false;
  from.end();
  await ended;
  return start.startsWith(START) && length === START.length + blocks * BLOCK.length;
}
