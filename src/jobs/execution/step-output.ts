/**
 * Takes what a step prints: to the log, to the spool of its output, and to who watches from this process. Each knows how
 * much it has, so the same bytes may come again from their beginning, as they do when a connection or a process was lost.
 */
import type { Piece } from '../../docker/demux.ts';
import type { Printing } from '../disk/run-log-lines.ts';
import type { RunLogWriter } from '../disk/run-log-writer.ts';
import type { Printed } from './execution.ts';
import type { Spool } from './spool.ts';

/** Of what a step gives to the next one; it is in that one's input, and may be large. */
export const LOGGED_OF_CAPTURED_BYTES = 1024 * 1024;

export interface IntakeInput {
  readonly log: RunLogWriter;
  readonly step: number;
  /** Where the output goes that is printed; undefined: it is taken from a file. */
  readonly spool?: { readonly stream: Printing; readonly to: Spool } | undefined;
  /** Not all of the stream that is captured is logged: it goes to another step. */
  readonly limited: boolean;
  readonly onPrinted?: ((printed: Printed) => Promise<void> | void) | undefined;
}

export class Intake {
  readonly #input: IntakeInput;
  /** Bytes that came since the beginning, and those that are in the log or on the way there. */
  readonly #seen = { stdout: 0, stderr: 0 };
  readonly #logged: { stdout: number; stderr: number };
  #saidLimit: boolean;
  #closed = false;

  constructor(input: IntakeInput) {
    this.#input = input;
    const { stdout, stderr, limited } = input.log.state;
    this.#logged = { stdout, stderr };
    this.#saidLimit = limited;
  }

  /** What comes now begins with the first byte again. */
  rewind(): void {
    this.#seen.stdout = 0;
    this.#seen.stderr = 0;
    this.#input.spool?.to.rewind();
  }

  /** A promise: wait for it before more is given. Fails with state-write. */
  take({ source, bytes }: Piece): Promise<unknown> | undefined {
    if (this.#closed) throw new Error('what is printed now is not taken any more');
    const { spool } = this.#input;
    const spooled = spool?.stream === source ? spool.to.take(bytes) : undefined;
    const logged = this.#log(source, bytes);
    if (spooled === undefined || logged === undefined) return spooled ?? logged;
    return Promise.all([spooled, logged]);
  }

  /** All that will be printed was taken. */
  async finish(): Promise<void> {
    await this.#input.log.settle();
    await this.#input.spool?.to.finish();
  }

  /** Takes nothing any more, whoever is still about to give. */
  close(): void {
    this.#closed = true;
  }

  #log(source: Printing, bytes: Buffer): Promise<unknown> | undefined {
    const known = Math.min(Math.max(0, this.#logged[source] - this.#seen[source]), bytes.length);
    this.#seen[source] += bytes.length;
    const isLimited = this.#input.limited && this.#input.spool?.stream === source;
    const room = isLimited ? LOGGED_OF_CAPTURED_BYTES - this.#logged[source] : bytes.length;
    const fresh = bytes.subarray(known, known + Math.max(0, room));
    if (fresh.length === 0 && !this.#mustSayLimit(isLimited, bytes.length - known)) return undefined;
    return this.#logFresh(source, fresh, this.#mustSayLimit(isLimited, bytes.length - known - fresh.length));
  }

  #mustSayLimit(isLimited: boolean, left: number): boolean {
    return isLimited && left > 0 && !this.#saidLimit;
  }

  #logFresh(source: Printing, fresh: Buffer, sayLimit: boolean): Promise<unknown> | undefined {
    this.#logged[source] += fresh.length;
    const { log, step, onPrinted } = this.#input;
    const logged = fresh.length === 0 ? undefined : log.print(source, fresh);
    const told = fresh.length === 0 ? undefined : onPrinted?.({ step, stream: source, bytes: fresh });
    if (!sayLimit) return logged === undefined ? (told ?? undefined) : Promise.all([logged, told]);
    this.#saidLimit = true;
    return Promise.all([logged, told]).then(() => this.#sayLimit());
  }

  async #sayLimit(): Promise<void> {
    const { log, step, onPrinted } = this.#input;
    const mib = LOGGED_OF_CAPTURED_BYTES / 1024 ** 2;
    const text = `what follows goes to the next step alone: of such output the first ${mib} MiB is logged`;
    await log.limited(text);
    await onPrinted?.({ step, stream: 'gantryd', bytes: Buffer.from(`${text}\n`) });
  }
}
