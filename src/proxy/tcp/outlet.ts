/**
 * What goes out on a connection, written past the stream that Node has around it: what the kernel takes at once, which is
 * nearly all, costs one call and leaves nothing behind. The rest waits in the handle. Where that cannot be done, and
 * after what the stream itself still has to write, it goes through the stream.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { type Handle, handleOf, lastWriteWaits, type WriteRequest, writeRequest } from './handle.ts';
import { type Memory, MOST_TEXT_BYTES } from './read-memory.ts';

/** What toString('latin1') comes to in the end, without a look at which encoding is meant. */
interface Sliced {
  latin1Slice?(from: number, to: number): string;
}

export class Outlet {
  /** A write that fails does not end the connection, from which there may be more to read. */
  dropsUnsent = false;
  readonly #socket: Socket;
  #drained: () => void;
  /** Once nothing is left in the stream. One that is closed answers a write with a failure. */
  #handle: Handle | undefined;
  /** Used again for each write that is over with its call. */
  #request: WriteRequest;
  #waiting = 0;
  readonly #onDrain = () => this.#gone();

  /** `drained`: it takes more, after a write had answered false. Nothing may be written before it is connected; what is written after its end is dropped. */
  constructor(socket: Socket, drained: () => void) {
    this.#socket = socket;
    this.#drained = drained;
    this.#request = writeRequest();
    socket.on('drain', this.#onDrain);
  }

  /** Nothing waits to be taken by the kernel. */
  get isClear(): boolean {
    return this.#waiting === 0 && this.#socket.writableLength === 0;
  }

  /** The first `length` of the bytes. `memory`: what they are in, kept while they wait. false: it takes no more for now. */
  write(bytes: Buffer, length: number, memory: Memory | undefined): boolean {
    if (length <= MOST_TEXT_BYTES) return this.text(textOf(bytes, length));
    const part = bytes.subarray(0, length);
    const handle = this.#handle ?? this.#past();
    if (handle === undefined || memory === undefined) return this.parts([Buffer.from(part)], undefined);
    return this.#sent(handle.writeBuffer(this.#request, part), part, memory);
  }

  /** latin1 is one character for each byte, whatever the bytes mean. */
  text(text: string): boolean {
    const handle = this.#handle ?? this.#past();
    if (handle === undefined) return this.#streamParts([text], false);
    return this.#sent(handle.writeLatin1String(this.#request, text), undefined, undefined);
  }

  /** In one write. Bytes that are in no memory may be kept. */
  parts(parts: readonly (string | Buffer)[], memory: Memory | undefined): boolean {
    const handle = this.#handle ?? this.#past();
    if (handle === undefined) return this.#streamParts(parts, memory !== undefined);
    const [first] = parts;
    if (parts.length === 1 && first instanceof Buffer)
      return this.#sent(handle.writeBuffer(this.#request, first), first, memory);
    const chunks = parts.flatMap((part) => [part, typeof part === 'string' ? 'latin1' : 'buffer']);
    return this.#sent(handle.writev(this.#request, chunks, false), chunks, memory);
  }

  /** `drained` is called, unless it is clear. */
  tellWhenClear(): void {
    if (this.#waiting > 0 || this.#socket.writableNeedDrain) return;
    this.#socket.write('', this.#onDrain);
  }

  /** It tells nobody any more. */
  letGo(): void {
    this.#drained = () => {};
    this.#socket.removeListener('drain', this.#onDrain);
  }

  #past(): Handle | undefined {
    if (this.#socket.writableLength === 0) this.#handle = handleOf(this.#socket);
    return this.#handle;
  }

  #sent(failure: number, held: unknown, memory: Memory | undefined): boolean {
    // As the stream does it. The other side need not be told to wait.
    if (failure !== 0) return !this.#socket.writable || this.#failed(failure);
    if (!lastWriteWaits()) return true;
    const request = this.#request;
    this.#request = writeRequest();
    this.#waiting += 1;
    memory?.keep();
    request.held = held;
    request.oncomplete = (status) => {
      this.#waiting -= 1;
      memory?.release();
      if (status < 0) this.#failed(status);
      this.#gone();
    };
    return false;
  }

  /** What others wrote through the stream may still wait: nobody tells when that little has gone. */
  #gone(): void {
    if (this.#waiting === 0 && !this.#socket.writableNeedDrain) this.#drained();
  }

  /** Also what was written before the end of our side, which would else seem to have arrived. */
  #failed(status: number): true {
    if (this.dropsUnsent || this.#socket.destroyed) return true;
    const code = getSystemErrorName(status);
    this.#socket.destroy(
      Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: 'write' }),
    );
    return true;
  }

  #streamParts(parts: readonly (string | Buffer)[], copies: boolean): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true;
    let goesOn = true;
    socket.cork();
    for (const part of parts) {
      const lasting = copies && typeof part !== 'string' ? Buffer.from(part) : part;
      goesOn = typeof lasting === 'string' ? socket.write(lasting, 'latin1') : socket.write(lasting);
    }
    socket.uncork();
    // More than the socket would buffer, and yet nothing of it may be left to be sent.
    return goesOn || socket.writableLength === 0;
  }
}

function textOf(bytes: Buffer & Sliced, length: number): string {
  return bytes.latin1Slice?.(0, length) ?? bytes.toString('latin1', 0, length);
}
