/**
 * The log of a run on the host that runs it: JSON lines, in segments of bounded size of which the oldest go first.
 * Who follows one that is still written reads to its end; one that is overtaken is told how much it missed.
 */

/** `gantryd`: what it did itself, as pulling an image. `text` where the bytes are UTF-8, else `base64`; joined they are what was printed. */
export interface LogEntry {
  readonly run: string;
  /** 0-based index of the step. */
  readonly step: number;
  readonly stream: 'stdout' | 'stderr' | 'gantryd';
  /** ISO time when it was read. */
  readonly time: string;
  readonly text?: string;
  readonly base64?: string;
}

export interface ReadLogOptions {
  /** Waits for more until the run has ended. */
  readonly follow: boolean;
  /** Begins with the last so many entries. */
  readonly tail?: number;
}
