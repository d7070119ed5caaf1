/**
 * nft, kept running: `nft -i` takes a line, which is one transaction, in under a millisecond, where a process for each
 * takes twenty. It has no prompt and no answer of its own when all is well. So after each line comes a word that it
 * cannot know: what it printed before it complains of that word is the answer to the line. Its complaints and its
 * lists go into one stream, and so stay in order. It runs ahead of others: each line is a millisecond's work.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { GantryError } from '../../errors.ts';
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
const COMPLAINT = /^(internal:.*|netlink:.*)?Error: .*/m;

type Child = ChildProcessByStdio<Writable, Readable, null>;

interface Waiting {
  readonly word: string;
  readonly done: (answer: string) => void;
  readonly failed: (why: string) => void;
}

export class Nft {
  #child: Child | undefined;
  #heard = '';
  #waiting: Waiting | undefined;
  #words = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Of the process that is kept; undefined: there is none now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Takes any number of lines as one transaction, in a process of its own. Rejects with GantryError proxy-failed. */
  async load(text: string): Promise<void> {
    const { status, stderr } = await runCommand('nft', ['-f', '-'], text);
    if (status !== 0) throw refused(stderr);
  }

  /** One line, or some; answers what they printed. Rejects with GantryError proxy-failed, also when one was refused. */
  async ask(lines: string): Promise<string> {
    const answer = await this.try(lines);
    const complaint = COMPLAINT.exec(answer);
    if (complaint !== null) throw refused(complaint[0]);
    return answer;
  }

  /** Answers what was printed, refusals too. Rejects when nft does not answer. Callers take turns. */
  try(lines: string): Promise<string> {
    const asked = this.#last.then(() => this.#try(lines));
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  /** Ends the process. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    this.#drop(child, 'it was closed');
    await gone;
  }

  async #try(lines: string): Promise<string> {
    if (this.#closed) throw refused('the kernel plane was closed');
    const child = this.#child ?? this.#start();
    const word = `gantryd_waits_${++this.#words}`;
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
      child.stdin.write(`${lines}\n${word}\n`);
    });
  }

  #start(): Child {
    const env = { ...SURROUNDINGS, TERM: 'dumb' };
    const child = spawn('sh', INTERACTIVE, { stdio: ['pipe', 'pipe', 'ignore'], env, cwd: '/' });
    this.#child = child;
    this.#heard = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#hear(child, text));
    child.stdin.on('error', () => undefined); // it has ended, as 'close' tells
    child.once('error', ({ message }) => this.#drop(child, message));
    child.once('close', (code, signal) => this.#drop(child, `nft ended with ${signal ?? code}`));
    return child;
  }

  /** The complaint of our word ends with a line that points at it. */
  #hear(child: Child, text: string): void {
    if (child !== this.#child || this.#waiting === undefined) return;
    this.#heard += text;
    if (this.#heard.length > MAX_ANSWER_CHARS) {
      this.#drop(child, 'it answers without end');
      return;
    }
    const { word, done } = this.#waiting;
    const end = new RegExp(`^Error: [^\\n]*\\n[^\\n]*${word}\\n *\\^+ *\\n`, 'm').exec(this.#heard);
    if (end === null) return;
    const answer = this.#heard.slice(0, end.index);
    this.#heard = '';
    done(answer);
  }

  /** The next line starts another one. */
  #drop(child: Child, why: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    this.#waiting?.failed(why);
  }
}

function refused(why: string): GantryError {
  const told = why.trim().split('\n').slice(0, 4).join(' · ');
  const hint = 'run `nft list ruleset` as root to see whether nftables works on this host';
  return new GantryError('proxy-failed', `nft did not take the rules: ${told}`, { hint, retryable: true });
}
