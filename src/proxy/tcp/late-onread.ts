/**
 * Gives a connection that is there already what `connect` takes as `onread`: memory of ours to read into. Node has that
 * for connections it dials; each read of an accepted one is a fresh piece of memory. What is not public about it lies
 * here: where a socket keeps its `onread`, found in one that was made with it, and a method of its handle. It is tried
 * on a connection of this process before it is used, and never used where it does not behave.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Reading } from './read-memory.ts';

const LOOPBACK = '127.0.0.1';
const TRIAL_MS = 2_000;

/** Under what a socket keeps its memory, the function that gives the next, and the one that is told of a read. */
interface Slots {
  readonly memory: symbol;
  readonly next: symbol;
  readonly callback: symbol;
}

interface Inside {
  [slot: symbol]: unknown;
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
}

const SLOTS = findSlots();
let works = false;
let trial: Promise<boolean> | undefined;

/**
 * What the socket reads from now on goes there; what it had read before still comes as 'data', once it flows. false:
 * everything comes as 'data'.
 */
export function readInto(socket: Socket, reading: Reading): boolean {
  return works && give(socket, reading);
}

/** Until this has been asked for and answered true, readInto does nothing. Tried once. */
export function tryLateOnread(): Promise<boolean> {
  trial ??= behaves().then((answer) => {
    works = answer;
    return answer;
  });
  return trial;
}

function give(socket: Socket, { buffer, callback }: Reading): boolean {
  const inside = socket as unknown as Inside;
  const handle = inside._handle;
  if (SLOTS === undefined || typeof handle?.useUserBuffer !== 'function') return false;
  const memory = buffer();
  inside[SLOTS.memory] = memory;
  inside[SLOTS.next] = buffer;
  inside[SLOTS.callback] = callback;
  handle.useUserBuffer(memory);
  return true;
}

/** By what they hold, whatever they are called. */
function findSlots(): Slots | undefined {
  const buffer = new Uint8Array(1);
  const give = () => buffer;
  const callback = () => true;
  const memory = slotOf({ buffer, callback }, buffer);
  const next = slotOf({ buffer: give, callback }, give);
  const called = slotOf({ buffer, callback }, callback);
  if (memory === undefined || next === undefined || called === undefined) return undefined;
  return { memory, next, callback: called };
}

function slotOf(onread: object, held: unknown): symbol | undefined {
  const socket = new Socket({ onread } as object) as unknown as Inside;
  return Object.getOwnPropertySymbols(socket).find((slot) => socket[slot] === held);
}

async function behaves(): Promise<boolean> {
  const server = createServer({ allowHalfOpen: true });
  const client = new Socket();
  const signal = AbortSignal.timeout(TRIAL_MS);
  try {
    await once(server.listen(0, LOOPBACK), 'listening', { signal });
    client.connect((server.address() as AddressInfo).port, LOOPBACK);
    const [accepted] = (await once(server, 'connection', { signal })) as [Socket];
    return await converse(client, accepted, signal).finally(() => accepted.destroy());
  } catch {
    // Whatever it was: reading as before always works.
    return false;
  } finally {
    client.destroy();
    server.close();
  }
}

/** What is said must come into the memory, stop when it is told to, go on when it is resumed, and end. */
async function converse(client: Socket, accepted: Socket, signal: AbortSignal): Promise<boolean> {
  const memory = Buffer.alloc(16);
  const heard: string[] = [];
  const callback = (length: number, into: Uint8Array) => {
    heard.push(into === memory ? memory.toString('latin1', 0, length) : 'elsewhere');
    accepted.emit('heard');
    return heard.length > 1;
  };
  accepted.on('data', () => heard.push('as before'));
  if (!give(accepted, { buffer: () => memory, callback })) return false;
  client.write('first');
  await once(accepted, 'heard', { signal });
  await new Promise((sent) => client.write('second', sent));
  for (let turns = 0; turns < 2; turns++) await turn();
  const stopped = heard.length === 1;
  accepted.resume();
  client.end();
  await once(accepted, 'end', { signal });
  return stopped && heard.join() === 'first,second';
}
