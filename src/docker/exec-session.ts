/** A command in a running container with both ends of its streams, as `docker exec` has it: what is asked, what is had. */
import type { Writable } from 'node:stream';
import type { Piece } from './demux.ts';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ExecAsked {
  readonly command: readonly string[];
  /** `NAME=VALUE`, on top of the container's. */
  readonly env?: readonly string[];
  /** `USER`, `UID` or with `:GROUP`; absent: the container's. */
  readonly user?: string;
  /** Absent: the container's. */
  readonly workdir?: string;
  /** It reads what is written to `input`; else nothing. */
  readonly input: boolean;
  /** It has a terminal of this size: then all that it prints is stdout. */
  readonly terminal?: TerminalSize;
}

export interface ExecEnd {
  readonly exitCode: number;
  /** The engine's words where the command could not be run: 127 where there is no such program, else 126. */
  readonly neverRan?: string;
  /** The container does not run any more. */
  readonly containerEnded?: true;
}

export type ExecSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGKILL';

export interface ExecSession {
  /** `end()` is its end of file. A command that does not read makes writes wait; one that ended fails them with EPIPE. Never throws where nobody listens for errors. */
  readonly input: Writable;
  /** What it prints, in order of arrival, as fast as it is read; ends with the command. engine-unreachable when the engine went away. */
  readonly output: AsyncIterable<Piece>;
  /** Of its terminal. Nothing where the command has ended. */
  resize(size: TerminalSize): Promise<void>;
  /**
   * Sends it to the command and the processes it started, as far as they stayed in its process group. false: it has
   * ended, or its processes are not this machine's to signal (the engine is elsewhere, or this process in a container).
   */
  signal(name: ExecSignal): Promise<boolean>;
  /** Once all output was read. Rejects when aborted. */
  ended(signal: AbortSignal): Promise<ExecEnd>;
  /** Lets go of the streams; the command may run on. Idempotent. */
  close(): void;
}
