/**
 * A command that runs, between its container and who asked for it: input in, output out, signals, sizes, and its end.
 * Whoever goes away takes it along, as closing a terminal would: first asked, then killed.
 */
import type { ExecEnd, ExecSession } from '../../docker/exec-session.ts';
import { GantryError, isGantryError, messageOf } from '../../errors.ts';
import { pause } from '../../poke.ts';
import type { ExecChannel } from './exec-channel.ts';
import { type ExecFrame, failedFrame, INPUT_WINDOW_BYTES, inPieces, signalOf, sizeOf } from './exec-wire.ts';

/** A command that nobody waits for any more has so long to end by itself; with its agent, the shorter one. */
const LEAVE_MS = 10_000;
const LEAVE_WITH_AGENT_MS = 3_000;
/** After SIGKILL. */
const KILLED_MS = 2_000;
const SETTLED_MS = 1_000;

/** It could not be ended, and may run on. */
interface Left {
  readonly left: true;
  readonly why: string;
}

/** What became of it. */
export type ExecOutcome = { readonly exitCode: number; readonly why: string } | Left;

export class RunningExec {
  readonly #channel: ExecChannel;
  readonly #session: ExecSession;
  readonly #hasTerminal: boolean;
  readonly #over = new AbortController();
  #queued = 0;
  /** Not told yet. */
  #taken = 0;
  #isTelling = false;

  constructor(channel: ExecChannel, session: ExecSession, hasTerminal: boolean) {
    this.#channel = channel;
    this.#session = session;
    this.#hasTerminal = hasTerminal;
  }

  /** `ending`: aborted with the error that is told to who asked. */
  async run(frames: AsyncIterable<ExecFrame>, ending: AbortSignal): Promise<ExecOutcome> {
    const { gone } = this.#channel;
    const ended = this.#print();
    void this.#hear(frames);
    const cut = AbortSignal.any([gone, ending, this.#over.signal]);
    const leaving = aborted(cut).then(() => this.#leave(ending));
    const orLeft = async (): Promise<ExecEnd | Left> => (await leaving) ?? ended;
    try {
      // What is left behind has no end that anybody could tell.
      const end = await Promise.race([ended, orLeft()]);
      if ('left' in end) return end;
      if (!ending.aborted) await this.#channel.send('ended', JSON.stringify(end));
      return { exitCode: end.exitCode, why: whyOf(end, gone.aborted, ending) };
    } finally {
      this.#over.abort();
      this.#session.close();
      await leaving;
    }
  }

  /** To its end: what nobody hears any more is read all the same, or it would never come to it. */
  async #print(): Promise<ExecEnd> {
    for await (const { source, bytes } of this.#session.output)
      for (const piece of inPieces(bytes))
        if (!this.#channel.gone.aborted) await this.#channel.send(source, piece);
    return this.#session.ended(AbortSignal.any([]));
  }

  /** Never rejects: who says what cannot be understood has gone. */
  async #hear(frames: AsyncIterable<ExecFrame>): Promise<void> {
    try {
      for await (const frame of frames) await this.#heed(frame);
    } catch (error) {
      if (!this.#over.signal.aborted) this.#channel.sendLast(failedFrame(error));
      return void this.#channel.end();
    }
    if (!this.#over.signal.aborted) this.#channel.close();
  }

  async #heed({ kind, bytes }: ExecFrame): Promise<void> {
    if (kind === 'input') return this.#feed(bytes);
    if (kind === 'inputEnd') return void this.#session.input.end();
    if (kind === 'size') return this.#resize(bytes);
    if (kind === 'signal') return this.#signal(bytes);
    throw new GantryError('usage', `${kind} is nothing for an agent`);
  }

  /** Not waited for: what is queued is bounded by what may be under way. */
  #feed(bytes: Buffer): void {
    const { input } = this.#session;
    this.#queued += bytes.length;
    if (this.#queued > INPUT_WINDOW_BYTES)
      throw new GantryError('too-large', `more than ${INPUT_WINDOW_BYTES} bytes of input are under way`);
    const taken = () => {
      this.#queued -= bytes.length;
      void this.#tellTaken(bytes.length);
    };
    // What a command does not read is as good as taken: it may print on without.
    if (input.writable) input.write(bytes, taken);
    else taken();
  }

  /** At once for all that was taken while the other end did not read: so they never queue. */
  async #tellTaken(bytes: number): Promise<void> {
    this.#taken += bytes;
    if (this.#isTelling) return;
    this.#isTelling = true;
    while (this.#taken > 0) {
      const taken = String(this.#taken);
      this.#taken = 0;
      await this.#channel.send('taken', taken);
    }
    this.#isTelling = false;
  }

  async #resize(bytes: Buffer): Promise<void> {
    const size = sizeOf(bytes);
    if (size !== undefined) await this.#session.resize(size).catch(() => undefined); // it looks odd, no more
  }

  async #signal(bytes: Buffer): Promise<void> {
    const name = signalOf(bytes);
    if (name === undefined || (await this.#session.signal(name)) || (await this.#endsNow())) return;
    await this.#channel.send('unsignalled');
  }

  /** What cannot be signalled may just have ended, which is known a moment later. */
  async #endsNow(): Promise<boolean> {
    await pause(SETTLED_MS, this.#over.signal);
    return this.#over.signal.aborted;
  }

  /** Who asked is gone, or the agent ends. undefined: it ends, too. */
  async #leave(ending: AbortSignal): Promise<Left | undefined> {
    if (this.#over.signal.aborted) return undefined;
    if (ending.aborted) this.#channel.sendLast(failedFrame(ending.reason));
    const why = ending.aborted ? 'its agent ends' : 'who asked for it went away';
    try {
      if (!(await this.#session.signal(this.#hasTerminal ? 'SIGHUP' : 'SIGTERM')))
        return (await this.#endsNow()) ? undefined : { left: true, why };
      await pause(ending.aborted ? LEAVE_WITH_AGENT_MS : LEAVE_MS, this.#over.signal);
      if (!this.#over.signal.aborted) await this.#session.signal('SIGKILL');
      await pause(KILLED_MS, this.#over.signal);
    } catch (error) {
      return { left: true, why: `${why}: ${messageOf(error)}` };
    }
    return this.#over.signal.aborted ? undefined : { left: true, why };
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function whyOf({ neverRan, containerEnded }: ExecEnd, isGone: boolean, ending: AbortSignal): string {
  if (neverRan !== undefined) return neverRan;
  if (containerEnded) return 'its container ended';
  if (ending.aborted && isGantryError(ending.reason)) return 'its agent ended';
  return isGone ? 'who asked for it went away' : '';
}
