/**
 * llhttp, the parser that Node itself has inside, in the build that undici ships; its only importer. Says where in the
 * bytes of a connection a message's parts are and nothing about what they mean. Strict: what llhttp would only pass
 * leniently (both a length and chunks, bare line feeds, folded lines, spaces before colons) is a failure.
 */
import { createRequire } from 'node:module';

/** As much as a read brings, and what was kept of a head before it. A longer input is parsed in pieces. */
const INPUT_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 64 * 1024;
/** Results of llhttp (llhttp_errno_t). */
const OK = 0;
const PAUSED = 21;
/** What on_headers_complete answers where no body follows whatever the head says. */
const SKIP_BODY = 1;
const USER_ERROR = -1;

const TYPES = { request: 1, response: 2 } as const;

interface Llhttp {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  malloc(bytes: number): number;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_reset(parser: number): void;
  llhttp_execute(parser: number, at: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_get_error_pos(parser: number): number;
  llhttp_get_method(parser: number): number;
  llhttp_get_http_major(parser: number): number;
  llhttp_get_http_minor(parser: number): number;
  llhttp_should_keep_alive(parser: number): number;
}

export interface MessageHead {
  /** Of a request; of a response they are empty. */
  readonly method: string;
  readonly target: string;
  /** Of a response; of a request 0 and empty. */
  readonly status: number;
  readonly reason: string;
  /** 11 is HTTP/1.1. */
  readonly version: number;
  /** Names and values in turns, as they were written. */
  readonly fields: readonly string[];
}

/** Parses one message at a time. What `execute` found is told by the fields, until it is called again. */
export class MessageParser {
  /** A response to a HEAD has no body, whatever its head says. */
  noBody = false;
  /** Of the message under way, once it is whole. */
  head: MessageHead | undefined;
  /** It became whole with these bytes. */
  headCame = false;
  /** What `spans` refers to: the bytes given, after what had been kept of a head. */
  bytes: Buffer = NOTHING;
  /** From and to of each part of the body, in turns. */
  readonly spans: number[] = [];
  /** The message is whole. */
  done = false;
  /** What came after it. */
  rest: Buffer | undefined;
  /** Of the whole message: another one may follow. */
  keepAlive = false;
  /** Names and values in turns. */
  readonly trailers: string[] = [];
  failed = false;
  /** Of how many pieces the head was put together so far. */
  pieces = 0;

  readonly #type: number;
  #parser: number;
  #kept: Buffer | undefined;
  /** Where the head's fields are: from and to of name and value. */
  readonly #marks: number[] = [];
  /** Of the target, or of the reason. */
  #lineFrom = 0;
  #lineTo = 0;
  #trailerBytes = 0;
  /** Asked for when a body comes in more than one piece. */
  #isChunked: boolean | undefined;
  #lastWasName = false;

  constructor(kind: keyof typeof TYPES) {
    this.#type = TYPES[kind];
    this.#parser = llhttp.llhttp_alloc(this.#type);
  }

