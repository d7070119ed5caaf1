/**
 * nft, kept running (nft-process.ts), for whoever has something for it, in turn.
 *
 * It reads a line byte by byte, each with a call of the system. So a change goes into a file in memory, which nft includes.
 */
import { closeSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GantryError, messageOf } from '../../errors.ts';
import { runCommand } from './command.ts';
import { NftProcess } from './nft-process.ts';

/** As the process has it. It has no name that anybody else could open. */
const INCLUDE = 'include "/proc/self/fd/3"';
/** The first is in memory everywhere, but a chroot may lack it. */
const FOLDERS = ['/dev/shm', tmpdir()];
const COMPLAINT = /\bError: .*/;
/** nft remembers each line, and goes through all of them at the next: 0.2 µs for each on the machine of docs/performance.md. */
const MAX_ASKED = 200;

export class Nft {
  #process: NftProcess | undefined;
  /** The file of changes. */
  #file: number | undefined;
  readonly #maxAsked: number;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** `maxAsked`: after so many lines, `renew` starts another one. */
  constructor(maxAsked = MAX_ASKED) {
    this.#maxAsked = maxAsked;
  }

  /** Of the process that is kept; undefined: there is none now. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Takes any number of lines as one transaction, in a process of its own. Rejects with GantryError proxy-failed. */
  async load(text: string): Promise<void> {
    const { status, stderr } = await runCommand('nft', ['-f', '-'], text);
    if (status !== 0) throw refused(stderr);
  }

  /** Takes a change as one transaction. Rejects with GantryError proxy-failed. */
  async change(text: string): Promise<void> {
    const answer = await this.#inTurn(async (kept, file) => {
      ftruncateSync(file, 0);
      writeSync(file, `${text}\n`, 0);
      return kept.say(INCLUDE);
    });
    const complaint = COMPLAINT.exec(answer);
    if (complaint !== null) throw refused(complaint[0]);
  }

  /** Answers what these lines printed, refusals too. Rejects when nft does not answer. Callers take turns. */
  try(lines: string): Promise<string> {
    return this.#inTurn((kept) => kept.say(lines));
  }

  /** Another process takes the place of one that has got slow, once it has answered: nobody waits for its start. */
  async renew(): Promise<void> {
    if (this.#file === undefined || (this.#process?.asked ?? 0) < this.#maxAsked) return;
    const next = new NftProcess(this.#file);
    try {
      await next.say('');
      await next.goAhead();
      await this.#inTurn(async (old) => {
        this.#process = next;
        old.end('another one takes its place');
      });
    } catch (error) {
      next.end('it cannot take the place');
      throw error instanceof GantryError ? error : refused(messageOf(error));
    }
  }

  /** Ends the process. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#process?.close();
    this.#process = undefined;
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #inTurn<T>(use: (kept: NftProcess, file: number) => Promise<T>): Promise<T> {
    const asked = this.#last.then(async () => {
      if (this.#closed) throw refused('the kernel plane was closed');
      this.#file ??= openUnnamed();
      const kept = this.#keep(this.#file);
      return use(kept, this.#file).catch(rethrown);
    });
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  #keep(file: number): NftProcess {
    if (this.#process !== undefined && !this.#process.hasEnded) return this.#process;
    this.#process = new NftProcess(file);
    void this.#process.goAhead();
    return this.#process;
  }
}

/** A file without a name. Throws GantryError proxy-failed. */
function openUnnamed(): number {
  let why = '';
  for (const folder of FOLDERS) {
    const path = join(folder, `gantryd-nft-${process.pid}-${performance.now()}`);
    try {
      const file = openSync(path, 'wx+', 0o600);
      unlinkSync(path);
      return file;
    } catch (error) {
      why = messageOf(error);
    }
  }
  throw refused(why);
}

function rethrown(error: unknown): never {
  throw refused(messageOf(error));
}

function refused(why: string): GantryError {
  const told = why.trim().split('\n').slice(0, 4).join(' · ');
  const hint = 'run `nft list ruleset` as root to see whether nftables works on this host';
  return new GantryError('proxy-failed', `nft did not take the rules: ${told}`, { hint, retryable: true });
}
