/**
 * One `nft -i`: takes a line, which is one transaction, in about a millisecond, where a process for each takes twenty. It
 * has no prompt and no answer of its own when all is well. So after each line comes a word that it cannot know: what it
 * printed before it complains of that word is the answer to the line. It asks the kernel for next to nothing to complain.
 * Its complaints and its lists go into one stream, and so stay in order.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { runCommand, SURROUNDINGS } from './command.ts';

/** Of one line. */
const DEADLINE_MS = 5_000;
/** What one line may be answered with. */
const MAX_ANSWER_CHARS = 1024 * 1024;
const INTERACTIVE = ['-c', 'exec nft -n -i 2>&1'];
/** The lowest real-time priority pre-empts whoever has a core, where nice counts only within a session or a cgroup. */
const AHEAD = ['--fifo', '--pid', '1'];
/** Short, since it is read byte by byte; a number follows. */
const WORD = 'gantryd_w';

type Child = ChildProcessByStdio<Writable, Readable, null>;

interface Waiting {
  /** What nft was last given that it cannot know. */
  readonly word: string;
  readonly done: (answer: string) => void;
  readonly failed: (why: string) => void;
}

/** Says one thing at a time: whoever has it waits for an answer before asking again. */
export class NftProcess {
  readonly #child: Child;
  #heard = '';
  #waiting: Waiting | undefined;
  #words = 0;
  #ended: string | undefined;

  /** `file`: an open one, which it has as /proc/self/fd/3. */
  constructor(file: number) {
    const env = { ...SURROUNDINGS, TERM: 'dumb' };
    const stdio = ['pipe', 'pipe', 'ignore', file] as const;
    this.#child = spawn('sh', INTERACTIVE, { stdio: [...stdio], env, cwd: '/' }) as Child;
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    this.#child.stdin.on('error', () => undefined); // it has ended, as 'close' tells
    this.#child.once('error', ({ message }) => this.end(message));
    this.#child.once('close', (code, signal) => this.end(`nft ended with ${signal ?? code}`));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether it takes no more lines. */
  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** How many times it was asked. */
  get asked(): number {
    return this.#words;
  }

  /**
   * From now on it runs ahead of others: each line is a millisecond's work, its start is twenty. Where it is not allowed
   * to (no CAP_SYS_NICE, a cgroup without real time) it goes on without.
   */
  async goAhead(): Promise<void> {
    await runCommand('chrt', [...AHEAD, `${this.pid}`], '');
  }

  /** Answers what these lines printed. Rejects with an Error when it does not answer. */
  say(lines: string): Promise<string> {
    const word = `${WORD}${++this.#words}`;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.end(`no answer within ${DEADLINE_MS} ms`), DEADLINE_MS);
      const settle = (then: () => void) => {
        clearTimeout(late);
        this.#waiting = undefined;
        then();
      };
      const failed = (why: string) => settle(() => reject(new Error(why)));
      this.#waiting = { word, done: (text) => settle(() => resolve(text)), failed };
      if (this.#ended !== undefined) failed(this.#ended);
      else this.#child.stdin.write(`${lines}\n${word}\n`);
    });
  }

  /** Kills it; who waits for an answer is told why. Idempotent. */
  end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#child.kill('SIGKILL');
    this.#waiting?.failed(why);
  }

  /** The same, and waits until it is gone. */
  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.end('it was closed');
    if (exitCode === null && signalCode === null) await gone;
  }

  #hear(text: string): void {
    if (this.#waiting === undefined) return;
    this.#heard += text;
    if (this.#heard.length > MAX_ANSWER_CHARS) this.end('it answers without end');
    const end = endOf(this.#heard, this.#waiting.word);
    if (end === undefined) return;
    const answer = this.#heard.slice(0, end);
    this.#heard = '';
    this.#waiting.done(answer);
  }
}

/** Of the answer in what was heard; undefined: it has not ended. The complaint of our word ends with a line that points at it. */
function endOf(heard: string, word: string): number | undefined {
  if (!heard.includes(word)) return undefined;
  return new RegExp(`^Error: [^\\n]*\\n[^\\n]*${word}\\n *\\^+ *\\n`, 'm').exec(heard)?.index;
}