  /** The next message. */
  next(): void {
    llhttp.llhttp_reset(this.#parser);
    this.#marks.length = 0;
    this.#lineFrom = this.#lineTo = 0;
    this.head = undefined;
    this.rest = undefined;
    this.#kept = undefined;
    this.done = this.failed = this.keepAlive = false;
    this.pieces = 0;
    if (this.trailers.length > 0) this.trailers.length = 0;
    this.#trailerBytes = 0;
    this.#isChunked = undefined;
  }

  execute(given: Buffer): void {
    const bytes = this.#kept === undefined ? given : Buffer.concat([this.#kept, given]);
    this.#kept = undefined;
    this.bytes = bytes;
    this.rest = undefined;
    this.spans.length = 0;
    this.headCame = false;
    const end = this.#run(bytes);
    if (this.failed) return;
    if (this.done) this.rest = end < bytes.length ? bytes.subarray(end) : undefined;
    else if (this.head === undefined) this.#keep(bytes);
  }

  /** Nothing comes any more: where only the end of the connection ends the message, it is whole now. */
  finish(): void {
    this.spans.length = 0;
    this.headCame = false;
    current = this;
    llhttp.llhttp_finish(this.#parser);
  }

  /** INVARIANT: once, and nothing is called afterwards. */
  free(): void {
    llhttp.llhttp_free(this.#parser);
    this.#parser = 0;
    this.bytes = NOTHING;
  }

  /** Answers where it stopped. */
  #run(bytes: Buffer): number {
    if (this.#parser === 0) throw new Error('a parser that was freed');
    current = this;
    const looks = this.#looksAtBytes;
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      const piece = bytes.length <= INPUT_BYTES ? bytes : bytes.subarray(at, at + INPUT_BYTES);
      if (input.length === 0) input = viewOfInput();
      if (looks) input.set(piece);
      base = inputAt - at;
      const result = llhttp.llhttp_execute(this.#parser, inputAt, piece.length);
      if (result === OK) continue;
      this.failed = result !== PAUSED;
      return llhttp.llhttp_get_error_pos(this.#parser) - base;
    }
    return bytes.length;
  }

  /** Of a body that is not chunked it only counts the bytes. */
  get #looksAtBytes(): boolean {
    const { head } = this;
    if (head === undefined) return true;
    this.#isChunked ??= saysChunked(head);
    return this.#isChunked;
  }

  /** A head is parsed again from its first byte when more of it is there. */
  #keep(bytes: Buffer): void {
    this.#kept = Buffer.from(bytes);
    this.failed = bytes.length > MAX_HEAD_BYTES;
    this.pieces += 1;
    this.#marks.length = 0;
    llhttp.llhttp_reset(this.#parser);
  }

  /** INVARIANT: what follows is called by llhttp, while it executes; nothing of it may throw. */
  line(at: number, length: number): number {
    this.#lineFrom = at;
    this.#lineTo = at + length;
    return OK;
  }

  name(at: number, length: number): number {
    if (this.head !== undefined) return this.#trailer(true, at, length);
    this.#marks.push(at, at + length);
    return OK;
  }

  value(at: number, length: number): number {
    if (this.head !== undefined) return this.#trailer(false, at, length);
    this.#marks.push(at, at + length);
    return OK;
  }

  headersComplete(status: number): number {
    const marks = this.#marks;
    const end = marks.length === 0 ? this.#lineTo : (marks[marks.length - 1] ?? 0);
    if (end > MAX_HEAD_BYTES || marks.length % 4 !== 0) return USER_ERROR;
    const text = this.bytes.toString('latin1', 0, end);
    const fields: string[] = [];
    for (let at = 0; at < marks.length; at += 2) fields.push(text.slice(marks[at], marks[at + 1]));
    const line = text.slice(this.#lineFrom, this.#lineTo);
    this.head =
      this.#type === TYPES.request ? this.#request(line, fields) : this.#response(status, line, fields);
    this.headCame = true;
    return this.noBody ? SKIP_BODY : OK;
  }

  body(at: number, length: number): number {
    this.spans.push(at, at + length);
    return OK;
  }

  messageComplete(): number {
    this.done = true;
    this.keepAlive = llhttp.llhttp_should_keep_alive(this.#parser) === 1;
    return PAUSED;
  }

  #request(target: string, fields: readonly string[]): MessageHead {
    const method = METHODS[llhttp.llhttp_get_method(this.#parser)] ?? '';
    return { method, target, status: 0, reason: '', version: this.#version(), fields };
  }

  #response(status: number, reason: string, fields: readonly string[]): MessageHead {
    return { method: '', target: '', status, reason, version: this.#version(), fields };
  }

  #version(): number {
    return llhttp.llhttp_get_http_major(this.#parser) * 10 + llhttp.llhttp_get_http_minor(this.#parser);
  }

  /** Unlike a head's, they may come in pieces. */
  #trailer(isName: boolean, at: number, length: number): number {
    this.#trailerBytes += length;
    if (this.#trailerBytes > MAX_HEAD_BYTES) return USER_ERROR;
    const text = this.bytes.toString('latin1', at, at + length);
    const { trailers } = this;
    if (trailers.length > 0 && this.#lastWasName === isName) trailers.push((trailers.pop() ?? '') + text);
    else trailers.push(text);
    this.#lastWasName = isName;
    return OK;
  }
}

function saysChunked({ fields }: MessageHead): boolean {
  return fields.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'transfer-encoding');
}

const NOTHING = Buffer.alloc(0);
const METHODS = methodNames();

/** llhttp knows its caller by this: it executes one message at a time. */
let current: MessageParser = undefined as unknown as MessageParser;
/** What is to be taken off an address of llhttp to get a place in the bytes. */
let base = 0;

const llhttp = load();
const inputAt = llhttp.malloc(INPUT_BYTES);
let input = viewOfInput();

/** Its memory moves when it grows; the view is empty then. */
function viewOfInput(): Uint8Array {
  return new Uint8Array(llhttp.memory.buffer, inputAt, INPUT_BYTES);
}

/** Node has it, its types do not. */
declare const WebAssembly: {
  readonly Module: new (bytes: Buffer) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
  readonly CompileError: new () => Error;
};

function load(): Llhttp {
  const env = {
    wasm_on_message_begin: () => OK,
    wasm_on_url: (_parser: number, at: number, length: number) => current.line(at - base, length),
    wasm_on_status: (_parser: number, at: number, length: number) => current.line(at - base, length),
    wasm_on_header_field: (_parser: number, at: number, length: number) => current.name(at - base, length),
    wasm_on_header_value: (_parser: number, at: number, length: number) => current.value(at - base, length),
    wasm_on_headers_complete: (_parser: number, status: number) => current.headersComplete(status),
    wasm_on_body: (_parser: number, at: number, length: number) => current.body(at - base, length),
    wasm_on_message_complete: () => current.messageComplete(),
  };
  const { exports } = new WebAssembly.Instance(compiled(), { env });
  const library = exports as unknown as Llhttp;
  library._initialize();
  return library;
}

/** Some processors lack the instructions of the faster build. */
function compiled(): object {
  const require = createRequire(import.meta.url);
  const build = (name: string) => new WebAssembly.Module(require(`undici/lib/llhttp/${name}.js`));
  try {
    return build('llhttp_simd-wasm');
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    return build('llhttp-wasm');
  }
}

function methodNames(): readonly string[] {
  const { METHODS } = createRequire(import.meta.url)('undici/lib/llhttp/constants.js') as {
    METHODS: Record<string, number>;
  };
  const names: string[] = [];
  for (const [name, number] of Object.entries(METHODS)) names[number] = name;
  return names;
}
