/**
 * nft, kept running: `nft -i` takes a line, which is one transaction, in under a millisecond, where a process for each
 * takes twenty. It has no prompt and no answer of its own when all is well. So after each line comes a word that it
 * cannot know: what it printed before it complains of that word is the answer to the line. Its complaints and its
 * lists go into one stream, and so stay in order. It runs ahead of others: each line is a millisecond's work.
 *
 * It reads a line byte by byte, each with a call of the system. So a change goes into a file in memory, which nft
 * includes, and the list after it is its own end, without a word.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { GantryError, messageOf } from '../../errors.ts';
import { runCommand, SURROUNDINGS } from './command.ts';

/** Of one line. */
const DEADLINE_MS = 5_000;
/** What one line may be answered with. */
const MAX_ANSWER_CHARS = 1024 * 1024;
/**
 * The lowest real-time priority pre-empts whoever has a core, where nice counts only within a session or a cgroup. What
 * it is not given to (no CAP_SYS_NICE, a cgroup without real time) goes on without.
 */
const GOES_FIRST = 'chrt --fifo --pid 1 $$ >/dev/null 2>&1';
const INTERACTIVE = ['-c', `${GOES_FIRST}; exec nft -n -i 2>&1`];
/** After stdin, stdout and stderr. It has no name that anybody else could open. */
const CHANGE_FILE = '/proc/self/fd/3';
/** The first is in memory everywhere, but a chroot may lack it. */
const FOLDERS = ['/dev/shm', tmpdir()];
const COMPLAINT = /\bError: .*/;
/** The last line of a list. */
const LISTED = /^\}\n/m;
/** nft remembers each line, and goes through all of them at the next. */
const MAX_LINES = 3_000;

type Child = ChildProcessByStdio<Writable, Readable, null>;

interface Waiting {
  readonly done: (answer: string) => void;
  readonly failed: (why: string) => void;
  /** What nft was last given that it cannot know; undefined: a list is its end. */
  word: string | undefined;
}

export class Nft {
  #child: Child | undefined;
  #heard = '';
  #waiting: Waiting | undefined;
  #words = 0;
  /** Given to the process that is kept. */
  #lines = 0;
  /** The file of changes. */
  #file: number | undefined;
  readonly #maxLines: number;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** `maxLines`: after so many, `renew` starts another one. */
  constructor(maxLines = MAX_LINES) {
    this.#maxLines = maxLines;
  }

  /** Of the process that is kept; undefined: there is none now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Takes any number of lines as one transaction, in a process of its own. Rejects with GantryError proxy-failed. */
  async load(text: string): Promise<void> {
    const { status, stderr } = await runCommand('nft', ['-f', '-'], text);
    if (status !== 0) throw refused(stderr);
  }

  /** Takes a change as one transaction, then a line that lists; answers the list. Rejects with GantryError proxy-failed. */
  async change(text: string, list: string): Promise<string> {
    const answer = await this.#inTurn((child) => {
      this.#put(text);
      return this.#say(child, `include "${CHANGE_FILE}"\n${list}\n`);
    });
    const complaint = COMPLAINT.exec(answer);
    if (complaint !== null) throw refused(complaint[0]);
    return answer;
  }

  /** Answers what these lines printed, refusals too. Rejects when nft does not answer. Callers take turns. */
  try(lines: string): Promise<string> {
    return this.#inTurn((child) => {
      const word = this.#nextWord();
      return this.#say(child, `${lines}\n${word}\n`, word);
    });
  }

  /** For a time in which nobody waits: another process takes the place of one that has got slow. */
  async renew(): Promise<void> {
    if (this.#lines < this.#maxLines) return;
    await this.#inTurn(async (child) => {
      this.#drop(child, 'another one takes its place');
      this.#start();
      return '';
    });
  }

  /** Ends the process. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child !== undefined) {
      const gone = new Promise((resolve) => child.once('close', resolve));
      this.#drop(child, 'it was closed');
      await gone;
    }
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #inTurn(use: (child: Child) => Promise<string>): Promise<string> {
    const asked = this.#last.then(() => {
      if (this.#closed) throw refused('the kernel plane was closed');
      return use(this.#child ?? this.#start());
    });
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  #say(child: Child, lines: string, word?: string): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => this.#drop(child, `no answer within ${DEADLINE_MS} ms`), DEADLINE_MS);
      const settle = (then: () => void) => {
        clearTimeout(late);
        this.#waiting = undefined;
        then();
      };
      const done = (text: string) => settle(() => resolve(text));
      const failed = (why: string) => settle(() => reject(refused(why)));
      this.#waiting = { word, done, failed };
      this.#write(child, lines);
    });
  }

  #write(child: Child, lines: string): void {
    this.#lines += 2;
    child.stdin.write(lines);
  }

  #nextWord(): string {
    return `gantryd_waits_${++this.#words}`;
  }

  #put(text: string): void {
    const file = this.#file ?? 0;
    ftruncateSync(file, 0);
    writeSync(file, `${text}\n`, 0);
  }

  #start(): Child {
    const env = { ...SURROUNDINGS, TERM: 'dumb' };
    this.#file ??= openUnnamed();
    const child = spawn('sh', INTERACTIVE, {
      stdio: ['pipe', 'pipe', 'ignore', this.#file],
      env,
      cwd: '/',
    }) as Child;
    this.#child = child;
    this.#heard = '';
    this.#lines = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#hear(child, text));
    child.stdin.on('error', () => undefined); // it has ended, as 'close' tells
    child.once('error', ({ message }) => this.#drop(child, message));
    child.once('close', (code, signal) => this.#drop(child, `nft ended with ${signal ?? code}`));
    return child;
  }

  #hear(child: Child, text: string): void {
    if (child !== this.#child || this.#waiting === undefined) return;
    this.#heard += text;
    if (this.#heard.length > MAX_ANSWER_CHARS) {
      this.#drop(child, 'it answers without end');
      return;
    }
    const waiting = this.#waiting;
    // After a complaint there may be no list.
    if (waiting.word === undefined && COMPLAINT.test(this.#heard)) {
      waiting.word = this.#nextWord();
      this.#write(child, `${waiting.word}\n`);
    }
    const end = endOf(this.#heard, waiting.word);
    if (end === undefined) return;
    const answer = this.#heard.slice(0, end);
    this.#heard = '';
    waiting.done(answer);
  }

  /** The next line starts another one. */
  #drop(child: Child, why: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    this.#waiting?.failed(why);
  }
}

/** Of the answer in what was heard; undefined: it has not ended. The complaint of our word ends with a line that points at it. */
function endOf(heard: string, word: string | undefined): number | undefined {
  if (word === undefined) {
    const listed = LISTED.exec(heard);
    return listed === null ? undefined : listed.index + listed[0].length;
  }
  if (!heard.includes(word)) return undefined;
  return new RegExp(`^Error: [^\\n]*\\n[^\\n]*${word}\\n *\\^+ *\\n`, 'm').exec(heard)?.index;
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

function refused(why: string): GantryError {
  const told = why.trim().split('\n').slice(0, 4).join(' · ');
  const hint = 'run `nft list ruleset` as root to see whether nftables works on this host';
  return new GantryError('proxy-failed', `nft did not take the rules: ${told}`, { hint, retryable: true });
}
